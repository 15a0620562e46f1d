"""Deliveries to market participants: each reading once, the same octets until an answer came.

A delivery and the readings in it are one transaction, its answer another. A crash between sending and storing the
answer sends the same octets under the same id once more; the receiver knows by the id that it has them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, insert, or_, select, tuple_, update

from smpki.errors import GatewayError
from smpki.gateway.readings import Obis, Reading
from smpki.gateway.store.readings import StoredReading, stored_readings
from smpki.gateway.store.tables import delivered, delivery, reading
from smpki.policy.device_id import DeviceId

State = Literal["open", "acknowledged", "refused"]

_IS_OLDEST = delivery.c.number.in_(
    select(func.min(delivery.c.number)).where(delivery.c.state == "open").group_by(delivery.c.participant)
)
"""The one that goes next: open, and the first of its participant."""


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


@dataclass(frozen=True, slots=True)
class Delivery:
    """A document for a participant.

    :param number: place in the order of deliveries
    :param id: names it to the participant
    :param document: what is sent, before it is encrypted
    :param attempts: how often it was sent
    :param attempted_at: when it was last sent; before that, when it was made
    :param answered_status: of the answer that closed it
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
        chosen = self._undelivered(participant, selection, limit)
        if not chosen:
            return None
        values = {"id": id, "participant": participant, "document": build([one.reading for one in chosen])}
        times = dict.fromkeys(("created_at", "attempted_at", "next_attempt_at"), now)
        made = insert(delivery).values(**values, **times, state="open", attempts=0).returning(delivery)
        row = self._connection.execute(made).mappings().one()
        links = {"participant": participant, "delivery": row["number"]}
        self._connection.execute(insert(delivered), [{"reading": one.number} | links for one in chosen])
        return _delivery(row)

    def _undelivered(self, participant: str, selection: Selection, limit: int) -> tuple[StoredReading, ...]:
        registers = [(str(meter), str(obis)) for meter, obis in selection.registers]
        had = select(delivered).where(delivered.c.participant == participant, delivered.c.reading == reading.c.number)
        wanted = [tuple_(reading.c.meter, reading.c.obis).in_(registers), ~had.exists()]
        wanted += [reading.c.captured_at >= selection.since] if selection.since else []
        wanted += [reading.c.captured_at < selection.until] if selection.until else []
        query = select(reading).where(*wanted).order_by(reading.c.number).limit(limit)
        return stored_readings(self._connection.execute(query).mappings())

    def due(self, now: datetime) -> tuple[Delivery, ...]:
        """What is to be sent now: of each participant the oldest open delivery, if its time has come.

        When the last attempt lies in the future the clock was set back, and what was planned by it counts no more.
        """
        its_time = or_(delivery.c.next_attempt_at <= now, delivery.c.attempted_at > now)
        return self._several(select(delivery).where(_IS_OLDEST, its_time))

    def next_attempt_at(self) -> datetime | None:
        """When the next delivery will be due; None: nothing is open."""
        query = select(delivery.c.next_attempt_at).where(_IS_OLDEST).order_by(delivery.c.next_attempt_at).limit(1)
        first: datetime | None = self._connection.execute(query).scalar()
        return first

    def get(self, id: str) -> Delivery:
        """A delivery.

        :raises GatewayError: ``delivery.unknown``
        """
        found = self._several(select(delivery).where(delivery.c.id == id))
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
        return self._several(select(delivery).where(*wanted).limit(limit))

    def counts(self) -> Mapping[tuple[str, State], int]:
        """How many deliveries there are, by participant and state."""
        columns = delivery.c.participant, delivery.c.state
        rows = self._connection.execute(select(*columns, func.count()).group_by(*columns))
        return {(participant, state): count for participant, state, count in rows}

    def readings_of(self, id: str) -> tuple[StoredReading, ...]:
        """The readings in a delivery."""
        query = select(reading).join(delivered, delivered.c.reading == reading.c.number)
        query = query.where(delivered.c.delivery == self.get(id).number).order_by(reading.c.number)
        return stored_readings(self._connection.execute(query).mappings())

    def attempted(self, id: str, *, now: datetime, next_attempt_at: datetime) -> None:
        """Note that an open delivery is being sent, and when to send it again unless an answer comes.

        :raises GatewayError: ``delivery.unknown`` or ``delivery.state``
        """
        values = {"attempts": delivery.c.attempts + 1, "attempted_at": now, "next_attempt_at": next_attempt_at}
        self._change(id, "open", values)

    def acknowledge(self, id: str, *, status: int, now: datetime) -> None:
        """Note that the participant has an open delivery.

        :param status: of its answer
        :raises GatewayError: ``delivery.unknown`` or ``delivery.state``
        """
        self._change(id, "open", {"state": "acknowledged", "answered_status": status, "answered_at": now})

    def refuse(self, id: str, *, status: int, now: datetime) -> None:
        """Note that the participant refuses an open delivery for good. Its readings stay with it.

        :raises GatewayError: ``delivery.unknown`` or ``delivery.state``
        """
        self._change(id, "open", {"state": "refused", "answered_status": status, "answered_at": now})

    def reopen(self, id: str, *, now: datetime) -> None:
        """Send a refused delivery again after all.

        :raises GatewayError: ``delivery.unknown`` or ``delivery.state``
        """
        unanswered = {"state": "open", "answered_status": None, "answered_at": None}
        self._change(id, "refused", {**unanswered, "attempted_at": now, "next_attempt_at": now})

    def _change(self, id: str, state: State, values: Mapping[str, object]) -> None:
        change = update(delivery).where(delivery.c.id == id, delivery.c.state == state).values(**values)
        if self._connection.execute(change).rowcount == 0:
            present = self.get(id).state
            raise GatewayError("delivery.state", f"the delivery is {present}, not {state}", where=id)

    def _several(self, query: Select[tuple[object, ...]]) -> tuple[Delivery, ...]:
        rows = self._connection.execute(query.order_by(delivery.c.number)).mappings()
        return tuple(map(_delivery, rows))


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(**row)
