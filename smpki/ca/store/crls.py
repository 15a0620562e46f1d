"""CRLs: the rows they are made of, and the CRLs themselves, recorded before they are signed."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine, bindparam, func, insert, literal_column, select, update

from smpki.ca.store.audit import AuditChain, lock_writers
from smpki.ca.store.owner import OwnerLock
from smpki.ca.store.records import AuditEntry
from smpki.ca.store.tables import crl, revocation
from smpki.db.engine import reading, writing
from smpki.db.types import UtcTime
from smpki.errors import IssuingError, StoreError

_C, _R = crl.c, revocation.c
_ROWS_AT_ONCE = 10_000
_RECORDED = [column for column in _C if column.name not in ("id", "owner", "state", "der")]

# Written out, not bound: SQLite uses a partial index only where it finds the condition in the statement.
_IS_OPEN = _C.state == literal_column("'open'")
_OF_SCOPE = (_C.authority == bindparam("this_authority"), _C.kind == bindparam("this_kind"))
_THIS = (*_OF_SCOPE, _C.number == bindparam("this_number"))
_ISSUED = select(*_RECORDED).where(*_OF_SCOPE, _C.state == "issued").order_by(_C.number.desc()).limit(1)
_SCHEDULED = _ISSUED.where(_C.scheduled)
_HIGHEST = select(func.max(_C.number)).where(*_OF_SCOPE)
_BYTES = select(_C.der).where(*_THIS)
_RECORD = insert(crl)
_CLOSE = update(crl).where(*_THIS)
_ENTRIES = (
    select(_R.serial, _R.since, _R.reason, _R.kind)
    .where(_R.issuer_serial == bindparam("issuer_serial"), _R.not_after >= bindparam("ends_from", type_=UtcTime()))
    .order_by(_R.id)
)


class CrlScope(NamedTuple):
    """What a row of CRLs is about; their numbers count within it (RFC 5280 5.2.3).

    :param authority: serial number of the CA's certificate
    :param kind: type of the certificate whose key signs: ``sub-ca``, ``root``, or ``crl-signer`` for the indirect CRL
        of a root
    """

    authority: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlRecord:
    """A CRL without its bytes.

    :param number: the CRL number
    :param signer: serial number of the certificate whose key signs
    :param scheduled: it was due when it was issued; the others came between
    :param tbs_hash: SHA-256 of the bytes that are signed
    """

    authority: str
    kind: str
    number: int
    signer: str
    this_update: datetime
    next_update: datetime
    scheduled: bool
    entries: int
    tbs_hash: str

    @property
    def scope(self) -> CrlScope:
        """What it is about."""
        return CrlScope(self.authority, self.kind)


class RevokedRow(NamedTuple):
    """What an entry of a CRL is made of; the columns of :class:`smpki.ca.store.revocations.Revocation`."""

    serial: str
    since: datetime
    reason: str
    kind: str


class Crls:
    """All CRLs that were issued.

    :param engine: a database whose schema was checked
    :param chain: the audit chain in the same database
    :param owner: this process
    """

    def __init__(self, engine: Engine, chain: AuditChain, owner: OwnerLock) -> None:
        self._engine = engine
        self._chain = chain
        self._owner = owner

    def newest(self, scope: CrlScope, *, scheduled: bool = False) -> CrlRecord | None:
        """The CRL in force; or the newest of those that were due. None without one."""
        with reading(self._engine) as connection:
            row = connection.execute(_SCHEDULED if scheduled else _ISSUED, _these(scope)).mappings().first()
        return CrlRecord(**row) if row else None

    def der(self, record: CrlRecord) -> bytes:
        """The CRL itself.

        :raises StoreError: ``store.crl.missing`` when it was never issued
        """
        with reading(self._engine) as connection:
            found = connection.execute(_BYTES, _this(record)).scalar()
        if found is None:
            raise StoreError("store.crl.missing", "there is no such CRL", where=f"{record.kind} {record.number}")
        content: bytes = found
        return content

    def begin(self, scope: CrlScope) -> tuple[int, datetime]:
        """The next CRL number, and thisUpdate: whatever is revoked before that moment is on :meth:`revoked` by now.

        Who revokes looks at the clock while other writers are kept out, and so does this.
        """
        with writing(self._engine) as connection:
            lock_writers(connection)
            highest = connection.execute(_HIGHEST, _these(scope)).scalar()
            return (highest or 0) + 1, self._chain.now()

    def revoked(self, issuer_serial: str, ends_from: datetime) -> Iterator[RevokedRow]:
        """The certificates of an issuer that are revoked or suspended now, in the order in which they became so.

        :param ends_from: leaves out certificates that ended before
        """
        values = {"issuer_serial": issuer_serial, "ends_from": ends_from}
        with reading(self._engine) as connection:
            rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(_ENTRIES, values)
            yield from map(RevokedRow._make, rows)

    def record(self, one: CrlRecord) -> None:
        """Write down what will be signed. Only when this has returned may the token be asked.

        :raises IssuingError: ``crl.number.taken``: another process is issuing the same CRL
        :raises StoreError: the database failed
        """
        try:
            with writing(self._engine) as connection:
                lock_writers(connection)
                connection.execute(_RECORD, asdict(one) | {"owner": self._owner.name, "state": "open"})
        except StoreError as error:
            if error.code != "store.conflict":
                raise
            raise IssuingError(
                "crl.number.taken",
                f"another process issues CRL {one.number} at the same time",
                where=f"{one.kind} {one.authority}",
                hint="see smpki crl list; issue again if something was revoked since",
            ) from None

    def complete(self, one: CrlRecord, der: bytes, audit: Sequence[AuditEntry]) -> None:
        """Store a CRL that was recorded, and add to the audit chain.

        :raises StoreError: the database failed
        :raises TokenError: the audit head could not be signed
        """
        with self._chain.transaction(self._engine) as transaction:
            transaction.connection.execute(_CLOSE.values(state="issued", der=der), _this(one))
            transaction.append(audit)

    def abandon(self, one: CrlRecord) -> None:
        """Close a CRL whose signature is not made or will not be used; its number is used up.

        :raises StoreError: the database failed
        """
        with writing(self._engine) as connection:
            lock_writers(connection)
            connection.execute(_CLOSE.values(state="abandoned"), _this(one))

    def recover(self) -> None:
        """Close what processes of this folder left open when they died, with one audit entry for each process."""
        with reading(self._engine) as connection:
            owners = set(connection.execute(select(_C.owner).where(_IS_OPEN)).scalars())
        dead = sorted(one for one in owners if self._owner.is_here(one) and not self._owner.is_alive(one))
        for owner in dead:
            theirs = (_C.owner == owner, _IS_OPEN)
            with self._chain.transaction(self._engine) as transaction:
                rows = transaction.connection.execute(select(*_RECORDED).where(*theirs)).mappings().all()
                transaction.connection.execute(update(crl).where(*theirs).values(state="abandoned"))
                found = [{"kind": row["kind"], "authority": row["authority"], "number": row["number"]} for row in rows]
                detail = {"abandoned_crls": found}
                transaction.append([AuditEntry(action="recover", outcome="done", subject=owner, detail=detail)])


def _these(scope: CrlScope) -> dict[str, object]:
    return {"this_authority": scope.authority, "this_kind": scope.kind}


def _this(one: CrlRecord) -> dict[str, object]:
    return {**_these(one.scope), "this_number": one.number}
