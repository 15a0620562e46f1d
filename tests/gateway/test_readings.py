"""Readings: exact, in range, and the same after JSON."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpki.errors import GatewayError
from smpki.gateway.readings import HIGHEST, LOWEST, Obis, Reading
from smpki.policy.device_id import DeviceId

METER = DeviceId.parse("1EMH0012345678")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

readings = st.builds(
    Reading,
    meter=st.builds(DeviceId, st.integers(0, 15), st.just("EMH"), st.integers(0, 254), st.integers(0, 99_999_999)),
    obis=st.builds(Obis, st.binary(min_size=6, max_size=6)),
    captured_at=st.datetimes(timezones=st.just(UTC)),
    value=st.integers(LOWEST, HIGHEST),
    scaler=st.integers(-128, 127),
    unit=st.integers(0, 255),
    status=st.integers(0, 2**64 - 1),
)


def reading(**changes: Any) -> Reading:
    values = {"value": 12_345_678, "scaler": -1, "unit": 30, "status": 0xA000000020000000} | changes
    return Reading(**({"meter": METER, "obis": Obis.parse("1-0:1.8.0"), "captured_at": NOON} | values))


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("1-0:1.8.0*255", "0100010800ff"),
        ("1-0:1.8.0", "0100010800ff"),
        ("0-0:0.0.0*0", "000000000000"),
        ("129-129:199.130.3*255", "8181c78203ff"),
    ],
)
def test_obis_identifiers_are_octets_and_text(text: str, octets: str) -> None:
    obis = Obis.parse(text)
    assert bytes(obis).hex() == octets
    assert Obis.parse(str(obis)) == obis
    assert str(obis).startswith(text)


@pytest.mark.parametrize(
    "text",
    ["", "1-0:1.8", "1-0:1.8.256", "1-0:1.8.0*999", "01-0:1.8.0", "1-0:1.8.0*", "1-0:1.8.0 ", "1-0:1.8.٣"],
)
def test_other_texts_are_no_obis_identifiers(text: str) -> None:
    with pytest.raises(GatewayError) as refused:
        Obis.parse(text)
    assert refused.value.code == "reading.obis"


@pytest.mark.parametrize("octets", [b"", b"\1\0\1\10\0", b"\1\0\1\10\0\xff\0"])
def test_an_obis_identifier_has_six_octets(octets: bytes) -> None:
    with pytest.raises(GatewayError):
        Obis(octets)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *(("value", value) for value in (LOWEST - 1, HIGHEST + 1)),
        *(("scaler", value) for value in (-129, 128)),
        *(("unit", value) for value in (-1, 256)),
        *(("status", value) for value in (-1, 2**64)),
    ],
)
def test_what_is_out_of_range_is_refused(member: str, value: int) -> None:
    with pytest.raises(GatewayError) as refused:
        reading(**{member: value})
    assert refused.value.code == f"reading.{member}"


def test_a_moment_is_utc() -> None:
    assert reading(captured_at=NOON.astimezone(timezone(timedelta(hours=1)))) == reading()
    with pytest.raises(GatewayError) as refused:
        reading(captured_at=NOON.replace(tzinfo=None))
    assert refused.value.code == "reading.time"


def test_the_amount_keeps_every_digit() -> None:
    assert reading(value=HIGHEST, scaler=-6).amount == Decimal("18446744073709.551615")
    assert reading(value=-5, scaler=3).amount == Decimal(-5000)


@given(readings)
def test_json_keeps_every_digit(one: Reading) -> None:
    text = json.dumps(one.as_json(), allow_nan=False)
    assert Reading.from_json(json.loads(text, parse_float=pytest.fail)) == one


def test_json_is_written_for_others_to_read() -> None:
    assert reading().as_json() == {
        "meter": "1emh0012345678",
        "obis": "1-0:1.8.0*255",
        "captured_at": "2026-11-22T12:00:00Z",
        "value": 12_345_678,
        "scaler": -1,
        "unit": 30,
        "status": "A000000020000000",
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"value": 1.0}, "reading.json"),
        ({"value": True}, "reading.json"),
        ({"value": "1"}, "reading.json"),
        ({"value": HIGHEST + 1}, "reading.value"),
        ({"unit": None}, "reading.json"),
        ({"scaler": 200}, "reading.scaler"),
        ({"status": 5}, "reading.json"),
        ({"status": "0xA0000000200000"}, "reading.json"),
        ({"status": "A0000000200000001"}, "reading.json"),
        ({"captured_at": "2026-11-22T12:00:00+01:00"}, "reading.json"),
        ({"captured_at": "2026-11-22T12:00:00"}, "reading.json"),
        ({"captured_at": "2026-02-30T12:00:00Z"}, "reading.json"),
        ({"captured_at": "2026-11-22 12:00:00Z"}, "reading.json"),
        ({"captured_at": 1_795_348_800}, "reading.json"),
        ({"meter": "1emh001234567"}, "reading.json"),
        ({"meter": "1emh0012345678\n"}, "reading.json"),
        ({"meter": None}, "reading.json"),
        ({"obis": "1.8.0"}, "reading.obis"),
        ({"tariff": 1}, "reading.json"),
    ],
)
def test_other_json_is_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(GatewayError) as refused:
        Reading.from_json(reading().as_json() | changes)
    assert refused.value.code == code


@pytest.mark.parametrize("value", [None, [], "reading", 1, {}, {"meter": "1emh0012345678"}])
def test_other_json_values_are_no_readings(value: object) -> None:
    with pytest.raises(GatewayError) as refused:
        Reading.from_json(value)
    assert refused.value.code == "reading.json"
