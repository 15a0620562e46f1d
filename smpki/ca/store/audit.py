"""The audit chain: each entry is keyed to the one before, so that a changed, missing or swapped entry shows.

Heads are signed with a token key and counted, and the newest one is kept outside the database too. The key of the MACs
lies in a file of its own. Whoever holds that key, the database and the outside file can rewrite the unsigned tail;
signed heads need the token as well.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection, Engine, insert, select

from smpki.ca.store.audit_head import GENESIS, Head, HeadFile, canonical_json, key_id, needs_signature, row_mac
from smpki.ca.store.audit_verify import AuditFinding, AuditReport, verify
from smpki.ca.store.records import AuditEntry
from smpki.ca.store.tables import audit, audit_head
from smpki.db.engine import reading, writing
from smpki.errors import AuditError, SmpkiError
from smpki.hsm.secret_file import write_secret

__all__ = [
    "AuditChain",
    "AuditFinding",
    "AuditReport",
    "AuditTransaction",
    "create_key",
    "key_id",
    "key_text",
    "lock_writers",
    "parse_key",
    "read_key",
    "verify",
]

_KEY_OCTETS = 32
_LOCK = select(audit_head.c.mac).where(audit_head.c.counter == 0).with_for_update()
_NEWEST = select(audit_head).order_by(audit_head.c.counter.desc()).limit(1)
_INSERT_ROWS = insert(audit)
_INSERT_HEAD = insert(audit_head)


def create_key(path: Path, random: Callable[[int], bytes]) -> bytes:
    """Make the audit key and store it with mode 0600.

    :param random: gives that many random octets
    :returns: 32 octets
    :raises AuditError: ``audit.key.exists``, ``audit.key.unwritable``
    """
    key = random(_KEY_OCTETS)
    try:
        write_secret(path, key_text(key))
    except FileExistsError:
        hint = "keep it: without it the audit chain can no longer be verified"
        raise AuditError("audit.key.exists", "there is an audit key already", where=str(path), hint=hint) from None
    except OSError as error:
        message = f"the audit key cannot be written: {os.strerror(error.errno or 0)}"
        raise AuditError("audit.key.unwritable", message, where=str(path)) from None
    return key


def read_key(path: Path) -> bytes:
    """Read the audit key.

    :returns: 32 octets
    :raises AuditError: ``audit.key.missing``, ``audit.key.mode`` (others may read it), ``audit.key.invalid``
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(1024)
    except OSError as error:
        message = f"the audit key cannot be read: {os.strerror(error.errno or 0)}"
        raise AuditError("audit.key.missing", message, where=str(path), hint="run `smpki init` first") from None
    if mode & 0o077:
        message = f"the audit key has mode {mode:04o}, others than its owner can get at it"
        raise AuditError("audit.key.mode", message, where=str(path), hint=f"chmod 600 {path}")
    try:
        return parse_key(content)
    except ValueError:
        message = f"the audit key is not {_KEY_OCTETS} octets in hex"
        raise AuditError("audit.key.invalid", message, where=str(path), hint="restore the file") from None


def key_text(key: bytes) -> bytes:
    """What the file of an audit key holds."""
    return f"{key.hex()}\n".encode()


def parse_key(content: bytes) -> bytes:
    """Read what :func:`key_text` wrote.

    :returns: 32 octets
    :raises ValueError: it is something else; without the content in its chain
    """
    try:
        key = bytes.fromhex(content.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_OCTETS:
        raise ValueError("no audit key")
    return key


def lock_writers(connection: Connection) -> None:
    """Let one writing transaction at a time through, on any database, until the caller's transaction ends.

    :raises AuditError: ``audit.head.missing``: the row that all lock is gone
    """
    if connection.execute(_LOCK).scalar() != GENESIS:
        message = "the first audit head is missing or was changed"
        raise AuditError("audit.head.missing", message, where="head 0", hint="run `smpki audit verify`")


class AuditChain:
    """Appends to the audit chain.

    :param key: the audit key, 32 octets
    :param head_file: where the newest head is kept outside the database
    :param clock: the time now, timezone-aware
    :param signer: signs heads with ECDSA and SHA-256; a token key. None leaves them unsigned
    :param test_clock: whether the clock was set by the operator; every entry says so
    """

    def __init__(
        self,
        key: bytes,
        head_file: Path,
        *,
        clock: Callable[[], datetime],
        signer: ec.EllipticCurvePrivateKey | None = None,
        test_clock: bool = False,
    ) -> None:
        self._key = key
        self._file = HeadFile(head_file, key)
        self._clock = clock
        self._signer = signer
        self._signer_id = key_id(signer.public_key()) if signer else None
        self._test_clock = test_clock

    def now(self) -> datetime:
        """The time by the chain's clock."""
        return self._clock()

    def catch_up(self, engine: Engine) -> None:
        """Keep the newest head outside the database: head 0 before anything has happened, so that the file is there
        ever after, and the one that a crash kept from getting there.

        :raises StoreError: the database or the outside file refused
        :raises AuditError: the chain is shorter than the outside file says, or the file is missing or not ours
        """
        with self._file.locked(), reading(engine) as connection:
            newest = Head(**connection.execute(_NEWEST).mappings().one())
            self._compare_outside(connection, newest)
            if self._file.read() != newest:
                self._file.stage(newest)
                self._file.publish()

    def verify(self, engine: Engine) -> AuditReport:
        """Verify the chain; signatures too, where this chain signs. See :func:`verify`.

        :raises StoreError: the database or the outside file cannot be read
        """
        public_key = self._signer.public_key() if self._signer else None
        return verify(engine, self._key, self._file.path, public_key)

    @contextmanager
    def transaction(self, engine: Engine) -> Iterator["AuditTransaction"]:
        """One writing transaction whose entries show outside the database once it is committed.

        :raises StoreError: the database or the outside file refused; nothing is stored
        :raises AuditError: the chain is shorter than the outside file says, so nothing may be added
        """
        with self._file.locked():
            with writing(engine) as connection:
                lock_writers(connection)
                transaction = AuditTransaction(self, connection)
                yield transaction
            if transaction.appended:
                self._file.publish()

    @contextmanager
    def taking_over(self, engine: Engine, last: Callable[[], None]) -> Iterator["AuditTransaction"]:
        """One writing transaction that fills an empty database with a chain of this key, and adds to it.

        The head outside gives way to the new one, whatever it said; before the commit, so that a crash between leaves
        an empty database which everybody refuses.

        :param last: called behind that, before the commit
        :raises StoreError: the database or the outside file refused; nothing is stored
        """
        with self._file.locked(), writing(engine) as connection:
            transaction = AuditTransaction(self, connection, is_compared=False)
            yield transaction
            if transaction.appended:
                self._file.set_aside()
                self._file.publish()
                last()
        self._file.forget_aside()

    def kept(self) -> Head | None:
        """The newest head that was kept outside the database, before a take-over that was broken off too; None where
        there is none.

        :raises AuditError: ``audit.head_file.invalid``
        """
        return max(
            filter(None, (self._file.read(), self._file.read_aside())), key=lambda head: head.counter, default=None
        )

    def _append(self, connection: Connection, entries: Sequence[AuditEntry], *, is_compared: bool) -> None:
        newest = Head(**connection.execute(_NEWEST).mappings().one())
        if is_compared:
            self._compare_outside(connection, newest)
        at, seq, mac = self.now(), newest.seq, newest.mac
        rows = []
        for entry in entries:
            seq += 1
            row: dict[str, object] = {
                "seq": seq,
                "at": at,
                "action": entry.action,
                "outcome": entry.outcome,
                "subject": _printable(entry.subject),
                "detail": canonical_json(entry.detail),
                "test_clock": self._test_clock,
                "previous": mac,
            }
            mac = row_mac(self._key, row)
            rows.append(row | {"mac": mac})
        connection.execute(_INSERT_ROWS, rows)
        must = any(needs_signature(entry.action, entry.outcome) for entry in entries)
        head = self._sign(Head(counter=newest.counter + 1, seq=seq, mac=mac, at=at), must=must)
        connection.execute(_INSERT_HEAD, asdict(head))
        self._file.stage(head)

    def _sign(self, head: Head, *, must: bool) -> Head:
        if self._signer is None:
            return head
        try:
            signature = self._signer.sign(head.signed_bytes(), ec.ECDSA(hashes.SHA256()))
        except SmpkiError:
            if must:
                raise
            return head
        return replace(head, key_id=self._signer_id, signature=signature)

    def _compare_outside(self, connection: Connection, newest: Head) -> None:
        """Refuse to go on from a chain that was cut: the next entries would hide it."""
        kept = self._file.read()
        hint = "keep both as they are, run `smpki audit verify`, then restore what was lost"
        where = str(self._file.path)
        if kept is None:
            if newest.counter:
                message = "the audit head kept outside the database is gone"
                raise AuditError("audit.head_file.missing", message, where=where, hint=hint)
            return
        known = select(audit_head.c.mac).where(audit_head.c.counter == kept.counter, audit_head.c.seq == kept.seq)
        if kept.counter > newest.counter:
            message = f"the database ends at audit head {newest.counter}, but head {kept.counter} was written before"
            raise AuditError("audit.tail.cut", message, where=where, hint=hint)
        if connection.execute(known).scalar() != kept.mac:
            message = f"audit head {kept.counter} in the database is not the one kept outside"
            raise AuditError("audit.head.replaced", message, where=where, hint=hint)


class AuditTransaction:
    """A writing transaction that can add to the audit chain.

    :param connection: for the other rows of the same transaction
    """

    def __init__(self, chain: AuditChain, connection: Connection, *, is_compared: bool = True) -> None:
        self._chain = chain
        self._is_compared = is_compared
        self.connection = connection
        self.appended = False

    def append(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries and a head over them; once per transaction, last of all, since it asks the token.

        :raises SmpkiError: what the signer raises, where something was issued and the head must be signed
        """
        self._chain._append(self.connection, entries, is_compared=self._is_compared)
        self.appended = True


def _printable(text: str) -> str:
    """Escape what a database may refuse, such as U+0000 and lone surrogates: a refusal quotes hostile input."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
