"""The file of a backup: a ZIP archive with a table of contents that the audit key vouches for.

=====================  ===============================================================================
``manifest.json``      what this is, of when, of which version; the SHA-256 of every other member
``manifest.mac``       HMAC-SHA256 over that, by the audit key (hexadecimal)
``policy.yaml``        the policy in force
``rows/TABLE.jsonl``   the rows of a table, see :mod:`smpki.db.portable`
``audit.key``          only where it was asked for
=====================  ===============================================================================
"""

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import mkstemp
from typing import Annotated, BinaryIO
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile
from zlib import error as ZlibError

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from smpki.ca.store.audit import parse_key
from smpki.ca.store.audit_head import Head
from smpki.errors import StoreError
from smpki.policy.model import EnvironmentName

POLICY, AUDIT_KEY = "policy.yaml", "audit.key"
_MANIFEST, _MAC = "manifest.json", "manifest.mac"
_FORMAT = "smpki backup 1"
_SMALL = 4 * 1024 * 1024
"""Octets of a member that is read at once."""

_HINT = "use another copy; nothing was restored"

_UNREADABLE = (KeyError, BadZipFile, ZlibError, EOFError, OSError, RuntimeError)
"""What a missing or broken member is to :mod:`zipfile`; RuntimeError: it is encrypted, or packed in another way."""


class Manifest(BaseModel):
    """What a backup is.

    :param program: version of the program that made it
    :param version: of the tables
    :param head: counter of the audit head that it ends with
    :param rows: by table, in the order in which tables are filled
    :param members: SHA-256 (hex) of each member
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[str, Field(pattern=f"^{_FORMAT}$")] = _FORMAT
    made_at: AwareDatetime
    program: str
    environment: EnvironmentName
    module: str | None
    token: str
    version: str
    head: int
    rows: dict[str, int]
    members: dict[str, str]


@dataclass(frozen=True)
class Made:
    """What a backup is made of, but for the rows.

    :param module: see :class:`smpki.ca.home.Settings`
    :param token: likewise
    :param head: the audit chain's end
    """

    made_at: datetime
    program: str
    environment: EnvironmentName
    module: str | None
    token: str
    version: str
    head: Head


def member_of(table: str) -> str:
    """The member that has a table's rows."""
    return f"rows/{table}.jsonl"


def write_backup(
    file: Path, made: Made, key: bytes, small: dict[str, bytes], tables: Iterable[tuple[str, Iterator[bytes]]]
) -> Manifest:
    """Write a backup: a new file for its owner only, whole or not at all.

    :param key: the audit key
    :param small: members by name
    :param tables: names, and their lines
    :raises StoreError: ``backup.exists``, ``backup.unwritable``; and what reading the tables raises
    """
    with _new_file(file) as stream, ZipFile(stream, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        members = {name: _add(archive, name, iter([content]))[0] for name, content in small.items()}
        rows = {}
        for table, lines in tables:
            members[member_of(table)], number = _add(archive, member_of(table), lines)
            rows[table] = number - 1  # the first line has the columns' names
        facts = {name: getattr(made, name) for name in made.__dataclass_fields__ if name != "head"}
        manifest = Manifest(**facts, head=made.head.counter, rows=rows, members=members)
        text = manifest.model_dump_json(indent=1).encode()
        archive.writestr(_MANIFEST, text)
        archive.writestr(_MAC, _mac(key, text))
    return manifest


def _add(archive: ZipFile, name: str, pieces: Iterator[bytes]) -> tuple[str, int]:
    digest, number = hashlib.sha256(), 0
    with archive.open(name, "w", force_zip64=True) as member:
        for piece in pieces:
            digest.update(piece)
            member.write(piece)
            number += 1
    return digest.hexdigest(), number


@contextmanager
def _new_file(file: Path) -> Iterator[BinaryIO]:
    """A file that is there once it is complete, and durable."""
    try:
        if file.exists():
            raise FileExistsError
        descriptor, name = mkstemp(prefix=f".{file.name}.", dir=file.parent)  # one of its own, made with mode 0600
        draft = Path(name)
        try:
            with open(descriptor, "wb") as stream:  # noqa: PTH123
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            file.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        message, hint = "there is such a file already", "choose another name; a backup is never overwritten"
        raise StoreError("backup.exists", message, where=str(file), hint=hint) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        message = f"the backup can't be written: {reason}"
        raise StoreError("backup.unwritable", message, where=str(file), hint="check the folder and the disk") from None


class Backup:
    """A backup that was opened; :func:`open_backup` makes it."""

    def __init__(self, file: Path, archive: ZipFile) -> None:
        self._file = file
        self._archive = archive
        self._text = self._small(_MANIFEST)
        try:
            self.manifest = Manifest.model_validate_json(self._text)
        except ValidationError:
            raise self._damaged("its table of contents is not readable, or of a newer program") from None

    @property
    def has_key(self) -> bool:
        """Whether the audit key is in it."""
        return AUDIT_KEY in self.manifest.members

    def audit_key(self) -> bytes:
        """The audit key, if it is in it.

        :return: 32 octets
        :raises StoreError: ``backup.damaged``
        """
        try:
            return parse_key(self._small(AUDIT_KEY))
        except ValueError:
            raise self._damaged(f"{AUDIT_KEY} is none") from None

    def check_mac(self, key: bytes) -> None:
        """See that it was made with this audit key, and is as it was made.

        :raises StoreError: ``backup.foreign``
        """
        if not hmac.compare_digest(self._small(_MAC), _mac(key, self._text)):
            message = "the backup was changed, or made with another audit key"
            raise StoreError("backup.foreign", message, where=str(self._file), hint="use the audit.key of the same PKI")

    def policy(self) -> str:
        """The policy, once :meth:`check_mac` has vouched for the table of contents.

        :raises StoreError: ``backup.damaged``
        """
        content = self._small(POLICY)
        if hashlib.sha256(content).hexdigest() != self.manifest.members.get(POLICY):
            raise self._damaged("the policy was changed")
        return content.decode()

    def lines(self, table: str) -> Iterator[bytes]:
        """The lines of a table; in the end it is known whether they are what was written.

        :raises StoreError: ``backup.damaged``
        """
        name = member_of(table)
        digest = hashlib.sha256()
        try:
            with self._archive.open(name) as member:
                for line in member:
                    digest.update(line)
                    yield line
        except _UNREADABLE:
            raise self._damaged(f"{name} is missing or not readable") from None
        if digest.hexdigest() != self.manifest.members.get(name):
            raise self._damaged(f"{name} was changed")

    def _small(self, name: str) -> bytes:
        try:
            with self._archive.open(name) as member:
                return member.read(_SMALL)
        except _UNREADABLE:
            raise self._damaged(f"{name} is missing or not readable") from None

    def _damaged(self, what: str) -> StoreError:
        return StoreError("backup.damaged", f"the backup is damaged: {what}", where=str(self._file), hint=_HINT)


@contextmanager
def open_backup(file: Path) -> Iterator[Backup]:
    """Open a backup.

    :raises StoreError: ``backup.unreadable``, ``backup.damaged``
    """
    try:
        archive = ZipFile(file)
    except (OSError, BadZipFile) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "this is no whole backup"
        raise StoreError("backup.unreadable", f"can't be read: {reason}", where=str(file), hint=_HINT) from None
    with archive:
        yield Backup(file, archive)


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, json.dumps(["smpki backup", text.decode()]).encode(), "sha256").hex().encode()
