"""The form of the audit chain: what a MAC and a signature cover, and the newest head outside the database.

Every link holds an HMAC-SHA256 over itself and over the MAC of the link before; a head names the last link after one
transaction. A MAC or signature covers a JSON array without blanks, in ASCII, whose first element says what it is.
"""

import errno
import fcntl
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import AuditError, StoreError

# What the first link holds as the MAC before it.
GENESIS = "0" * 64

_ISSUING = frozenset({"init", "root-renew", "sub-ca-install"})
_LOCK_TRIES = 15_000
_LOCK_PAUSE = 0.002

canonical_json = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def row_mac(key: bytes, row: Mapping[Any, Any]) -> str:
    """HMAC-SHA256 (hex) of one link of the chain.

    :param row: the columns of table ``audit``; ``mac`` itself may be missing
    """
    fields = [row[name] for name in ("seq", "action", "outcome", "subject", "detail", "test_clock", "previous")]
    return _mac(key, ["smpki audit entry", _time_text(row["at"]), *fields])


def key_id(public_key: ec.EllipticCurvePublicKey) -> str:
    """How heads name their signing key: SHA-256 (hex) of its SubjectPublicKeyInfo."""
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def needs_signature(action: str, outcome: str) -> bool:
    """Whether the head over this link must be signed: where something was issued.

    The rest is signed too when a signer works, but a refusal because of a missing token must not need the token.
    """
    return outcome == "done" and (action in _ISSUING or action.startswith("issue"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The chain's end after one transaction.

    :param counter: 1 for the first transaction, and one more for each; 0 before it
    :param seq: the last link
    :param mac: its MAC
    :param at: when; None for the head before the first transaction
    :param key_id: SHA-256 (hex) of the signing key's SubjectPublicKeyInfo; None when unsigned
    :param signature: ECDSA with SHA-256, DER, over ``signed_bytes``
    """

    counter: int
    seq: int
    mac: str
    at: datetime | None
    key_id: str | None = None
    signature: bytes | None = None

    def signed_bytes(self) -> bytes:
        """What the signature covers."""
        at = self.at and _time_text(self.at)
        return canonical_json(["smpki audit head", self.counter, self.seq, self.mac, at]).encode()


class HeadFile:
    """The newest head outside the database, so that cutting the chain's tail shows.

    The file is replaced as a whole. Whoever replaces it holds ``locked`` from before its database transaction until
    after, so the file never runs ahead of the database and never goes back.

    :param path: the file; a lock file and a temporary one stand beside it
    :param key: the audit key, which authenticates the file's content
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self._key = key
        self._staged = path.with_name(f"{path.name}.new")
        self._aside = path.with_name(f"{path.name}.before")

    def read(self) -> Head | None:
        """The head in the file; None without a file.

        :raises AuditError: ``audit.head_file.invalid``: unreadable, or not written with this key
        """
        return self._read(self.path)

    def read_aside(self) -> Head | None:
        """The head that was set aside; None where there is none.

        :raises AuditError: as :meth:`read`
        """
        return self._read(self._aside)

    def set_aside(self) -> None:
        """Keep the head that is in the file beside it, also when the file is replaced; one that is there stays, for it
        is of before a take-over that was broken off.

        :raises StoreError: the folder refuses
        """
        try:
            with suppress(FileNotFoundError, FileExistsError):
                self._aside.hardlink_to(self.path)
        except OSError as error:
            raise _file_error(error, self.path) from None

    def forget_aside(self) -> None:
        """Have no head aside any more."""
        with suppress(OSError):  # an old one does no harm
            self._aside.unlink(missing_ok=True)

    def _read(self, path: Path) -> Head | None:
        try:
            content = json.loads(path.read_bytes())
            at, signature = content["at"], content["signature"]
            head = Head(
                counter=int(content["counter"]),
                seq=int(content["seq"]),
                mac=str(content["mac"]),
                at=at and datetime.fromisoformat(at),
                key_id=content["key_id"],
                signature=signature and bytes.fromhex(signature),
            )
            genuine = hmac.compare_digest(str(content["check"]), self._check(head))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _file_error(error, path) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            genuine = False
        if not genuine:
            message = "the audit head outside the database was not written by this PKI, or was changed"
            raise AuditError("audit.head_file.invalid", message, where=str(path), hint=_HINT)
        return head

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file against other processes and threads.

        :raises StoreError: ``store.busy`` when another holds it for 30 s, or the folder refuses to write
        """
        try:
            lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _file_error(error, self.path) from None
        try:
            _lock(lock, self.path)
            yield
        finally:
            os.close(lock)

    def stage(self, head: Head) -> None:
        """Write the new head durably beside the file: all that can fail does so before the transaction commits."""
        fields = _file_fields(head) | {"check": self._check(head)}
        content = f"{canonical_json(fields)}\n".encode()
        try:
            file = os.open(self._staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                if os.write(file, content) < len(content):
                    raise OSError(errno.ENOSPC, "written in part")
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise _file_error(error, self.path) from None

    def publish(self) -> None:
        """Put the staged head in place. If power fails now the file lags behind, which is no fault of the chain."""
        try:
            self._staged.replace(self.path)
        except OSError as error:
            raise _file_error(error, self.path) from None

    def _check(self, head: Head) -> str:
        return _mac(self._key, ["smpki audit head file", _file_fields(head)])


_HINT = "find out who changed it; `smpki audit verify` shows what else does not hold"


def _file_fields(head: Head) -> dict[str, object]:
    return {
        "counter": head.counter,
        "seq": head.seq,
        "mac": head.mac,
        "at": head.at and _time_text(head.at),
        "key_id": head.key_id,
        "signature": head.signature and head.signature.hex(),
    }


def _mac(key: bytes, fields: list[object]) -> str:
    return hmac.digest(key, canonical_json(fields).encode(), "sha256").hex()


def _time_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _lock(file: int, path: Path) -> None:
    for _ in range(_LOCK_TRIES):
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE)
    hint = "try again; look for a process that hangs if it lasts"
    raise StoreError("store.busy", "another process holds the audit head", where=str(path), hint=hint)


def _file_error(error: OSError, path: Path) -> StoreError:
    code = {errno.ENOSPC: "store.full", errno.EDQUOT: "store.full"}.get(error.errno or 0, "store.io")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        code = "store.readonly"
    reason = os.strerror(error.errno) if error.errno else "failed"
    message = f"the audit head outside the database cannot be read or written: {reason}"
    return StoreError(code, message, where=str(path), hint="nothing is issued without it: check the disk and folder")
