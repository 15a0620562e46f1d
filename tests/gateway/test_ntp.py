"""NTP messages and timestamps."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.errors import GatewayError
from smpki.gateway.ntp import CONVERTIBLE, Message, Period, from_short, from_timestamp, to_short, to_timestamp

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
ERA_1 = datetime(2036, 2, 7, 6, 28, 16, tzinfo=UTC)
FIRST_DAY, LAST_DAY = (moment.replace(tzinfo=None) for moment in (CONVERTIBLE.first, CONVERTIBLE.last))


def test_an_example_of_figure_8() -> None:
    data = bytes.fromhex(
        "240303e7 00000001 00010000 c0a80001 e0000000 40000000 0000000000000001 ffffffffffffffff e000000080000000"
    )
    message = Message.from_bytes(data)
    assert message == Message(
        leap=0,
        version=4,
        mode=4,
        stratum=3,
        poll=3,
        precision=-25,
        root_delay=1,
        root_dispersion=0x10000,
        reference_id=b"\xc0\xa8\0\1",
        reference=0xE000000040000000,
        origin=1,
        receive=2**64 - 1,
        transmit=0xE000000080000000,
    )
    assert bytes(message) == data


@settings(deadline=None)
@given(st.binary(min_size=48, max_size=48))
def test_what_was_read_is_written_the_same(data: bytes) -> None:
    assert bytes(Message.from_bytes(data)) == data


@pytest.mark.parametrize("length", [0, 47, 49, 68, 96])
def test_a_message_has_48_octets(length: int) -> None:
    with pytest.raises(GatewayError) as refused:
        Message.from_bytes(bytes(length))
    assert refused.value.code == "ntp.length"


@pytest.mark.parametrize(
    ("moment", "timestamp"),
    [
        # RFC 5905 figure 4: seconds of the first day of each, the era left out
        (datetime(1970, 1, 1, tzinfo=UTC), 2_208_988_800 << 32),
        (datetime(1999, 12, 31, tzinfo=UTC), 3_155_587_200 << 32),
        (datetime(2036, 2, 7, 6, 28, 15, tzinfo=UTC), (2**32 - 1) << 32),
        (datetime(2036, 2, 8, tzinfo=UTC), 63_104 << 32),
        (datetime(2026, 11, 22, 12, 0, 0, 500_000, tzinfo=UTC), 4_004_337_600 << 32 | 1 << 31),
    ],
)
def test_timestamps_of_known_moments(moment: datetime, timestamp: int) -> None:
    assert to_timestamp(moment) == timestamp


@settings(deadline=None)
@given(st.datetimes(FIRST_DAY, LAST_DAY, timezones=st.just(UTC)))
def test_a_moment_of_the_convertible_period_comes_back(moment: datetime) -> None:
    assert from_timestamp(to_timestamp(moment)) == moment


@pytest.mark.parametrize(
    "moment",
    [
        CONVERTIBLE.first,
        ERA_1 - MICROSECOND,
        ERA_1,
        ERA_1 + MICROSECOND,
        datetime(2036, 2, 8, tzinfo=UTC),
        datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC),
        datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
        datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC),
        CONVERTIBLE.last,
    ],
)
@pytest.mark.requirement("REQ.TA.NTP.BuildResponse.30", "REQ.TA.NTP.ProcessResponse.40")
def test_no_end_of_a_counter_is_the_end_of_time(moment: datetime) -> None:
    assert from_timestamp(to_timestamp(moment)) == moment


def test_the_second_in_which_an_era_begins_is_not_unknown() -> None:
    assert to_timestamp(ERA_1) != 0
    assert from_timestamp(0) is None


def test_what_lies_outside_the_period() -> None:
    period = Period(NOW, NOW + SECOND)
    for moment in (NOW - MICROSECOND, NOW + SECOND + MICROSECOND, datetime(1999, 1, 1, tzinfo=UTC)):
        assert from_timestamp(to_timestamp(moment), period) is None
    late = NOW + MICROSECOND
    assert from_timestamp(to_timestamp(NOW), Period(late, late + SECOND)) is None
    assert from_timestamp(to_timestamp(late), Period(late, late + SECOND)) == late


@pytest.mark.parametrize("length", [-SECOND, 2**32 * SECOND])
def test_a_period_that_can_not_be(length: timedelta) -> None:
    with pytest.raises(GatewayError) as refused:
        Period(NOW, NOW + length)
    assert refused.value.code == "ntp.period"


@pytest.mark.parametrize(("seconds", "value"), [(0, 0), (1e-9, 1), (1, 65536), (1.5, 98304), (1e9, 2**32 - 1)])
def test_short_durations(seconds: float, value: int) -> None:
    assert to_short(seconds) == value
    if 0 < value < 2**32 - 1:
        assert from_short(value) == pytest.approx(seconds, abs=2**-16)
