"""The gateway's time: whether it can be trusted, how wrong it may be, and what happens when it is set."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

_OWN_PRECISION = 2.0**-18
"""Seconds; the finest precision that table 14.1 of the Detailspezifikationen lets a message have."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """When time is wrong.

    The figures are the calibration rules' and what gateways in the field do, not the detail specification's; so they
    are configuration.

    :param shortest_period: shortest registration period (Registrierperiode)
    :param error: share of it that time may be wrong by and still be trusted: 1 %, 9 s of 900 s (PTB-A 50.8)
    :param deviation: share of it that is reported when the time is found wrong by more: 3 %, 27 s of 900 s
    :param drift: seconds a second that the clock may run wrong by (RFC 5905 figure 6, PHI)
    """

    shortest_period: timedelta = timedelta(minutes=15)
    error: float = 0.01
    deviation: float = 0.03
    drift: float = 15e-6


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a time server's answer says.

    :param time: the time at ``instant``
    :param instant: of the monotonic clock, seconds
    :param delay: seconds that the messages travelled, both ways
    :param stratum: the server's
    :param leap: 0 to 2, the server's announcement of a leap second
    :param root_delay: seconds, from the server to the reference clock and back
    :param root_dispersion: seconds, from the reference clock to the server
    :param precision: seconds, of the server's clock
    :param reference_id: 4 octets that name the server (RFC 5905 7.3)
    """

    time: datetime
    instant: float
    delay: float
    stratum: int
    leap: int
    root_delay: float
    root_dispersion: float
    precision: float
    reference_id: bytes


@dataclass(frozen=True, slots=True)
class TimeSet:
    """The clock was set; for the gateway's log.

    :param time: the time from now on
    :param offset: by how much it was changed; positive: it had been slow
    :param was_trusted: before that
    :param deviated: it had been trusted, and was wrong by more than the limit: what was measured since it was set last
        has wrong times
    """

    time: datetime
    offset: timedelta
    was_trusted: bool
    deviated: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """A clock at one moment, for applications and for a time server's answers.

    :param time: what it shows
    :param trusted: whether it is synchronised
    :param stratum: 1 to 16 (RFC 5905 figure 11); one more than that of the server it follows
    :param leap: 0 to 2
    :param reference_id: 4 octets that name that server
    :param set_at: when it was set last; ``None``: never
    :param root_delay: seconds, to the reference clock and back
    :param root_dispersion: seconds
    """

    time: datetime
    trusted: bool
    stratum: int = 16
    leap: int = 0
    reference_id: bytes = bytes(4)
    set_at: datetime | None = None
    root_delay: float = 0.0
    root_dispersion: float = 0.0

    @property
    def maximum_error(self) -> float:
        """Seconds that the time is wrong by at most (Detailspezifikationen 14.3.2.1)."""
        return self.root_delay / 2 + self.root_dispersion


class TimeKeeper:
    """The time of a gateway. Nobody trusts it before it was first set, nor when it has not been set for too long.

    How long that is follows from the drift: it ends when the greatest possible error reaches the limit, after a week
    with the default limits.

    :param guess: the time that a clock shows which ran on without being watched; something to count from
    :param monotonic: seconds, such as ``time.monotonic``
    """

    def __init__(self, guess: datetime, monotonic: Callable[[], float], limits: TimeLimits | None = None) -> None:
        self.monotonic = monotonic
        self._limits = limits or TimeLimits()
        self._base, self._instant = guess, monotonic()
        self._source: Measurement | None = None

    def now(self) -> datetime | None:
        """The time; ``None`` while it can't be trusted."""
        standing = self.standing()
        return standing.time if standing.trusted else None

    def reading(self) -> datetime:
        """What the clock shows, whether or not it can be trusted."""
        return self._at(self.monotonic())

    def standing(self) -> Standing:
        """The clock as it is now."""
        instant = self.monotonic()
        source = self._source
        if source is None:
            return Standing(self._at(instant), trusted=False)
        dispersion = source.root_dispersion + source.precision + _OWN_PRECISION
        standing = Standing(
            time=self._at(instant),
            trusted=True,
            stratum=source.stratum + 1,
            leap=source.leap,
            reference_id=source.reference_id,
            set_at=source.time,
            root_delay=source.root_delay + source.delay,
            root_dispersion=dispersion + self._limits.drift * (source.delay + instant - source.instant),
        )
        if standing.maximum_error > (self._limits.shortest_period * self._limits.error).total_seconds():
            return Standing(standing.time, trusted=False, set_at=source.time)
        return standing

    def offset_of(self, measurement: Measurement) -> timedelta:
        """How much the clock is behind a measurement."""
        return measurement.time - self._at(measurement.instant)

    def set(self, measurement: Measurement) -> TimeSet:
        """Set the clock, by any amount; who asks the server decides whether its answer is to be believed."""
        offset = self.offset_of(measurement)
        was_trusted = self.now() is not None
        self._base, self._instant = measurement.time, measurement.instant
        self._source = measurement
        deviated = was_trusted and abs(offset) > self._limits.shortest_period * self._limits.deviation
        return TimeSet(self.reading(), offset, was_trusted, deviated)

    def distrust(self) -> None:
        """Somebody has reason to doubt the time; it counts again when it is set next."""
        self._source = None

    def _at(self, instant: float) -> datetime:
        return self._base + timedelta(seconds=instant - self._instant)
