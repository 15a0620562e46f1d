"""Data records of M-Bus."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.errors import GatewayError
from smpki.gateway.mbus_records import (
    Function,
    Quantity,
    Record,
    error_flags,
    measured_at,
    meter_clock,
    parse_records,
)
from smpki.gateway.readings import Obis, Reading
from smpki.policy.device_id import DeviceId

RECEIVED = datetime(2026, 11, 22, 12, tzinfo=UTC)


def code(call: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value.code


def only(octets: str) -> Record:
    (record,) = parse_records(bytes.fromhex(octets)).records
    return record


def quantity(octets: str) -> Quantity:
    found = only(octets).quantity
    assert found is not None
    return found


AMOUNTS = {
    "volume, 8 digits": ("0C1427048502", "28504.27", 13),
    "volume, 12 digits": ("0E10563412907856", "567890.123456", 13),
    "energy, 32 bits": ("0403FFFFFF7F", "2147483647", 30),
    "energy, negative": ("0403FFFFFFFF", "-1", 30),
    "energy, 64 bits": ("0700FFFFFFFFFFFFFF7F", "9223372036854775.807", 30),
    "energy in joule": ("020F0100", "1E+7", 25),
    "power": ("022B1027", "10000", 27),
    "volume flow": ("023B3200", "0.050", 15),
    "flow temperature": ("0A5A4523", "234.5", 9),
    "outside temperature": ("0A6545F2", "-2.45", 9),
    "pressure": ("02690A00", "0.10", 24),
    "mass": ("031A010000", "0.1", 20),
    "a minus sign": ("0A5A45F3", "-34.5", 9),
    "one octet": ("0113FF", "-0.001", 13),
}


@pytest.mark.parametrize(("octets", "amount", "unit"), AMOUNTS.values(), ids=AMOUNTS.keys())
def test_amounts(octets: str, amount: str, unit: int) -> None:
    found = quantity(octets)
    assert found.amount == Decimal(amount)
    assert found.unit == unit


NUMBERS = st.one_of(
    *(
        st.builds(
            lambda number, head=head, octets=octets: (number, head + number.to_bytes(octets, "little", signed=True)),
            st.integers(1 - 2 ** (8 * octets - 1), 2 ** (8 * octets - 1) - 1),
        )
        for octets, head in (
            (1, b"\x01\x10"),
            (2, b"\x02\x10"),
            (3, b"\x03\x10"),
            (4, b"\x04\x10"),
            (6, b"\x06\x10"),
            (8, b"\x07\x10"),
        )
    ),
    *(
        st.builds(
            lambda number, head=head, digits=digits: (number, head + bytes.fromhex(f"{number:0{digits}d}")[::-1]),
            st.integers(0, 10**digits - 1),
        )
        for digits, head in ((2, b"\x09\x10"), (4, b"\x0a\x10"), (6, b"\x0b\x10"), (8, b"\x0c\x10"), (12, b"\x0e\x10"))
    ),
)


@pytest.mark.requirement("REQ.WMBUS.apl.70")
@given(NUMBERS)
def test_no_digit_is_lost_on_the_way_into_a_reading(written: tuple[int, bytes]) -> None:
    number, octets = written
    (record,) = parse_records(octets).records
    found = record.quantity
    assert found is not None
    reading = Reading(
        DeviceId.parse("7ELS3312345678"), Obis.parse("7-0:3.0.0"), RECEIVED, found.value, found.scaler, found.unit, 0
    )
    assert reading.amount == Decimal(number).scaleb(-6)


@pytest.mark.requirement("REQ.WMBUS.apl.70")
def test_13_digits_before_and_6_behind_the_point() -> None:
    octets = b"\x07\x10" + (9_223_372_036_854_775_807).to_bytes(8, "little")
    (record,) = parse_records(octets).records
    assert record.quantity is not None
    assert str(record.quantity.amount) == "9223372036854.775807"


def test_storage_tariff_and_subunit_are_spread_over_the_extensions() -> None:
    record = only("84E9FF00" + "13" + "01000000")
    assert (record.storage, record.tariff, record.subunit) == (0x1F2, 0x0E, 3)
    record = only("D40103" + "2A000000")
    assert (record.function, record.storage, record.tariff, record.number) == (Function.MAXIMUM, 3, 0, 42)


@pytest.mark.parametrize("octets", ["0C13FAFFFFFF", "0C131A000000", "02130080", "0513000080FF", "0013", "0D1303414243"])
def test_what_is_no_number_has_none(octets: str) -> None:
    record = only(octets)
    assert record.number is None
    assert record.quantity is None


@pytest.mark.parametrize("octets", ["04933B01000000", "046D01000000", "047801000000", "04FF1301000000"])
def test_what_is_not_known_has_no_unit(octets: str) -> None:
    assert only(octets).quantity is None


def test_a_unit_in_plain_text_and_data_of_any_length() -> None:
    assert only("047C0344434201000000").vif == b"\x7c\x03DCB"
    for octets, length in (
        ("0D13C3112233", 3),
        ("0D13D2" + "00" * 2, 2),
        ("0D13E4" + "00" * 4, 4),
        ("0D13F0" + "00" * 16, 16),
    ):
        assert len(only(octets).data) == length


@pytest.mark.requirement("REQ.WMBUS.apl.30")
@pytest.mark.parametrize("mark", ["0F", "1F"])
def test_what_the_manufacturer_adds_is_no_reading(mark: str) -> None:
    message = parse_records(bytes.fromhex("0C1427048502" + "2F" + mark + "0C1499999999"))
    assert [record.number for record in message.records] == [2850427]
    assert message.manufacturer.hex().upper() == "0C1499999999"


def test_filler_is_passed_over() -> None:
    assert parse_records(b"\x2f" * 5 + bytes.fromhex("0C1427048502") + b"\x2f") == parse_records(
        bytes.fromhex("0C1427048502")
    )
    assert parse_records(b"").records == ()


BAD = {
    "no value information": ("0C", "truncated"),
    "no end of the head": ("84", "truncated"),
    "value too short": ("0C14270485", "truncated"),
    "text too short": ("047CFF41", "truncated"),
    "no length": ("0D13", "truncated"),
    "a huge length": ("0D13BF00", "truncated"),
    "eleven extensions": ("84" + "80" * 10 + "00" + "1301000000", "head"),
    "eleven value extensions": ("04" + "93" + "80" * 10 + "00" + "01000000", "head"),
    "selection for readout": ("0813", "coding"),
    "special function": ("3F13", "coding"),
    "reserved length": ("0D13CA" + "00" * 16, "coding"),
    "reserved length at the end": ("0D13FF" + "00" * 16, "coding"),
}


@pytest.mark.parametrize(("octets", "refusal"), BAD.values(), ids=BAD.keys())
def test_what_can_not_be_read_is_refused(octets: str, refusal: str) -> None:
    assert code(lambda: parse_records(bytes.fromhex(octets))) == f"lmn.records.{refusal}"


CLOCK = "046D32371F15"
VALUE = "0C1427048502"


@pytest.mark.requirement("REQ.WMBUS.apl.12")
@pytest.mark.parametrize(
    ("age", "seconds"),
    [("017405", 5), ("02742C01", 300), ("01750F", 900), ("017602", 7_200), ("017701", 86_400), ("", 0)],
)
def test_the_moment_of_measuring_is_that_of_receipt_less_the_age(age: str, seconds: int) -> None:
    message = parse_records(bytes.fromhex(VALUE + CLOCK + age))
    assert measured_at(message, RECEIVED) == RECEIVED - timedelta(seconds=seconds)


@pytest.mark.parametrize("age", ["0174FF", "0777FFFFFFFFFFFFFF7F", "0277FF7F"])
def test_an_age_beyond_sense_is_refused(age: str) -> None:
    assert code(lambda: measured_at(parse_records(bytes.fromhex(age)), RECEIVED)) == "lmn.records.age"


def test_a_compact_profile_has_other_moments() -> None:
    message = parse_records(bytes.fromhex("0D931304F10F0001"))
    assert code(lambda: measured_at(message, RECEIVED)) == "lmn.records.profile"


@pytest.mark.requirement("REQ.WMBUS.apl.13")
def test_the_meters_own_clock_is_told_beside_the_moment_of_receipt() -> None:
    message = parse_records(bytes.fromhex(VALUE + CLOCK))
    assert str(meter_clock(message)) == "2008-05-31 23:50:00"
    assert measured_at(message, RECEIVED) == RECEIVED
    assert meter_clock(parse_records(bytes.fromhex(VALUE))) is None


@pytest.mark.parametrize(
    ("octets", "moment"),
    [
        ("32171F15", "2008-05-31 23:50:00"),  # no century: of this one up to 80
        ("32176F6B", "2051-11-15 23:50:00"),
        ("B2371F15", None),  # marked as not valid
        ("32371F1D", None),  # month 13
        ("00000000", None),
        ("FFFFFFFF", None),
    ],
)
def test_moments_of_the_meters_clock(octets: str, moment: str | None) -> None:
    found = meter_clock(parse_records(bytes.fromhex("046D" + octets)))
    assert (found and str(found)) == moment


def test_error_flags() -> None:
    assert error_flags(parse_records(bytes.fromhex("03FD17010203"))) == b"\x01\x02\x03"
    assert error_flags(parse_records(bytes.fromhex(VALUE))) == b""


def read_anything(octets: bytes) -> None:
    try:
        message = parse_records(octets)
        for record in message.records:
            assert record.quantity is None or record.quantity.amount is not None
        measured_at(message, RECEIVED)
        meter_clock(message)
        error_flags(message)
    except GatewayError as error:
        assert error.code.startswith("lmn.records.")


@given(st.binary(max_size=60))
def test_noise_is_read_or_refused(octets: bytes) -> None:
    read_anything(octets)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(st.binary(max_size=240))
def test_much_noise_is_read_or_refused(octets: bytes) -> None:
    read_anything(octets)
