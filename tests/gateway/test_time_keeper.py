"""When the gateway's time is trusted, and what is reported when it is set."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smpki.gateway.time_keeper import Measurement, TimeKeeper, TimeLimits

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RIGHT = Measurement(
    time=NOW,
    instant=0.0,
    delay=0.0,
    stratum=2,
    leap=0,
    root_delay=0.0,
    root_dispersion=0.0,
    precision=0.0,
    reference_id=bytes(4),
)


class Monotonic:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def keeper(monotonic: Monotonic) -> TimeKeeper:
    return TimeKeeper(NOW - 5 * SECOND, monotonic)


def test_a_guess_is_not_trusted(keeper: TimeKeeper, monotonic: Monotonic) -> None:
    monotonic.seconds = 60
    assert keeper.now() is None
    assert keeper.reading() == NOW + 55 * SECOND
    standing = keeper.standing()
    assert (standing.trusted, standing.set_at, standing.stratum) == (False, None, 16)


def test_it_runs_on_from_where_it_was_set(keeper: TimeKeeper, monotonic: Monotonic) -> None:
    monotonic.seconds = 10
    event = keeper.set(RIGHT)
    assert (event.time, event.offset, event.was_trusted, event.deviated) == (
        NOW + 10 * SECOND,
        5 * SECOND,
        False,
        False,
    )
    monotonic.seconds = 3600.5
    assert keeper.now() == keeper.reading() == NOW + 3600.5 * SECOND
    assert keeper.standing().set_at == NOW


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("seconds", "deviated"), [(0, False), (27, False), (27.001, True), (999, True)])
def test_a_deviation_of_more_than_three_hundredths_of_the_period_is_reported(
    seconds: float, deviated: bool, sign: int, keeper: TimeKeeper
) -> None:
    keeper.set(RIGHT)
    event = keeper.set(replace(RIGHT, time=NOW + sign * seconds * SECOND))
    assert (event.was_trusted, event.deviated, event.offset) == (True, deviated, sign * seconds * SECOND)


def test_the_limits_follow_the_shortest_period(monotonic: Monotonic) -> None:
    keeper = TimeKeeper(NOW, monotonic, TimeLimits(shortest_period=timedelta(minutes=1)))
    keeper.set(RIGHT)
    assert not keeper.set(replace(RIGHT, time=NOW + 1.8 * SECOND)).deviated
    keeper.set(RIGHT)
    assert keeper.set(replace(RIGHT, time=NOW + 1.9 * SECOND)).deviated


def test_trust_ends_when_the_greatest_error_reaches_the_limit(keeper: TimeKeeper, monotonic: Monotonic) -> None:
    keeper.set(replace(RIGHT, root_delay=1.0, root_dispersion=2.0))
    assert keeper.standing().maximum_error == pytest.approx(2.5, abs=0.001)
    monotonic.seconds = 6.49 / 15e-6  # of 9 s, 6.5 are left to the drift
    assert keeper.now() is not None
    monotonic.seconds = 6.51 / 15e-6
    assert keeper.now() is None
    assert keeper.standing().set_at == NOW
    event = keeper.set(replace(RIGHT, time=NOW + timedelta(days=400), instant=monotonic.seconds))
    assert (event.was_trusted, event.deviated) == (False, False)
    assert keeper.now() == NOW + timedelta(days=400)


def test_a_server_that_may_be_wrong_by_too_much_sets_the_time_and_earns_no_trust(keeper: TimeKeeper) -> None:
    keeper.set(replace(RIGHT, root_dispersion=9.1))
    assert keeper.reading() == NOW
    assert keeper.now() is None


def test_trust_can_be_withdrawn(keeper: TimeKeeper) -> None:
    keeper.set(RIGHT)
    keeper.distrust()
    assert keeper.now() is None
    assert keeper.reading() == NOW
