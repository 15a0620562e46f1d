"""Takes deliveries for good: each once, on the disk before anybody hears of it."""

import asyncio
import enum
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from smpki.events import LogEvent, why
from smpki.service.market_participant.output import Output
from smpki.service.market_participant.store.deliveries import TakenDelivery
from smpki.service.market_participant.store.store import DeliveryStore

_MOST_AT_ONCE = 500

log = logging.getLogger("smpki.emt")


class Outcome(enum.Enum):
    """What became of a delivery."""

    TAKEN = "taken"
    KNOWN = "known"
    """It was taken before."""
    CHANGED = "changed"
    """Another content was taken before under its id; this one is not."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A delivery that is to be taken.

    :param gateway: its device id, in lower case
    :param id: the gateway's name for it
    :param digest: of its content
    :param readings: how many
    :param lines: what is written
    """

    gateway: str
    id: str
    digest: bytes
    readings: int
    lines: bytes = field(repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others."""
        return self.gateway, self.id


class Ledger:
    """Takes deliveries. Those that come while others are being written share the next writing.

    First the lines are written and are on the disk, then the database says how far they count; so a crash leaves lines
    behind that don't count yet, and a delivery whose gateway has no answer.

    :param output: nobody else writes there
    :param now: the clock
    """

    def __init__(self, store: DeliveryStore, output: Output, now: Callable[[], datetime]) -> None:
        self._store, self._output, self._now = store, output, now
        self._waiting: list[tuple[Entry, asyncio.Future[Outcome]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "ledger")

    async def take(self, entry: Entry) -> Outcome:
        """Take a delivery; durable when this returns. Who stops waiting doesn't stop it.

        :raises SmpkiError: it was not taken: ``emt.output.*``, ``store.*``
        """
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, outcome))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await outcome

    async def close(self) -> None:
        """Write what waits still."""
        if self._writing:
            await self._writing
        self._thread.shutdown()

    def commit(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Take several deliveries at once, all of them or none; see :meth:`take`.

        :raises SmpkiError: none was taken
        """
        with self._store.work() as work:
            known = dict(work.digests([entry.id for entry in entries]))
            outcomes: list[Outcome] = []
            new: list[Entry] = []
            for entry in entries:
                if entry.key not in known:
                    known[entry.key] = entry.digest
                    new.append(entry)
                    outcomes.append(Outcome.TAKEN)
                else:
                    outcomes.append(Outcome.KNOWN if known[entry.key] == entry.digest else Outcome.CHANGED)
            if new:
                begin = self._output.append(work.position(), b"".join(entry.lines for entry in new))
                at, taken = begin.octets, []
                for entry in new:
                    end = at + len(entry.lines)
                    taken.append(
                        TakenDelivery(
                            entry.gateway, entry.id, entry.digest, entry.readings, self._now(), begin.file, at, end
                        )
                    )
                    at = end
                work.add(taken)
        return outcomes

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
                try:
                    outcomes = await loop.run_in_executor(self._thread, self.commit, [entry for entry, _ in batch])
                except Exception as error:
                    facts = {"deliveries": len(batch), **why(error)}
                    log.error(LogEvent("delivery.failed", "deliveries could not be taken", **facts))
                    for _, waiter in batch:
                        if not waiter.done():
                            waiter.set_exception(error)
                else:
                    for (_, waiter), outcome in zip(batch, outcomes, strict=True):
                        if not waiter.done():  # the peer may be gone
                            waiter.set_result(outcome)
        finally:
            self._writing = None
