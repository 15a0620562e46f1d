"""What is revoked or suspended: looked at by all who issue, changed together with the audit chain."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, Executable, bindparam, delete, insert, select, update

from smpki.ca.store.audit import AuditChain, AuditTransaction
from smpki.ca.store.lists import Lists
from smpki.ca.store.records import AuditEntry, GrantedRequest, ListedCertificate, StoredCertificate
from smpki.ca.store.tables import request, revocation
from smpki.db.engine import reading
from smpki.db.types import UtcTime
from smpki.errors import IssuingError

_R = revocation.c
_COLUMNS = [column for column in _R if column.name != "id"]
_AMONG = select(*_COLUMNS).where(_R.serial.in_(bindparam("serials", expanding=True)))
_AT = bindparam("at", type_=UtcTime())
_OVERDUE = select(*_COLUMNS).where(_R.suspended_until < _AT, _R.not_after >= _AT).order_by(_R.suspended_until)
_THIS = _R.serial == bindparam("this")
_INSERT = insert(revocation)
_REVOKE_FOR_GOOD = update(revocation).where(_THIS).values(reason=bindparam("new_reason"), suspended_until=None)
_DELETE = delete(revocation).where(_THIS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A certificate that is revoked (gesperrt) or suspended (suspendiert).

    :param kind: its type, as in :class:`StoredCertificate`
    :param not_after: the certificate's own end
    :param since: in whole seconds; of a certificate that was suspended first, since when it was suspended
    :param reason: as policies spell it, such as ``key_compromise``
    :param suspended_until: the last moment of the suspension; None when it is revoked for good
    """

    serial: str
    issuer_serial: str
    kind: str
    not_after: datetime
    since: datetime
    reason: str
    suspended_until: datetime | None = None

    @classmethod
    def of(
        cls, certificate: ListedCertificate, reason: str, now: datetime, suspended_until: datetime | None = None
    ) -> "Revocation":
        """The revocation of a certificate from now on, or its suspension."""
        return cls(
            serial=certificate.serial,
            issuer_serial=certificate.issuer_serial or "",
            kind=certificate.kind,
            not_after=certificate.not_after,
            since=now.replace(microsecond=0),
            reason=reason,
            suspended_until=suspended_until,
        )


class Revocations:
    """What is revoked or suspended.

    :param engine: a database whose schema was checked
    :param chain: the audit chain in the same database
    """

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def among(self, serials: Collection[str]) -> Mapping[str, Revocation]:
        """Which of these certificates are revoked or suspended, by serial number."""
        with reading(self._engine) as connection:
            return revoked_among(connection, serials)

    @contextmanager
    def changing(self, acted_upon: GrantedRequest | None = None) -> Iterator["RevocationChange"]:
        """One transaction that changes what is revoked, with every other writer kept out.

        :param acted_upon: a signed request, to be remembered; one that is known conflicts
        :raises StoreError: the database or the audit head refused; nothing is changed
        :raises AuditError: the audit chain does not hold; likewise
        """
        with self._chain.transaction(self._engine) as transaction:
            if acted_upon is not None:
                remember(transaction.connection, acted_upon)
            yield RevocationChange(transaction)


class RevocationChange(Lists):
    """The store inside a transaction that takes certificates back, or gives them back."""

    def __init__(self, transaction: AuditTransaction) -> None:
        self._transaction = transaction
        self._connection = transaction.connection

    def _reading(self) -> AbstractContextManager[Connection]:
        return nullcontext(self._connection)

    def among(self, serials: Collection[str]) -> Mapping[str, Revocation]:
        """As :meth:`Revocations.among`."""
        return revoked_among(self._connection, serials)

    def overdue(self, at: datetime) -> tuple[Revocation, ...]:
        """What was suspended until a moment before ``at``, of certificates that are not expired by then."""
        rows = self._connection.execute(_OVERDUE, {"at": at}).mappings()
        return tuple(Revocation(**row) for row in rows)

    def add(self, revocations: Iterable[Revocation]) -> None:
        """Revoke or suspend certificates that are neither."""
        self._execute(_INSERT, [asdict(one) for one in revocations])

    def revoke_suspended(self, serials: Iterable[str], reason: str) -> None:
        """Revoke for good what is suspended."""
        self._execute(_REVOKE_FOR_GOOD, [{"this": serial, "new_reason": reason} for serial in serials])

    def remove(self, serials: Iterable[str]) -> None:
        """End suspensions; the audit chain remembers them."""
        self._execute(_DELETE, [{"this": serial} for serial in serials])

    def record(self, entries: Sequence[AuditEntry]) -> None:
        """Add what was done to the audit chain; once, last of all."""
        self._transaction.append(entries)

    def _execute(self, statement: Executable, rows: list[dict[str, object]]) -> None:
        if rows:
            self._connection.execute(statement, rows)


def refuse_revoked_issuers(connection: Connection, issuers: Iterable[str | None]) -> None:
    """See that none of these CAs is revoked.

    :param issuers: serial numbers of their certificates; None stands for a root's own
    :raises IssuingError: ``issuing.issuer.revoked``
    """
    for one in revoked_among(connection, {serial for serial in issuers if serial}).values():
        raise IssuingError(
            "issuing.issuer.revoked",
            f"the certificate of the CA was revoked on {one.since:%Y-%m-%d} ({one.reason})",
            where=one.serial,
            hint="a CA whose certificate is revoked issues nothing: let another one issue",
        )


def remember(connection: Connection, acted_upon: GrantedRequest) -> None:
    """Remember a signed request, so that whoever keeps a copy of it can't have it acted upon again."""
    connection.execute(insert(request), asdict(acted_upon))


def supersede(connection: Connection, old: Iterable[StoredCertificate], now: datetime) -> None:
    """Revoke certificates whose place is taken by others, those that are not revoked for good yet."""
    found = {one.serial: one for one in old}
    states = revoked_among(connection, found)
    suspended = [serial for serial, state in states.items() if state.suspended_until is not None]
    if suspended:
        connection.execute(_REVOKE_FOR_GOOD, [{"this": serial, "new_reason": "superseded"} for serial in suspended])
    fresh = [Revocation.of(one, "superseded", now) for one in found.values() if one.serial not in states]
    if fresh:
        connection.execute(_INSERT, [asdict(one) for one in fresh])


def revoked_among(connection: Connection, serials: Collection[str]) -> Mapping[str, Revocation]:
    """Which of these certificates are revoked or suspended, by serial number."""
    if not serials:
        return {}
    rows = connection.execute(_AMONG, {"serials": list(serials)}).mappings()
    return {row["serial"]: Revocation(**row) for row in rows}
