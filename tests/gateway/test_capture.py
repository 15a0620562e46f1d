"""Which readings are stored: the first in the window around each mark, and an entry where there was none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smpki.gateway.api import MeterProfile
from smpki.gateway.capture import GRACE, MOST_GAPS, Alignment, Capture, Unfit
from smpki.gateway.readings import Obis, Reading
from smpki.gateway.status_word import ALWAYS, NO_VALUE, TAMPER, TIME_INVALID, WARNING, combined
from smpki.policy.device_id import DeviceId

METER = DeviceId.parse("1ABC0012345678")
OTHER = DeviceId.parse("1ABC0012345679")
A_PLUS = Obis.parse("1-0:1.8.0")
POWER = Obis.parse("1-0:16.7.0")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
GOOD = combined(None)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def reading(seconds: float, value: int = 1, **changes: Any) -> Reading:
    return replace(Reading(METER, A_PLUS, at(seconds), value, -1, 30, GOOD), **changes)


def profile(**changes: Any) -> MeterProfile:
    return MeterProfile(**{"meter": METER, "obis": (A_PLUS,), **changes})


@pytest.fixture
def capture() -> Capture:
    capture = Capture({})
    capture.configure([profile()], at(-60))
    return capture


def take(capture: Capture, *readings: Reading, trusted: bool = True) -> list[Reading]:
    return [taken for one in readings if (taken := capture.take(one, trusted=trusted))]


def test_the_first_in_the_window_counts_at_the_mark(capture: Capture) -> None:
    seconds = (-10, -9, 0, 9, 10, 450, 890, 909)
    assert take(capture, *(reading(each, int(each) + 50) for each in seconds)) == [reading(0, 41), reading(900, 959)]


@pytest.mark.parametrize(("period", "window"), [(900, 9), (3600, 36), (60, 1), (2, 1), (1, 0)])
def test_the_window_is_one_hundredth_and_never_below_the_second_of_a_source(period: int, window: int) -> None:
    for off in (window, window + 1):
        capture = Capture({})
        capture.configure([profile(registration_period_seconds=period)], at(-60))
        on_mark = (period <= 2) or off == window
        assert bool(take(capture, reading(off))) == on_mark


def test_with_half_a_period_of_tolerance_every_reading_has_a_mark() -> None:
    alignment = Alignment(timedelta(minutes=1), timedelta(seconds=30))
    for seconds in range(60):
        assert alignment.mark(at(seconds)) == at(0 if seconds < 30 else 60)


def test_a_mark_that_is_in_the_store_takes_nothing_after_a_restart() -> None:
    capture = Capture({(METER, A_PLUS): NOON})
    capture.configure([profile()], at(1))
    assert take(capture, reading(2), reading(900)) == [reading(900)]


def test_a_window_without_a_reading_leaves_an_entry_without_value(capture: Capture) -> None:
    assert list(capture.missed(at(9) + GRACE - timedelta(seconds=1))) == []
    expected = Reading(METER, A_PLUS, NOON, 0, 0, 255, GOOD | NO_VALUE)
    assert capture.next_gap() == at(9) + GRACE
    assert list(capture.missed(at(9) + GRACE)) == [expected]
    assert take(capture, reading(3)) == []
    assert take(capture, reading(901, 7)) == [reading(900, 7)]
    assert list(capture.missed(at(1809) + GRACE)) == [replace(expected, captured_at=at(1800), scaler=-1, unit=30)]


def test_gaps_of_an_outage_are_filled_up_to_a_limit() -> None:
    capture = Capture({(METER, A_PLUS): NOON})
    capture.configure([profile()], at(0))
    found = list(capture.missed(at(5 * 900)))
    assert [each.captured_at for each in found] == [at(900 * each) for each in range(1, 5)]
    assert len(list(capture.missed(NOON + timedelta(days=365)))) == MOST_GAPS
    assert list(capture.missed(NOON + timedelta(days=365))) == []


def test_a_new_meter_has_no_gaps_before_its_profile(capture: Capture) -> None:
    capture.configure([profile(), profile(meter=OTHER)], at(1000))
    assert {each.meter for each in capture.missed(at(1000))} == {METER}
    assert {each.meter for each in capture.missed(at(1850))} == {METER, OTHER}


def test_a_reading_in_untrusted_time_says_so_and_so_does_the_next(capture: Capture) -> None:
    assert take(capture, reading(0), trusted=False) == [reading(0, status=GOOD | TIME_INVALID)]
    assert take(capture, reading(900)) == [reading(900, status=GOOD | TIME_INVALID)]
    assert take(capture, reading(1800)) == [reading(1800)]


def test_after_a_jump_the_period_under_way_says_so(capture: Capture) -> None:
    take(capture, reading(0))
    capture.clock_was_set(at(300), wrong=True)
    assert take(capture, reading(900), reading(1800)) == [reading(900, status=GOOD | TIME_INVALID), reading(1800)]
    capture.clock_was_set(at(2000), wrong=True)
    assert [each.status for each in capture.missed(at(2800))] == [GOOD | NO_VALUE | TIME_INVALID]
    assert take(capture, reading(3600)) == [reading(3600)]


def test_a_clock_that_ran_ahead_does_not_hide_gaps(capture: Capture) -> None:
    ahead = 10 * 900
    assert take(capture, reading(ahead), trusted=False)
    capture.clock_was_set(at(0), wrong=False)
    assert [each.captured_at for each in capture.missed(at(920))] == [at(900)]


def test_marks_that_a_reading_jumps_over_are_filled_later_even_after_a_restart(capture: Capture) -> None:
    marks = [900, 1800, 3600]
    assert len(take(capture, reading(0), reading(2700), reading(4500), trusted=False)) == 3
    assert list(capture.missed(at(900))) == []
    restarted = Capture({(METER, A_PLUS): at(4500)}, capture.holes)
    for one in (capture, restarted):
        one.configure([profile()], at(4510))
        assert one.next_gap() == at(1809) + GRACE
        found = list(one.missed(at(4510)))
        assert [(each.captured_at, each.status) for each in found] == [(at(mark), GOOD | NO_VALUE) for mark in marks]
        assert one.holes == {}
        assert list(one.missed(at(4510))) == []


def test_holes_end_where_a_clock_that_ran_ahead_is_set_to(capture: Capture) -> None:
    assert take(capture, reading(0), reading(900 * 1000), trusted=False)
    capture.clock_was_set(at(1000), wrong=False)
    assert [each.captured_at for each in capture.missed(at(1000))] == [at(900)]
    assert (capture.holes, list(capture.missed(at(1810)))) == ({}, [])


def test_a_long_hole_is_filled_up_to_a_limit(capture: Capture) -> None:
    assert take(capture, reading(0), reading(900 * 5000), trusted=False)
    found = [each.captured_at for each in capture.missed(at(900 * 5000 + 10))]
    assert (len(found), found[-1]) == (MOST_GAPS, at(900 * 4999))


def test_a_hole_is_filled_by_the_period_that_counts_now(capture: Capture) -> None:
    assert take(capture, reading(0), reading(2700), trusted=False)
    capture.configure([profile(registration_period_seconds=3600)], at(2710))
    assert list(capture.missed(at(2710))) == []
    assert take(capture, reading(7200), trusted=False)
    assert [each.captured_at for each in capture.missed(at(7210))] == [at(3600)]


def test_a_register_whose_profile_comes_back_does_not_begin_anew(capture: Capture) -> None:
    assert take(capture, reading(0), reading(900))
    capture.configure([], at(910))
    capture.configure([profile()], at(1850))
    assert [each.captured_at for each in capture.missed(at(1850))] == [at(1800)]


@pytest.mark.parametrize(
    ("one", "rule"),
    [
        (reading(0, meter=OTHER), "meter"),
        (reading(0, obis=POWER), "register"),
        (reading(0, unit=27), "unit"),
        (reading(0, scaler=0), "scaler"),
    ],
)
def test_what_no_profile_wants_is_not_taken(one: Reading, rule: str) -> None:
    capture = Capture({})
    capture.configure([profile(unit=30, scaler=-1)], at(-60))
    with pytest.raises(Unfit) as unfit:
        capture.take(one, trusted=True)
    assert unfit.value.rule == rule


def test_another_period_goes_on_from_the_last_mark(capture: Capture) -> None:
    take(capture, reading(0))
    capture.configure([profile(registration_period_seconds=60)], at(30))
    assert take(capture, reading(61)) == [reading(60)]
    capture.configure([profile()], at(70))
    assert [each.captured_at for each in capture.missed(at(920))] == [at(900)]


def test_status_words_are_those_of_table_15_1() -> None:
    assert combined(None) == 0xA000000020000000
    assert combined(0x20000000) == combined(None)
    assert combined(0x20400000) == ALWAYS | TAMPER | 0x20400000
    assert combined(0x20200000) & TAMPER
    assert combined(0x1_20000000) == combined(None) | WARNING
    assert (ALWAYS | NO_VALUE) >> 32 == 0xA0040000
    assert (ALWAYS | TIME_INVALID) >> 32 == 0xA0400000
