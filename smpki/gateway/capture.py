"""Which readings are stored: for each register the first that comes in the window around each mark of its period.

The marks are the multiples of the registration period in UTC, the window is 1 % of it to either side (PTB-A 50.8).
What a meter does not deliver is stored as well: as an entry without value, so that nobody takes the gap for an error
of transmission.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from smpki.gateway.api import MeterProfile
from smpki.gateway.readings import UNITLESS, Obis, Reading
from smpki.gateway.status_word import NO_VALUE, TIME_INVALID, combined
from smpki.policy.device_id import DeviceId

Register = tuple[DeviceId, Obis]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOW = 0.01
_SMALLEST_WINDOW = timedelta(seconds=1)
GRACE = timedelta(seconds=5)
"""How much longer than the window a reading may take to arrive that was captured within."""
MOST_GAPS = 1_000
"""Entries without value that are made for one register at once; an older gap is left as it is."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """The registration period (Registrierperiode): one reading counts for each mark of it, the others are dropped.

    :param period: distance of the marks, counted from midnight UTC
    :param tolerance: how far from its mark a reading may be captured; half a period takes every reading
    """

    period: timedelta
    tolerance: timedelta

    def mark(self, captured: datetime) -> datetime | None:
        """The mark that a moment belongs to; None when it is too far from any."""
        mark = _EPOCH + (captured - _EPOCH + self.period / 2) // self.period * self.period
        return mark if abs(captured - mark) <= self.tolerance else None

    def mark_before(self, moment: datetime) -> datetime:
        """The last mark that is not after a moment."""
        return _EPOCH + (moment - _EPOCH) // self.period * self.period


def alignment_of(profile: MeterProfile) -> Alignment:
    """Marks and window of a meter. Sources tell full seconds, so no window is smaller than that."""
    period = timedelta(seconds=profile.registration_period_seconds)
    return Alignment(period, min(period / 2, max(period * _WINDOW, _SMALLEST_WINDOW)))


@dataclass(frozen=True, slots=True)
class Hole:
    """Marks of a register without an entry, before marks that have one.

    :param first: the first of them
    :param last: the last of them
    """

    first: datetime
    last: datetime

    def until(self, end: datetime) -> "Hole | None":
        """The part of it that is not after a moment."""
        return Hole(self.first, min(self.last, end)) if self.first <= end else None


@dataclass(slots=True)
class _Followed:
    """A register that a profile wants."""

    profile: MeterProfile
    alignment: Alignment
    latest: datetime
    offered: datetime | None = None
    last: Reading | None = None
    doubtful: bool = False
    holes: tuple[Hole, ...] = ()

    @property
    def next_mark(self) -> datetime:
        return self.alignment.mark_before(self.latest) + self.alignment.period


class Unfit(Exception):
    """A reading that no profile wants.

    :param rule: ``meter``, ``register``, ``unit`` or ``scaler``
    """

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class Capture:
    """Follows the registers that profiles name.

    :param stored: when the latest reading in the store of each register was captured
    :param holes: as :attr:`holes` was when that was stored
    """

    def __init__(
        self, stored: Mapping[Register, datetime], holes: Mapping[Register, Iterable[Hole]] = MappingProxyType({})
    ) -> None:
        self._stored = dict(stored)
        self._holes = {register: tuple(each) for register, each in holes.items()}
        self._followed: dict[Register, _Followed] = {}
        self._meters: Collection[DeviceId] = ()

    @property
    def holes(self) -> Mapping[Register, tuple[Hole, ...]]:
        """What :meth:`missed` has to fill still before the latest readings; to be stored along with these."""
        return {register: each.holes for register, each in self._followed.items() if each.holes}

    def configure(self, profiles: Collection[MeterProfile], now: datetime) -> None:
        """Follow these profiles from now on; registers that were followed before go on.

        :param now: a register that has no reading yet is followed from then on
        """
        self._stored |= {register: each.latest for register, each in self._followed.items()}
        followed = {}
        for profile in profiles:
            alignment = alignment_of(profile)
            for obis in profile.obis:
                register = profile.meter, obis
                before = self._followed.get(register)
                if before is None:
                    latest, holes = self._stored.get(register, now), self._holes.pop(register, ())
                    followed[register] = _Followed(profile, alignment, latest, holes=holes)
                else:
                    followed[register] = replace(before, profile=profile, alignment=alignment)
        self._followed = followed
        self._meters = frozenset(profile.meter for profile in profiles)

    def take(self, reading: Reading, *, trusted: bool) -> Reading | None:
        """A reading as it is to be stored; None when it is none for a mark, or not the first.

        :param trusted: whether the gateway's time is
        :raises Unfit: no profile wants it
        """
        followed = self._followed.get((reading.meter, reading.obis))
        if followed is None:
            raise Unfit("register" if reading.meter in self._meters else "meter")
        if followed.profile.unit not in (None, reading.unit):
            raise Unfit("unit")
        if followed.profile.scaler not in (None, reading.scaler):
            raise Unfit("scaler")
        followed.last = reading
        mark = followed.alignment.mark(reading.captured_at)
        if mark is None or mark == followed.offered or mark == followed.latest:
            return None
        followed.offered = mark
        if mark > followed.next_mark:
            hole = Hole(followed.next_mark, mark - followed.alignment.period)
            followed.holes = (*followed.holes, hole)[-MOST_GAPS:]
        followed.latest = max(mark, followed.latest)
        doubtful, followed.doubtful = followed.doubtful or not trusted, not trusted
        return replace(reading, captured_at=mark, status=reading.status | (TIME_INVALID if doubtful else 0))

    def missed(self, now: datetime) -> Iterator[Reading]:
        """An entry for each mark whose window has passed without a reading. To be asked while the time is trusted."""
        for (meter, obis), followed in self._followed.items():
            last = followed.alignment.mark_before(now - followed.alignment.tolerance - GRACE)
            period = followed.alignment.period
            yield from _filled(meter, obis, followed, last)
            mark = max(followed.next_mark, last - (MOST_GAPS - 1) * period)
            while mark <= last:
                followed.latest = mark
                status = combined(None) | NO_VALUE | (TIME_INVALID if followed.doubtful else 0)
                followed.doubtful = False
                yield _without_value(meter, obis, mark, followed, status)
                mark += period

    def next_gap(self) -> datetime | None:
        """When :meth:`missed` may have something; None: never."""
        ends = (
            min([each.next_mark, *(hole.last for hole in each.holes)]) + each.alignment.tolerance + GRACE
            for each in self._followed.values()
        )
        return min(ends, default=None)

    def clock_was_set(self, now: datetime, *, wrong: bool) -> None:
        """What lies ahead of the clock was captured by a clock that ran ahead.

        :param now: by the clock as it is set now
        :param wrong: the clock had been trusted without reason: the period that is under way has no certain length
        """
        for followed in self._followed.values():
            followed.latest = min(followed.latest, now)
            passed = now - followed.alignment.tolerance
            followed.holes = tuple(left for hole in followed.holes if (left := hole.until(passed)))
            followed.doubtful = followed.doubtful or wrong


def _filled(meter: DeviceId, obis: Obis, followed: _Followed, end: datetime) -> Iterator[Reading]:
    """An entry for each mark in the holes that is not after a moment."""
    alignment, left = followed.alignment, []
    for hole in followed.holes:
        first = max(hole.first, hole.last - (MOST_GAPS - 1) * alignment.period)
        mark = alignment.mark_before(first)  # the period may be another one than when the hole was noted
        mark += alignment.period if mark < first else timedelta()
        while mark <= min(hole.last, end):
            yield _without_value(meter, obis, mark, followed, combined(None) | NO_VALUE)
            mark += alignment.period
        left += [Hole(mark, hole.last)] if mark <= hole.last else []
    followed.holes = tuple(left)


def _without_value(meter: DeviceId, obis: Obis, mark: datetime, followed: _Followed, status: int) -> Reading:
    """The value is 0 and means nothing; unit and scaler are those of the register where they are known."""
    last, profile = followed.last, followed.profile
    unit = profile.unit if profile.unit is not None else last.unit if last else UNITLESS
    scaler = profile.scaler if profile.scaler is not None else last.scaler if last else 0
    return Reading(meter, obis, mark, 0, scaler, unit, status)
