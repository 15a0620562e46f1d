"""The gateway's logs: entries are added, never changed; their numbers rise by one, whatever the clock does."""

from collections.abc import Sequence
from datetime import datetime
from itertools import count

from sqlalchemy import Connection, bindparam, func, insert, select

from smpki.gateway.log_entry import LEVELS, Happening, Level, Log, LogEntry, Outcome
from smpki.gateway.store.tables import log_entry

_LAST = select(func.coalesce(func.max(log_entry.c.record_number), 0)).where(
    log_entry.c.log == bindparam("log"), log_entry.c.consumer == bindparam("consumer")
)
_ADD = insert(log_entry)
_FIELDS = tuple(LogEntry.__dataclass_fields__)


class Logs:
    """The logs, inside a transaction. Each consumer has one of their own, named by ``consumer``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last: dict[tuple[Log, str], int] = {}  # of those with new entries; nobody else adds any meanwhile

    def append(
        self,
        log: Log,
        event: str,
        text: str,
        *,
        now: datetime,
        level: Level = "I",
        outcome: Outcome = "success",
        consumer: str = "",
    ) -> LogEntry:
        """Add an entry.

        :param consumer: for the consumer log, whose it is
        """
        entry = LogEntry(self.last_number(log, consumer=consumer) + 1, now, level, event, outcome, text)
        self._add(log, consumer, [entry])
        return entry

    def record(self, log: Log, happenings: Sequence[tuple[datetime, Happening]]) -> None:
        """Add entries of what happened, and when, to a log that is no consumer's, all in one statement."""
        numbers = count(self.last_number(log) + 1)
        self._add(
            log,
            "",
            [
                LogEntry(number, at, one.level, one.event, one.outcome, one.text)
                for number, (at, one) in zip(numbers, happenings, strict=False)
            ],
        )

    def _add(self, log: Log, consumer: str, entries: Sequence[LogEntry]) -> None:
        rows = [{"log": log, "consumer": consumer, **{name: getattr(one, name) for name in _FIELDS}} for one in entries]
        self._connection.execute(_ADD, rows)
        self._last[log, consumer] = entries[-1].record_number

    def last_number(self, log: Log, *, consumer: str = "") -> int:
        """The number of the last entry; 0 while there is none."""
        number = self._last.get((log, consumer))
        if number is None:
            number = self._connection.execute(_LAST, {"log": log, "consumer": consumer}).scalar_one()
        return number

    def page(
        self,
        log: Log,
        *,
        consumer: str = "",
        level: Level = "I",
        since: datetime | None = None,
        until: datetime | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> tuple[LogEntry, ...]:
        """Entries of a log by number.

        :param level: so grave or graver
        :param since: of then or later
        :param until: of before
        :param after: number of the last entry of the page before
        """
        columns = [log_entry.c[name] for name in _FIELDS]
        wanted = [log_entry.c.log == log, log_entry.c.consumer == consumer, log_entry.c.record_number > after]
        wanted += [log_entry.c.level.in_(LEVELS[LEVELS.index(level) :])]
        wanted += [log_entry.c.timestamp >= since] if since else []
        wanted += [log_entry.c.timestamp < until] if until else []
        query = select(*columns).where(*wanted).order_by(log_entry.c.record_number).limit(limit)
        return tuple(LogEntry(*row) for row in self._connection.execute(query))
