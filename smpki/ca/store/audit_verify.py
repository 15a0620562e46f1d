"""Does the audit chain hold? Read from its first entry to its last, one row at a time."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection, Engine, RowMapping, Select, select

from smpki.ca.store.audit_head import GENESIS, Head, HeadFile, key_id, needs_signature, row_mac
from smpki.ca.store.tables import audit, audit_head
from smpki.db.engine import reading
from smpki.errors import AuditError

_MOST_FINDINGS = 100
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFinding:
    """Something in the chain that does not hold.

    :param code: such as ``audit.entry.changed``
    :param where: ``entry 5``, ``head 3``, or the path of the outside file
    :param message: why
    """

    code: str
    where: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What a verification found.

    :param entries: entries read
    :param heads: heads read, without the one from before the first transaction
    :param signed: heads whose signature was verified
    :param behind: transactions that the outside file lacks; more than 0 after a crash or power failure, or when
        another machine wrote last
    :param findings: in the order of the chain, the first 100
    """

    entries: int
    heads: int
    signed: int
    behind: int
    findings: tuple[AuditFinding, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def verify(engine: Engine, key: bytes, head_file: Path, public_key: ec.EllipticCurvePublicKey | None) -> AuditReport:
    """Verify the audit chain: entries, heads, signatures, and the head kept outside the database.

    :param key: the audit key
    :param head_file: the newest head outside the database
    :param public_key: the key that signs heads; None leaves signatures unchecked
    :raises StoreError: the database or the file cannot be read
    """
    walk = _Walk(key, public_key)
    kept, complaint = None, None
    try:  # before the database: it may grow meanwhile, and must never seem shorter than the file
        kept = HeadFile(head_file, key).read()
    except AuditError as error:
        complaint = AuditFinding(code=error.code, where=str(head_file), message=error.message)
    with reading(engine) as connection:
        walk.run(connection, kept)
    if complaint is None:
        complaint = walk.compare_outside(kept, str(head_file))
    if complaint:
        walk.findings.append(complaint)
    return AuditReport(
        entries=walk.entries,
        heads=walk.heads,
        signed=walk.signed,
        behind=max(0, walk.newest.counter - kept.counter) if kept else 0,
        findings=tuple(walk.findings),
    )


def verify_copy(connection: Connection, key: bytes) -> AuditReport:
    """Verify the audit chain of a copy: entries and heads, but neither signatures nor the head kept outside."""
    walk = _Walk(key, None)
    walk.run(connection, None)
    found = tuple(walk.findings)
    return AuditReport(entries=walk.entries, heads=walk.heads, signed=0, behind=0, findings=found)


class _Walk:
    """The way along the chain and what was found on it."""

    def __init__(self, key: bytes, public_key: ec.EllipticCurvePublicKey | None) -> None:
        self._key = key
        self._public_key = public_key
        self._key_id = key_id(public_key) if public_key else None
        self._last_seq, self._last_mac = 0, GENESIS
        self._kept_twin: Head | None = None
        self._must_sign = False
        self.newest = Head(counter=-1, seq=0, mac=GENESIS, at=None)
        self.findings: list[AuditFinding] = []
        self.entries = self.heads = self.signed = 0

    def run(self, connection: Connection, kept: Head | None) -> None:
        """Read heads in order, and before each the entries it covers."""
        rows = _stream(connection, select(audit).order_by(audit.c.seq))
        row = next(rows, None)
        for fields in _stream(connection, select(audit_head).order_by(audit_head.c.counter)):
            head = Head(**fields)
            self._must_sign = False
            while row is not None and row["seq"] <= head.seq:
                self._entry(row)
                row = next(rows, None)
            self._head(head, at_end=row is None)
            if kept and kept.counter == head.counter:
                self._kept_twin = head
        while row is not None:
            self._found("uncovered", f"entry {row['seq']}", "no head covers it: the head was removed, or it was forged")
            self._entry(row)
            row = next(rows, None)
        if self.newest.counter < 0:
            self._found("missing", "head 0", "the head from before the first transaction was removed", kind="head")

    def compare_outside(self, kept: Head | None, path: str) -> AuditFinding | None:
        """Compare the head kept outside with the database."""
        if kept is None:
            message = "the head kept outside the database is missing, so a cut tail would not show"
            return AuditFinding(code="audit.head_file.missing", where=path, message=message)
        if kept.counter > self.newest.counter:
            message = (
                f"the tail was cut: head {kept.counter} over entry {kept.seq} is known outside, but the database "
                f"ends at head {max(0, self.newest.counter)} and entry {self._last_seq}"
            )
            cut = f"head {self.newest.counter + 1}" if kept.seq <= self._last_seq else f"entry {self._last_seq + 1}"
            return AuditFinding(code="audit.tail.cut", where=cut, message=message)
        if kept != self._kept_twin:
            message = f"head {kept.counter} in the database is not the one kept outside"
            return AuditFinding(code="audit.head.replaced", where=f"head {kept.counter}", message=message)
        return None

    def _entry(self, row: RowMapping) -> None:
        seq, expected = row["seq"], self._last_seq + 1
        where = f"entry {seq}"
        if seq != expected:
            lost = f"entry {expected}" if seq == expected + 1 else f"entries {expected} to {seq - 1}"
            self._found("missing", f"entry {expected}", f"{lost} removed: entry {seq} follows entry {self._last_seq}")
        if not hmac.compare_digest(row_mac(self._key, row), row["mac"]):
            self._found("changed", where, "its MAC does not fit: it was changed, moved here or forged")
        elif seq == expected and row["previous"] != self._last_mac:
            self._found("unlinked", where, f"it followed another entry than the present entry {self._last_seq}")
        self.entries += 1
        self._last_seq, self._last_mac = seq, row["mac"]
        self._must_sign = self._must_sign or needs_signature(row["action"], row["outcome"])

    def _head(self, head: Head, *, at_end: bool) -> None:
        where = f"head {head.counter}"
        expected = self.newest.counter + 1
        if head.counter != expected:
            message = f"removed: head {head.counter} follows head {self.newest.counter}"
            self._found("missing", f"head {expected}", message, kind="head")
        if head.counter and head.seq <= self.newest.seq:
            self._found("replaced", where, "it covers no entry of its own", kind="head")
        elif head.seq != self._last_seq:
            if at_end:  # otherwise the next entry tells what is missing
                message = f"the tail was cut: head {head.counter} covers entry {head.seq}"
                self._found("cut", f"entry {self._last_seq + 1}", message, kind="tail")
        elif head.mac != self._last_mac:
            self._found("replaced", where, f"it does not hold the MAC of entry {head.seq}", kind="head")
        self._signature(head, where)
        self.heads += head.counter > 0
        self.newest = head

    def _signature(self, head: Head, where: str) -> None:
        if self._public_key is None:
            return
        if head.signature is None:
            if self._must_sign:
                self._found("unsigned", where, "something was issued under it, but its signature is gone", kind="head")
            return
        if head.key_id != self._key_id:
            self._found("signer", where, "it names another signing key than this PKI's", kind="head")
            return
        try:
            self._public_key.verify(head.signature, head.signed_bytes(), ec.ECDSA(hashes.SHA256()))
            self.signed += 1
        except InvalidSignature:
            self._found("signature", where, "its signature does not fit: it was changed or forged", kind="head")

    def _found(self, what: str, where: str, message: str, *, kind: str = "entry") -> None:
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(AuditFinding(code=f"audit.{kind}.{what}", where=where, message=message))


def _stream(connection: Connection, query: Select[Any]) -> Iterator[RowMapping]:
    return iter(connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)).mappings())
