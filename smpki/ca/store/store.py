"""The CA's store: intents before signatures, results after them, each in one durable transaction."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from sqlalchemy import Connection, Engine, Update, bindparam, insert, select, update

from smpki.ca.store.audit import AuditChain, lock_writers
from smpki.ca.store.conflicts import find_conflict
from smpki.ca.store.crls import Crls
from smpki.ca.store.holdings import Holdings
from smpki.ca.store.lists import IS_OPEN, Lists, open_intent
from smpki.ca.store.owner import OwnerLock
from smpki.ca.store.records import (
    AuditEntry,
    GrantedRequest,
    Intent,
    Issued,
    OpenIntent,
    Participant,
    StoredCertificate,
)
from smpki.ca.store.revocations import (
    Revocation,
    Revocations,
    refuse_revoked_issuers,
    remember,
    revoked_among,
    supersede,
)
from smpki.ca.store.tables import certificate, intent, participant, request
from smpki.db.engine import reading, writing
from smpki.errors import StoreError

T = TypeVar("T")

_AT_ONCE = 500

# Statements are put together once: a batch is short, and building one costs as much as running it.
_INSERT_INTENTS = insert(intent)
_INSERT_REQUESTS = insert(request)
_INSERT_CERTIFICATES = insert(certificate)
_INSERT_PARTICIPANTS = insert(participant)
_KNOWN_PARTICIPANTS = select(participant.c.subject_key, participant.c.role).where(
    participant.c.subject_key.in_(bindparam("subject_keys", expanding=True))
)
_OPEN_INTENTS = select(intent).where(IS_OPEN).order_by(intent.c.created_at, intent.c.serial)
_CLOSE = (
    update(intent)
    .where(intent.c.serial.in_(bindparam("serials", expanding=True)), IS_OPEN)
    .where(intent.c.owner.in_(bindparam("owners", expanding=True)))
    .values(closed_at=bindparam("now"))
)
_CLOSE_ISSUED = _CLOSE.values(state="issued")
_CLOSE_ABANDONED = _CLOSE.values(state="abandoned", holds=False)


class StoreView(Lists):
    """The store as seen inside a transaction that goes on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _reading(self) -> AbstractContextManager[Connection]:
        return nullcontext(self._connection)

    def revoked_among(self, serials: Collection[str]) -> Mapping[str, Revocation]:
        """Which of these certificates are revoked or suspended, by serial number."""
        return revoked_among(self._connection, serials)


class Store(Lists):
    """All that the CA remembers. Every method is one transaction: it is stored durably on return, or not at all.

    :param engine: a database whose schema was checked
    :param chain: the audit chain in the same database
    :param owner: this process
    """

    def __init__(self, engine: Engine, chain: AuditChain, *, owner: OwnerLock) -> None:
        self._engine = engine
        self._chain = chain
        self._owner = owner
        self._given_up: set[str] = set()  # intents of this process that a failing database may have kept open

    def _reading(self) -> AbstractContextManager[Connection]:
        return reading(self._engine)

    @cached_property
    def revocations(self) -> Revocations:
        """What is revoked or suspended."""
        return Revocations(self._engine, self._chain)

    @cached_property
    def crls(self) -> Crls:
        """The CRLs."""
        return Crls(self._engine, self._chain, self._owner)

    @cached_property
    def holdings(self) -> Holdings:
        """What holders hold, for a directory."""
        return Holdings(self._engine)

    def beside(self, make: Callable[[Engine, AuditChain], T]) -> T:
        """What another room remembers in the same database, with the same audit chain.

        :param make: makes it of the database and the chain
        """
        return make(self._engine, self._chain)

    def record_intents(self, intents: Sequence[Intent], check: Callable[[StoreView], None] | None = None) -> None:
        """Write down what will be signed. Only when this has returned may the token be asked.

        :param check: looks at the store in the same transaction, with every other writer kept out, and raises what
            speaks against it
        :raises IssuingError: ``issuing.subject.taken`` (another has this subject and number),
            ``issuing.key.reused`` (the key was certified before), ``issuing.package.in_progress`` (the package is
            granted or being granted), ``issuing.serial.taken``; ``where`` is the serial number of the intent that
            lost. Or ``issuing.issuer.revoked``. None of the intents is stored then
        :raises StoreError: the database failed
        """
        now = self._chain.now()
        rows = [
            _row(one) | {"owner": self._owner.name, "created_at": now, "holds": True, "state": "open"}
            for one in intents
        ]
        serials = [one.serial for one in intents]
        with self._explaining(intents), self._giving_up(serials), writing(self._engine) as connection:
            lock_writers(connection)
            refuse_revoked_issuers(connection, (one.issuer_serial for one in intents))
            if check is not None:
                check(StoreView(connection))
            connection.execute(_INSERT_INTENTS, rows)

    def complete(self, issued: Sequence[Issued], audit: Sequence[AuditEntry]) -> None:
        """Store what was issued, close its intents and add to the audit chain.

        :param issued: of many packages; an issuer stands before what it issued
        :param audit: at least one entry
        :raises StoreError: the database failed, or ``store.intent.missing``: a certificate has no open intent of this
            process
        :raises IssuingError: ``issuing.issuer.revoked``
        :raises TokenError: the audit head could not be signed
        """
        if not audit:
            raise ValueError("nothing is issued without an audit entry")
        certificates = [one for each in issued for one in each.certificates]
        requests = [each.request for each in issued if each.request]
        with self._chain.transaction(self._engine) as transaction:
            connection = transaction.connection
            refuse_revoked_issuers(connection, (one.issuer_serial for one in certificates))
            if requests:
                connection.execute(_INSERT_REQUESTS, [_row(one) for one in requests])
            if certificates:
                connection.execute(_INSERT_CERTIFICATES, [_row(one) for one in certificates])
            supersede(connection, [one for each in issued for one in each.supersedes], self._chain.now())
            _add_participants(connection, [each.participant for each in issued if each.participant], self._chain.now())
            self._close(connection, _CLOSE_ISSUED, [one.serial for one in certificates], {self._owner.name})
            transaction.append(audit)

    def adopt(self, intents: Sequence[Intent], certificates: Sequence[StoredCertificate], audit: AuditEntry) -> None:
        """Store certificates that another PKI's CA issued: of the root that is elsewhere, and of our keys by it.

        :param intents: what each certificate claims for itself, so that nobody is given it once more
        :param certificates: an issuer stands before what it issued
        :raises IssuingError: as :meth:`record_intents`; nothing is stored then
        :raises StoreError: the database failed
        :raises TokenError: the audit head could not be signed
        """
        now = self._chain.now()
        state = {"owner": self._owner.name, "created_at": now, "closed_at": now, "holds": True, "state": "issued"}
        with self._explaining(intents), self._chain.transaction(self._engine) as transaction:
            connection = transaction.connection
            refuse_revoked_issuers(connection, (one.issuer_serial for one in intents))
            connection.execute(_INSERT_INTENTS, [_row(one) | state for one in intents])
            connection.execute(_INSERT_CERTIFICATES, [_row(one) for one in certificates])
            transaction.append([audit])

    @contextmanager
    def _giving_up(self, serials: Sequence[str]) -> Iterator[None]:
        """Remember intents when the database fails: they may be open, since it may have failed after a commit."""
        try:
            yield
        except StoreError as error:
            if error.code != "store.conflict":
                self._given_up.update(serials)
            raise

    @contextmanager
    def _explaining(self, intents: Sequence[Intent]) -> Iterator[None]:
        """Say which of the intents could not be inserted, and why."""
        try:
            yield
        except StoreError as error:
            if error.code != "store.conflict":
                raise
        else:
            return
        with reading(self._engine) as connection:
            raise find_conflict(connection, intents)

    def abandon(self, serials: Sequence[str], audit: Sequence[AuditEntry]) -> None:
        """Close intents of this process whose signatures are not made or will not be used.

        :raises StoreError: the database failed, or ``store.intent.missing``; :meth:`recover` closes them then
        """
        with self._giving_up(serials), self._chain.transaction(self._engine) as transaction:
            self._close(transaction.connection, _CLOSE_ABANDONED, serials, {self._owner.name})
            if audit:
                transaction.append(audit)

    def recover(self) -> tuple[OpenIntent, ...]:
        """Close what processes of this folder left open when they died, and what this one could not close because the
        database failed, with one audit entry for each process; bring the audit head outside the database up to date.

        Intents of live processes stay. So do those from another folder or machine, but they are returned to be shown.

        :returns: what was closed, and what only another folder or machine can close
        """
        self._chain.catch_up(self._engine)
        self.crls.recover()
        if not self.open_intents():
            return ()
        with self._chain.transaction(self._engine) as transaction:
            rows = transaction.connection.execute(_OPEN_INTENTS).mappings().all()
            owners = {row["owner"] for row in rows}
            here = {owner for owner in owners if self._owner.is_here(owner)}
            dead = {owner for owner in here if not self._owner.is_alive(owner)}
            given_up = frozenset(self._given_up)
            left = {row["serial"]: row["owner"] for row in rows if row["owner"] in dead or row["serial"] in given_up}
            found = tuple(
                open_intent(row, closed=row["serial"] in left)
                for row in rows
                if row["serial"] in left or row["owner"] not in here
            )
            if left:
                whose = sorted(set(left.values()))
                self._close(transaction.connection, _CLOSE_ABANDONED, list(left), whose)
                transaction.append([_recovered(owner, found) for owner in whose])
        self._given_up -= given_up
        for owner in dead:
            self._owner.forget(owner)
        return found

    def hand_over(
        self, gateways: Collection[str], new_admin: str, acted_upon: GrantedRequest, audit: AuditEntry
    ) -> None:
        """Put gateways into the charge of another administrator (UpdateDeviceAdmin).

        :param gateways: their ``subject_key``
        :param new_admin: CN of the administrator
        :param acted_upon: the signed request, which is remembered; one that is known conflicts
        """
        with self._chain.transaction(self._engine) as transaction:
            remember(transaction.connection, acted_upon)
            of_gateway = (participant.c.subject_key == bindparam("gateway"), participant.c.role == "smgw-w")
            change = update(participant).where(*of_gateway)
            rows = [{"gateway": gateway, "admin": new_admin} for gateway in gateways]
            transaction.connection.execute(change.values(ou=bindparam("admin")), rows)
            transaction.append([audit])

    def record(self, entry: AuditEntry) -> None:
        """Add one audit entry of its own, such as a refusal; it does not need the token.

        :raises StoreError: the database or the outside file failed
        :raises AuditError: the chain does not hold
        """
        with self._chain.transaction(self._engine) as transaction:
            transaction.append([entry])

    def _close(self, connection: Connection, how: Update, serials: Sequence[str], owners: Collection[str]) -> None:
        for start in range(0, len(serials), _AT_ONCE):
            some = serials[start : start + _AT_ONCE]
            values = {"serials": some, "owners": list(owners), "now": self._chain.now()}
            closed = connection.execute(how, values).rowcount
            if closed != len(some):
                message = f"{len(some) - closed} of {len(some)} certificates have no open intent of this process"
                hint = "they were closed by another, or closed before; start the request again"
                raise StoreError("store.intent.missing", message, where=f"serial {some[0]} and following", hint=hint)


def _add_participants(connection: Connection, participants: Sequence[Participant], now: datetime) -> None:
    """Add those not known yet. Writers take turns, so nobody adds one between the look and the insert."""
    wanted = {(one.subject_key, one.role): one for one in participants}
    for key, role in connection.execute(_KNOWN_PARTICIPANTS, {"subject_keys": [key for key, _ in wanted]}):
        wanted.pop((key, role), None)
    if wanted:
        connection.execute(_INSERT_PARTICIPANTS, [_row(one) | {"first_seen": now} for one in wanted.values()])


def _recovered(owner: str, found: Sequence[OpenIntent]) -> AuditEntry:
    serials = [one.serial for one in found if one.closed and one.owner == owner]
    return AuditEntry(action="recover", outcome="done", subject=owner, detail={"abandoned": serials})


def _row(record: Intent | StoredCertificate | GrantedRequest | Participant) -> dict[str, object]:
    """A record as a row; its fields have the columns' names."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
