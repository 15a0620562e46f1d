"""Readings come from the meters into the store, as the meter profiles want them."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime, timedelta

from smpki.errors import StoreError
from smpki.gateway.api import MeterProfile
from smpki.gateway.capture import Capture, Hole, Register, Unfit
from smpki.gateway.configuration import MeterConfiguration
from smpki.gateway.journal import Happening, Journal
from smpki.gateway.meter_source import Event, SourceTrouble, from_file, from_tcp
from smpki.gateway.pace import Pace
from smpki.gateway.profiles import Profiles
from smpki.gateway.rate_limit import RateLimit
from smpki.gateway.readings import Obis, Reading
from smpki.gateway.sml_source import RefusedTelegram, SmlSource, Telegram
from smpki.gateway.status_word import WARNING, combined
from smpki.gateway.store.store import GatewayStore
from smpki.gateway.time_keeper import TimeSet
from smpki.policy.device_id import DeviceId

MOST_PENDING = 10_000
"""Readings that wait in memory while the store refuses; then the meters are read no further."""

_FOLLOW = timedelta(seconds=1)
_LONGEST_WAIT = 60.0  # seconds between two looks for gaps and at the store
_REFUSALS_AN_HOUR = 4  # that are logged, of one line and kind
_CONFLICTS_LOGGED = 10  # of one telegram
_HOLES = "holes"
_STRANGERS_LOGGED = 100  # meters and registers that no profile wants, until the profiles change


class Metering:
    """Reads lines with meters on them, and stores what counts.

    :param lines: where the meters are
    """

    def __init__(
        self, lines: Sequence[MeterConfiguration], *, store: GatewayStore, journal: Journal, pace: Pace
    ) -> None:
        self._lines = lines
        self._store, self._journal, self._pace = store, journal, pace
        with store.view() as view:
            self._holes = view.state.get(_HOLES) or "[]"
            self._capture = Capture(view.readings.latest(), _holes(self._holes))
        self._pending: deque[Reading] = deque()
        self._unfit: set[tuple[object, ...]] = set()
        self._refusals: dict[tuple[str, str], RateLimit] = {}
        self._news = asyncio.Event()
        self.heard: dict[str, datetime] = {}
        """When the last telegram came, by source."""
        self.configure()

    def configure(self) -> None:
        """Look at the meter profiles again."""
        with self._store.view() as view:
            profiles = [each.profile for each in Profiles(view).all(MeterProfile).values()]
        self._capture.configure(profiles, self._pace.shown())
        self._unfit.clear()
        self._news.set()

    def clock_was_set(self, change: TimeSet) -> None:
        """The gateway's time is another now."""
        self._capture.clock_was_set(change.time, wrong=change.deviated)
        self._news.set()

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(self._read(line))
            group.create_task(self._watch())

    async def _read(self, line: MeterConfiguration) -> None:
        async with aclosing(self._events(line)) as events:
            async for event in events:
                self._take(line.source, event)
                while len(self._pending) > MOST_PENDING:
                    await self._pace.sleep(_LONGEST_WAIT)
                    self._flush()

    def _events(self, line: MeterConfiguration) -> AsyncGenerator[Event, None]:
        meters = None if line.meter is None else {line.meter}
        source = SmlSource(meters=meters, status=combined)
        clock, sleep = self._pace.shown, self._pace.sleep
        if line.file is None:
            return from_tcp(*line.address, source, clock=clock, sleep=sleep)
        start, passed = self._place(line.source)
        return from_file(line.file, source, clock=clock, follow=_FOLLOW, sleep=sleep, start=start, passed=passed)

    def _place(self, source: str) -> tuple[int, Callable[[int], None]]:
        """Where to go on in a file, and how to note how far it was read."""
        name = f"source/{source}"

        def passed(place: int) -> None:
            if not self._pending:
                with suppress(StoreError), self._store.work() as work:  # the next piece will be noted
                    work.state.put(name, str(place))

        with self._store.view() as view:
            return int(view.state.get(name) or 0), passed

    def _take(self, source: str, event: Event) -> None:
        match event:
            case Telegram(received_at, readings, decremented):
                self.heard[source] = received_at
                self._journal.fine(("line", source), "meter.reached", f"the meters at {source} are heard again")
                self._keep(self._wanted(readings, WARNING if decremented else 0))
            case RefusedTelegram(_, error):
                limit = self._refusals.get((source, error.code))
                if limit is None:
                    limit = RateLimit(_REFUSALS_AN_HOUR / 3600, _REFUSALS_AN_HOUR, self._pace.monotonic)
                    self._refusals[source, error.code] = limit
                if limit.take():
                    text = f"a telegram from {source} is refused: {error.message}"
                    self._journal.write(Happening(error.code, text, "W", "failure"))
            case SourceTrouble(_, error):
                self._journal.trouble(("line", source), error, f"no telegrams come from {source}")

    def _wanted(self, readings: Iterable[Reading], flags: int) -> Iterable[Reading]:
        trusted = self._pace.trusted() is not None
        for reading in readings:
            try:
                taken = self._capture.take(replace(reading, status=reading.status | flags), trusted=trusted)
            except Unfit as unfit:
                self._note_unfit(reading, unfit.rule)
                continue
            if taken is not None:
                yield taken

    def _note_unfit(self, reading: Reading, rule: str) -> None:
        """A meter or register that no profile knows is said once, if there are not too many of them."""
        what = (reading.meter,) if rule == "meter" else (reading.meter, reading.obis)
        if (rule, *what) not in self._unfit and len(self._unfit) < _STRANGERS_LOGGED:
            self._unfit.add((rule, *what))
            text = f"readings of {' '.join(map(str, what))} are not stored: no profile wants this {rule}"
            self._journal.write(Happening(f"meter.unwanted.{rule}", text, "W", "failure"))

    def _keep(self, readings: Iterable[Reading]) -> None:
        self._pending.extend(readings)
        self._flush()

    def _flush(self) -> None:
        """Store what waits; what the store refuses goes on waiting."""
        holes = _text(self._capture.holes)
        if not self._pending and holes == self._holes:
            return
        try:
            with self._store.work() as work:
                added = work.readings.add(list(self._pending), now=self._pace.shown())
                if holes != self._holes:
                    work.state.put(_HOLES, holes)
                self._journal.write_in(work, *_conflicts(added.contradicting))
        except StoreError as error:
            self._journal.trouble("readings", error, "readings can't be stored, and wait", "E")
            return
        self._pending.clear()
        self._holes = holes
        self._journal.fine("readings", "meter.stored", "readings are stored again")

    async def _watch(self) -> None:
        """Fill gaps when their windows are over, and try to store what waits."""
        while True:
            self._flush()
            now, gap = self._pace.trusted(), self._capture.next_gap()
            if now is not None and gap is not None and gap <= now and len(self._pending) <= MOST_PENDING:
                self._keep(self._capture.missed(now))
            gap = self._capture.next_gap()
            seconds = _LONGEST_WAIT if gap is None else (gap - self._pace.shown()).total_seconds()
            await self._pace.wait(self._news, min(max(seconds, 0.1), _LONGEST_WAIT))


def _text(holes: Mapping[Register, Iterable[Hole]]) -> str:
    """Holes as they are kept."""
    return json.dumps(
        [
            [str(meter), str(obis), hole.first.isoformat(), hole.last.isoformat()]
            for (meter, obis), each in holes.items()
            for hole in each
        ]
    )


def _holes(text: str) -> Mapping[Register, Sequence[Hole]]:
    found: dict[Register, list[Hole]] = {}
    for meter, obis, first, last in json.loads(text):
        hole = Hole(datetime.fromisoformat(first), datetime.fromisoformat(last))
        found.setdefault((DeviceId.parse(meter), Obis.parse(obis)), []).append(hole)
    return found


def _conflicts(readings: Collection[Reading]) -> Iterable[Happening]:
    for reading in list(readings)[:_CONFLICTS_LOGGED]:
        text = f"another value came for {reading.meter} {reading.obis} at {reading.captured_at.isoformat()}"
        yield Happening("reading.conflict", text, "W", "failure")
