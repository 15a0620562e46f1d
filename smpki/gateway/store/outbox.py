"""Deliveries to market participants: each reading once, the same octets until an answer came.

A delivery and the readings in it are one transaction; the message it becomes is stored before it is sent, and its
answer after that. A crash between sending and storing the answer sends the same octets under the same id once more; the
receiver knows by the id that it has them.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Update,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from smpki.errors import GatewayError
from smpki.gateway.readings import Obis, Reading
from smpki.gateway.store.readings import READING, StoredReading, stored_readings
from smpki.gateway.store.tables import delivered, delivery, reached, reading, sealed
from smpki.policy.device_id import DeviceId

State = Literal["open", "acknowledged", "refused"]

_EVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which readings a participant is to have.

    :param registers: registers of meters
    :param since: captured then or later; None: from the beginning
    :param until: captured before; None: to the end
    """

    registers: frozenset[tuple[DeviceId, Obis]]
    since: datetime | None = None
    until: datetime | None = None

    @property
    def values(self) -> dict[str, Any]:
        """What the statements want to know of it."""
        registers = sorted(f"{meter} {obis}" for meter, obis in self.registers)
        return {"registers": registers, "since": self.since or _EVER[0], "until": self.until or _EVER[1]}


@dataclass(frozen=True, slots=True)
class Sealed:
    """The message that a delivery became.

    :param circumstances: what tells it from messages that were made with other certificates, or in another way
    """

    circumstances: str
    message: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """A document for a participant.

    :param number: place in the order of deliveries
    :param id: names it to the participant
    :param document: what is sent, before it is encrypted
    :param attempts: how often it was going to be sent
    :param attempted_at: when that was last; before that, when it was made
    :param answered_status: of the answer that closed it
    :param sealed: the message that was going to be sent, until it is answered for good
    """

    number: int
    id: str
    participant: str
    document: bytes
    created_at: datetime
    state: State
    attempts: int
    attempted_at: datetime
    next_attempt_at: datetime
    answered_at: datetime | None
    answered_status: int | None
    sealed: Sealed | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that closes a delivery.

    :param state: ``acknowledged``: the participant has it; ``refused``: for good, and its readings stay with it
    """

    delivery: Delivery
    state: Literal["acknowledged", "refused"]
    status: int


# Statements are built once, which takes longer than SQLite needs for them. States are written out where the index of
# open deliveries is to be used: that is chosen before values are known.
_OPEN = delivery.c.state == literal_column("'open'")
_DELIVERIES = select(delivery, sealed.c.circumstances, sealed.c.message).outerjoin(
    sealed, sealed.c.delivery == delivery.c.number
)
_NEXT = (
    _DELIVERIES.where(_OPEN, delivery.c.participant == bindparam("of"))
    .order_by(delivery.c.number)
    .limit(bindparam("limit"))
)
_NEXT_ATTEMPT = (
    select(delivery.c.next_attempt_at)
    .where(_OPEN, delivery.c.participant == bindparam("of"))
    .order_by(delivery.c.number)
    .limit(1)
)
_CREATED = tuple(column.name for column in delivery.c)
_CREATE = insert(delivery)
_LAST_DELIVERY = select(func.coalesce(func.max(delivery.c.number), 0))
_ATTEMPT = (
    update(delivery)
    .where(delivery.c.number == bindparam("of"), _OPEN)
    .values(
        attempts=delivery.c.attempts + 1,
        attempted_at=bindparam("attempted_at"),
        next_attempt_at=bindparam("next_attempt_at"),
    )
)
_SEAL = upsert(sealed).on_conflict_do_update(
    index_elements=["delivery"],
    set_={name: upsert(sealed).excluded[name] for name in ("circumstances", "message")},
)
_UNSEAL = delete(sealed).where(sealed.c.delivery == bindparam("of"))
_ANSWER = (
    update(delivery)
    .where(delivery.c.number == bindparam("of"), _OPEN)
    .values({name: bindparam(name) for name in ("state", "answered_status", "answered_at")})
)

_REACHED = select(reached.c.reading).where(
    reached.c.participant == bindparam("participant"), reached.c.selection == bindparam("selection")
)
_REACH = upsert(reached).on_conflict_do_update(
    index_elements=["participant", "selection"], set_={"reading": upsert(reached).excluded.reading}
)
_LAST = select(func.coalesce(func.max(reading.c.number), 0))
_HAD = select(delivered).where(
    delivered.c.participant == bindparam("participant"), delivered.c.reading == reading.c.number
)
_UNDELIVERED = (
    reading.c.number > bindparam("after"),
    # no index has this: SQLite would sort all that a register ever held, rather than go on where it was
    (reading.c.meter + " " + reading.c.obis).in_(bindparam("registers", expanding=True)),
    reading.c.captured_at >= bindparam("since"),
    reading.c.captured_at < bindparam("until"),
    ~_HAD.exists(),
)
_CHOOSE = select(*READING).where(*_UNDELIVERED).order_by(reading.c.number).limit(bindparam("limit"))
# as the driver takes it: SQLAlchemy would take longer to look at the rows than SQLite to store them
_DELIVER = "INSERT INTO delivered (participant, reading, delivery) VALUES (?, ?, ?)"


class Outbox:
    """Deliveries, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        participant: str,
        selection: Selection,
        id: str,
        build: Callable[[Sequence[Reading]], bytes],
        *,
        now: datetime,
        limit: int = 1000,
    ) -> Delivery | None:
        """Make a delivery of the readings that the participant has not had.

        :param id: a new one, such as a UUID
        :param build: makes the document, in the transaction; what it raises leaves nothing behind
        :param limit: most readings in one delivery; with more there is another one to make
        :returns: None when there is nothing to deliver
        :raises StoreError: ``store.conflict``: there is a delivery with this id
        """
        made = self.create_several(
            participant, selection, lambda readings: (id, build(readings)), now=now, limit=limit, most=1
        )
        return made[0] if made else None

    def create_several(
        self,
        participant: str,
        selection: Selection,
        build: Callable[[Sequence[Reading]], tuple[str, bytes]],
        *,
        now: datetime,
        limit: int = 1000,
        most: int = 16,
    ) -> tuple[Delivery, ...]:
        """Make deliveries as :meth:`create` does, with as few statements as one takes.

        :param build: makes the id and the document of each
        :param most: so many at once; with fewer made, there is nothing left to deliver
        """
        place = {"participant": participant, "selection": _digest(selection)}
        after: int = self._connection.execute(_REACHED, place).scalar() or 0
        wanted = selection.values | {"participant": participant, "after": after, "limit": limit * most}
        chosen = stored_readings(self._connection.execute(_CHOOSE, wanted).all())
        looked_at_all = len(chosen) < limit * most
        last = self._connection.execute(_LAST).scalar_one() if looked_at_all else chosen[-1].number
        if last > after:
            self._connection.execute(_REACH, place | {"reading": last})
        if not chosen:
            return ()
        number = self._connection.execute(_LAST_DELIVERY).scalar_one()
        made, held = [], []
        for begin in range(0, len(chosen), limit):
            part, number = chosen[begin : begin + limit], number + 1
            id, document = build([one.reading for one in part])
            made.append(Delivery(number, id, participant, document, now, "open", 0, now, now, None, None))
            held += [(participant, one.number, number) for one in part]
        self._connection.execute(_CREATE, [{name: getattr(one, name) for name in _CREATED} for one in made])
        self._connection.exec_driver_sql(_DELIVER, held)
        return tuple(made)

    def due(self, participant: str, now: datetime, *, limit: int = 1, whenever: bool = False) -> tuple[Delivery, ...]:
        """What is to be sent to a participant now: open deliveries from the oldest on, as far as their time has come.

        When the last attempt lies in the future the clock was set back, and what was planned by it counts no more.

        :param whenever: their time counts as come
        """
        found = self._several(_NEXT, {"of": participant, "limit": limit})
        return tuple(takewhile(lambda one: whenever or one.next_attempt_at <= now or one.attempted_at > now, found))

    def next_attempt_at(self, participant: str) -> datetime | None:
        """When the next delivery to a participant will be due; None: nothing is open."""
        first: datetime | None = self._connection.execute(_NEXT_ATTEMPT, {"of": participant}).scalar()
        return first

    def get(self, id: str) -> Delivery:
        """A delivery.

        :raises GatewayError: ``delivery.unknown``
        """
        found = self._several(_DELIVERIES.where(delivery.c.id == id))
        if not found:
            raise GatewayError("delivery.unknown", "there is no such delivery", where=id)
        return found[0]

    def page(
        self, *, participant: str | None = None, state: State | None = None, after: int = 0, limit: int = 100
    ) -> tuple[Delivery, ...]:
        """Deliveries in the order in which they were made."""
        wanted: list[ColumnElement[bool]] = [delivery.c.number > after]
        wanted += [delivery.c.participant == participant] if participant else []
        wanted += [delivery.c.state == state] if state else []
        return self._several(_DELIVERIES.where(*wanted).order_by(delivery.c.number).limit(limit))

    def counts(self) -> Mapping[tuple[str, State], int]:
        """How many deliveries there are, by participant and state."""
        columns = delivery.c.participant, delivery.c.state
        rows = self._connection.execute(select(*columns, func.count()).group_by(*columns))
        return {(participant, state): count for participant, state, count in rows}

    def readings_of(self, id: str) -> tuple[StoredReading, ...]:
        """The readings in a delivery."""
        query = select(*READING).join(delivered, delivered.c.reading == reading.c.number)
        query = query.where(delivered.c.delivery == self.get(id).number).order_by(reading.c.number)
        return stored_readings(self._connection.execute(query))

    def attempt(
        self, deliveries: Sequence[tuple[Delivery, Sealed]], *, now: datetime, next_attempt_at: datetime
    ) -> None:
        """Note that open deliveries are going to be sent, as which messages, and when again unless an answer comes.

        :raises GatewayError: ``delivery.state``
        """
        times = {"attempted_at": now, "next_attempt_at": next_attempt_at}
        self._change(_ATTEMPT, [(one, times) for one, _ in deliveries])
        messages = [
            {"delivery": one.number, "circumstances": message.circumstances, "message": message.message}
            for one, message in deliveries
            if message != one.sealed
        ]
        if messages:
            self._connection.execute(_SEAL, messages)

    def answer(self, answers: Sequence[Answered], *, now: datetime) -> None:
        """Note what was answered for good to open deliveries.

        :raises GatewayError: ``delivery.state``
        """
        self._change(
            _ANSWER,
            [
                (one.delivery, {"state": one.state, "answered_status": one.status, "answered_at": now})
                for one in answers
            ],
        )
        self._connection.execute(_UNSEAL, [{"of": one.delivery.number} for one in answers])

    def reopen(self, participant: str, *, now: datetime) -> int:
        """Send all after all that a participant has refused.

        :returns: how many
        """
        refused = delivery.c.participant == participant, delivery.c.state == "refused"
        unanswered = {"state": "open", "answered_status": None, "answered_at": None}
        change = update(delivery).where(*refused).values(**unanswered, attempted_at=now, next_attempt_at=now)
        return self._connection.execute(change).rowcount

    def _change(self, change: Update, deliveries: Sequence[tuple[Delivery, Mapping[str, object]]]) -> None:
        values = [{"of": one.number, **changed} for one, changed in deliveries]
        if self._connection.execute(change, values).rowcount != len(values):
            where = ", ".join(one.id for one, _ in deliveries)
            raise GatewayError("delivery.state", "one of these deliveries is not open any more", where=where)

    def _several(self, query: Select[Any], values: Mapping[str, object] | None = None) -> tuple[Delivery, ...]:
        return tuple(map(_delivery, self._connection.execute(query, values)))


def _delivery(row: Sequence[Any]) -> Delivery:
    *values, circumstances, message = row
    return Delivery(*(*values, Sealed(circumstances, message) if message else None))


def _digest(selection: Selection) -> str:
    return hashlib.sha256(repr(selection.values).encode()).hexdigest()
