"""Deliveries that were taken, and where their lines are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, select

from smpki.service.market_participant.store.tables import delivery


@dataclass(frozen=True, order=True, slots=True)
class Position:
    """A place in the files of readings.

    :param file: its number, from 1
    :param octets: before the place
    """

    file: int = 1
    octets: int = 0


@dataclass(frozen=True, slots=True)
class TakenDelivery:
    """A delivery that was taken.

    :param gateway: its device id, in lower case
    :param id: the gateway's name for it
    :param digest: SHA-256 of its content
    :param readings: how many
    :param file: number of the file with its lines
    :param from_octet: where they begin there
    :param to_octet: where they end
    """

    gateway: str
    id: str
    digest: bytes
    readings: int
    taken_at: datetime
    file: int
    from_octet: int
    to_octet: int


@dataclass(frozen=True, slots=True)
class Total:
    """What was taken from one gateway."""

    gateway: str
    deliveries: int
    readings: int
    last_taken_at: datetime


_NAMES = tuple(field.name for field in fields(TakenDelivery))
_COLUMNS = tuple(delivery.c[name] for name in _NAMES)
# what is made once for all takes half as long
_LAST = select(delivery.c.file, delivery.c.to_octet).order_by(delivery.c.number.desc()).limit(1)
_DIGESTS = select(delivery.c.gateway, delivery.c.id, delivery.c.digest).where(
    delivery.c.id.in_(bindparam("ids", expanding=True))  # by pairs, SQLite would read the whole table
)
_ADD = insert(delivery)


class Deliveries:
    """Deliveries, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def position(self) -> Position:
        """Where the lines of all deliveries that were taken end."""
        row = self._connection.execute(_LAST).one_or_none()
        return Position() if row is None else Position(*row)

    def digests(self, ids: Sequence[str]) -> Mapping[tuple[str, str], bytes]:
        """The digests of the deliveries with these ids that were taken, by gateway and id."""
        rows = self._connection.execute(_DIGESTS, {"ids": ids})
        return {(gateway, id): digest for gateway, id, digest in rows}

    def add(self, taken: Sequence[TakenDelivery]) -> None:
        """Remember deliveries, in the order of their lines.

        :raises StoreError: ``store.conflict``: one is there already
        """
        self._connection.execute(_ADD, [{name: getattr(one, name) for name in _NAMES} for one in taken])

    def page(self, gateway: str | None = None, *, after: int = 0, limit: int = 100) -> Mapping[int, TakenDelivery]:
        """Deliveries by their number, in the order in which they were taken.

        :param gateway: only from this one
        :param after: number of the last one of the page before
        """
        wanted: list[ColumnElement[bool]] = [delivery.c.number > after]
        wanted += [delivery.c.gateway == gateway] if gateway else []
        query = select(delivery.c.number, *_COLUMNS).where(*wanted).order_by(delivery.c.number).limit(limit)
        return {number: TakenDelivery(*values) for number, *values in self._connection.execute(query)}

    def totals(self) -> tuple[Total, ...]:
        """What was taken from each gateway, by device id."""
        sums = func.count(), func.sum(delivery.c.readings), func.max(delivery.c.taken_at)
        query = select(delivery.c.gateway, *sums).group_by(delivery.c.gateway).order_by(delivery.c.gateway)
        return tuple(Total(*row) for row in self._connection.execute(query))
