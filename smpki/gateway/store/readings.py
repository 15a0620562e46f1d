"""Readings in the store: each moment of a register once, and never another value for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, select
from sqlalchemy.dialects.sqlite import insert

from smpki.gateway.readings import Obis, Reading
from smpki.gateway.store.tables import conflict, reading
from smpki.policy.device_id import DeviceId

READING = tuple(reading.c)
"""The columns that :func:`stored_readings` expects."""

_KEY = ("meter", "obis", "captured_at")
_HELD = ("value", "scaler", "unit", "status")
_INSERT = insert(reading).on_conflict_do_nothing(index_elements=_KEY)
_STORED = select(reading).where(and_(*(reading.c[name] == bindparam(name) for name in _KEY)))
_CONTRADICT = insert(conflict).on_conflict_do_nothing(index_elements=["reading", *_HELD])

# A gateway has few meters and registers; parsing their names would be a third of the time that reading takes.
_meter, _obis = lru_cache(256)(DeviceId.parse), lru_cache(1024)(Obis.parse)


@dataclass(frozen=True, slots=True)
class Added:
    """What became of readings that were to be stored.

    :param new: how many are new
    :param repeated: how many were there already, just so
    :param contradicting: those for whose moment another value, unit or status is stored
    """

    new: int
    repeated: int
    contradicting: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class StoredReading:
    """A reading with its place in the order of storing."""

    number: int
    reading: Reading


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two readings of one moment: the one that counts, and the one that came later."""

    number: int
    stored: Reading
    later: Reading
    noticed_at: datetime


class Readings:
    """Readings, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, readings: Sequence[Reading], *, now: datetime) -> Added:
        """Store readings.

        A reading that contradicts a stored one changes nothing; it is kept as a conflict, once.
        """
        rows = [row_of(one) for one in readings]
        new = self._connection.execute(_INSERT, rows).rowcount if rows else 0
        contradicting = []
        if new < len(rows):  # which of them were there can be seen only by looking at each
            for one, row in zip(readings, rows, strict=True):
                stored = self._connection.execute(_STORED, row).mappings().one()
                if any(stored[name] != row[name] for name in _HELD):
                    later = {name: row[name] for name in _HELD}
                    values = {"reading": stored["number"], "noticed_at": now} | later
                    self._connection.execute(_CONTRADICT, values)
                    contradicting.append(one)
        return Added(new, len(rows) - new - len(contradicting), tuple(contradicting))

    def page(
        self,
        *,
        meter: DeviceId | None = None,
        obis: Obis | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> tuple[StoredReading, ...]:
        """Readings in the order of storing.

        :param since: captured then or later
        :param until: captured before
        :param after: number of the last reading of the page before
        """
        wanted = [reading.c.number > after]
        wanted += [reading.c.meter == str(meter)] if meter else []
        wanted += [reading.c.obis == str(obis)] if obis else []
        wanted += [reading.c.captured_at >= since] if since else []
        wanted += [reading.c.captured_at < until] if until else []
        query = select(*READING).where(*wanted).order_by(reading.c.number).limit(limit)
        return stored_readings(self._connection.execute(query))

    def latest(self) -> Mapping[tuple[DeviceId, Obis], datetime]:
        """When the latest reading of each register was captured."""
        columns = reading.c.meter, reading.c.obis
        query = select(*columns, func.max(reading.c.captured_at)).group_by(*columns)
        return {(_meter(meter), _obis(obis)): at for meter, obis, at in self._connection.execute(query)}

    def conflicts(self, *, after: int = 0, limit: int = 1000) -> tuple[Conflict, ...]:
        """Contradicting readings in the order in which they came."""
        later = [conflict.c[name].label(f"later_{name}") for name in ("number", *_HELD, "noticed_at")]
        query = select(reading, *later).join(conflict, conflict.c.reading == reading.c.number)
        query = query.where(conflict.c.number > after).order_by(conflict.c.number).limit(limit)
        found = []
        for row in self._connection.execute(query).mappings():
            held = {name: row[f"later_{name}"] for name in _HELD}
            pair = _reading(row), _reading({**row, **held})
            found.append(Conflict(row["later_number"], *pair, row["later_noticed_at"]))
        return tuple(found)


def row_of(one: Reading) -> dict[str, object]:
    """A reading as a row."""
    return {
        "meter": str(one.meter),
        "obis": str(one.obis),
        "captured_at": one.captured_at,
        "value": str(one.value),
        "scaler": one.scaler,
        "unit": one.unit,
        "status": f"{one.status:016X}",
    }


def stored_readings(rows: Iterable[Sequence[Any]]) -> tuple[StoredReading, ...]:
    """Rows of :data:`READING` as values."""
    return tuple(
        StoredReading(
            number, Reading(_meter(meter), _obis(obis), captured_at, int(value), scaler, unit, int(status, 16))
        )
        for number, meter, obis, captured_at, value, scaler, unit, status in rows
    )


def _reading(row: Any) -> Reading:
    return Reading(
        meter=_meter(row["meter"]),
        obis=_obis(row["obis"]),
        captured_at=row["captured_at"],
        value=int(row["value"]),
        scaler=row["scaler"],
        unit=row["unit"],
        status=int(row["status"], 16),
    )
