"""What happens goes into the gateway's logs, and to the operating system's log; no failure of the disk ends it."""

import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from datetime import datetime

from smpki.errors import SmpkiError, StoreError
from smpki.gateway.log_entry import Happening as Happening  # where who writes looks for it
from smpki.gateway.log_entry import Level, Log
from smpki.gateway.once import Once
from smpki.gateway.store.store import GatewayStore, Transaction

_LEVELS: dict[Level, int] = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}
_MOST_WAITING = 1_000

log = logging.getLogger("smpki.gateway")


class Journal:
    """Writes the logs; used from one thread.

    While the store refuses, entries wait in memory, so many at most; what is more is only in the operating system's
    log.

    :param clock: what the gateway's clock shows, trusted or not
    :ivar news: called after an entry was stored
    """

    def __init__(self, store: GatewayStore, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self._waiting: deque[tuple[datetime, Happening]] = deque(maxlen=_MOST_WAITING)
        self._troubles = Once()
        self.news: Callable[[], None] = lambda: None

    def write(self, happening: Happening) -> None:
        """Log it, in a transaction of its own."""
        self._waiting.append((self._clock(), happening))
        _tell(happening)
        self.flush()

    def write_in(self, work: Transaction, *happenings: Happening) -> None:
        """Log in the transaction that does what happens: with it, or not at all."""
        _record(work, [(self._clock(), happening) for happening in happenings])
        for happening in happenings:
            _tell(happening)
        if happenings:
            self.news()

    def flush(self) -> bool:
        """Store what waits.

        :returns: whether nothing waits any more
        """
        if not self._waiting:
            return True
        try:
            with self._store.work() as work:
                _record(work, self._waiting)
        except StoreError as error:
            if self._troubles.is_new("journal", error.code):
                log.error("the gateway's logs can't be written: %s", error)
            return False
        self._troubles.forget("journal")
        self._waiting.clear()
        self.news()
        return True

    def trouble(self, about: Hashable, error: SmpkiError, text: str, level: Level = "W") -> None:
        """Something that is tried again does not work; logged when it begins, and when the reason becomes another.

        :param about: what it is, for :meth:`fine`
        :param text: what does not work
        """
        if self._troubles.is_new(about, error.code):
            self.write(Happening(error.code, f"{text}: {error.message}", level, "failure"))

    def fine(self, about: Hashable, event: str, text: str) -> None:
        """It works; logged when it did not before."""
        if self._troubles.forget(about):
            self.write(Happening(event, text))


def _record(work: Transaction, happenings: Iterable[tuple[datetime, Happening]]) -> None:
    by_log: dict[Log, list[tuple[datetime, Happening]]] = {}
    for at, one in happenings:
        by_log.setdefault(one.log, []).append((at, one))
    for name, several in by_log.items():
        work.logs.record(name, several)


def _tell(happening: Happening) -> None:
    log.log(_LEVELS[happening.level], "%s [%s]", happening.text, happening.event)
