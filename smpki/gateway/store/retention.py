"""What is removed from the store when it is old and nobody waits for it any more."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, false, func, not_, or_, select

from smpki.gateway.store.outbox import Selection
from smpki.gateway.store.tables import conflict, delivered, delivery, reading

_UNFINISHED = (
    select(delivered.c.reading)
    .join(delivery, delivery.c.number == delivered.c.delivery)
    .where(delivery.c.state != "acknowledged")
)
_LAST_READING, _LAST_DELIVERY = (select(func.max(table.c.number)).scalar_subquery() for table in (reading, delivery))


class Retention:
    """Removes, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def forget(self, before: datetime, wanted: Collection[tuple[str, Selection]], *, limit: int = 500) -> int:
        """Remove readings that were captured before a moment, and the acknowledged deliveries that held nothing else.

        A reading stays as long as a delivery that holds it is open or refused, and as long as somebody is to have it
        and has not.

        :param wanted: participants, and which readings they are to have
        :param limit: most readings at once
        :returns: how many were removed; with the limit there may be more
        """
        missing = [and_(_chosen(selection), not_(_had(participant))) for participant, selection in wanted]
        old = select(reading.c.number).where(
            reading.c.captured_at < before,
            reading.c.number < _LAST_READING,  # its number must not be given to another one
            reading.c.number.not_in(_UNFINISHED),
            not_(or_(false(), *missing)),
        )
        numbers = self._connection.execute(old.limit(limit)).scalars().all()
        if not numbers:
            return 0
        links = delete(delivered).where(delivered.c.reading.in_(numbers)).returning(delivered.c.delivery)
        touched = set(self._connection.execute(links).scalars())
        self._connection.execute(delete(conflict).where(conflict.c.reading.in_(numbers)))
        self._connection.execute(delete(reading).where(reading.c.number.in_(numbers)))
        holds_more = select(delivered).where(delivered.c.delivery == delivery.c.number).exists()
        empty = delivery.c.number.in_(touched), ~holds_more, delivery.c.number < _LAST_DELIVERY
        self._connection.execute(delete(delivery).where(*empty))
        return len(numbers)


def _chosen(selection: Selection) -> ColumnElement[bool]:
    values = selection.values
    register = reading.c.meter + " " + reading.c.obis
    return and_(
        register.in_(values["registers"]),
        reading.c.captured_at >= values["since"],
        reading.c.captured_at < values["until"],
    )


def _had(participant: str) -> ColumnElement[bool]:
    return (
        select(delivered)
        .where(delivered.c.participant == participant, delivered.c.reading == reading.c.number)
        .exists()
    )
