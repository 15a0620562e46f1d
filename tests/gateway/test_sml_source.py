"""Readings out of telegrams: exact, at the right moment, and refusals for every telegram that is not right."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sml import SmlBase

from smpki.gateway.readings import HIGHEST, LOWEST, Obis, Reading
from smpki.gateway.sml_file import ATTENTION, GET_LIST_RESPONSE, GET_PROC_PARAMETER_RESPONSE, OPEN_RESPONSE
from smpki.gateway.sml_source import RefusedTelegram, SmlSource, Telegram
from smpki.gateway.sml_telegram import (
    ABSENT,
    Register,
    integer,
    message,
    octets,
    sequence,
    telegram,
    time,
    transported,
    unsigned,
)
from smpki.policy.device_id import DeviceId

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
METER, OTHER = DeviceId.parse("1EMH0012345678"), DeviceId.parse("1ISK0012345678")
SERVER = octets(b"\x0a" + bytes(METER))
A_PLUS, A_MINUS = Obis.parse("1-0:1.8.0"), Obis.parse("1-0:2.8.0")
REAL = bytes.fromhex(json.loads((Path(__file__).parent / "vectors" / "sml_itron.json").read_text())["telegram"])
GOOD = telegram(METER, [Register(A_PLUS, 5)])


def taken(data: bytes, source: SmlSource | None = None, at: datetime = NOON) -> Telegram:
    """The one telegram in it."""
    (event,) = (source or SmlSource()).receive(data, at)
    assert isinstance(event, Telegram), event
    return event


def refusals(data: bytes, source: SmlSource | None = None) -> list[str]:
    """Codes of what is refused; nothing else comes."""
    events = (source or SmlSource()).receive(data, NOON)
    assert all(isinstance(event, RefusedTelegram) for event in events)
    return [event.error.code for event in events if isinstance(event, RefusedTelegram)]


def reading(value: int, *, captured_at: datetime = NOON, obis: Obis = A_PLUS, **changes: int) -> Reading:
    values = {"scaler": 0, "unit": 30, "status": 0} | changes
    return Reading(meter=METER, obis=obis, captured_at=captured_at, value=value, **values)


def file(*messages: tuple[int, bytes], opening: bytes = SERVER, sent: bytes = ABSENT) -> bytes:
    """A telegram of OpenResponse and these messages."""
    opened = OPEN_RESPONSE, sequence(ABSENT, ABSENT, octets(b"f"), opening, sent, ABSENT)
    return transported(b"".join(message(b"m", *each) for each in (opened, *messages)))


def list_of(*entries: bytes, server: bytes = SERVER, listed_at: bytes = ABSENT) -> tuple[int, bytes]:
    return GET_LIST_RESPONSE, sequence(ABSENT, server, ABSENT, listed_at, sequence(*entries), ABSENT, ABSENT)


def entry(value: bytes = integer(5), **parts: bytes) -> bytes:
    names = ("name", "status", "time", "unit", "scaler")
    defaults = {"name": octets(bytes(A_PLUS)), "unit": unsigned(30), "scaler": integer(0)}
    return sequence(*((defaults | parts).get(name, ABSENT) for name in names), value, ABSENT)


# What is right


def test_a_real_telegram() -> None:
    event = taken(REAL)
    meter = DeviceId(1, "ITR", 0, 55_113_102)
    assert [(one.meter, str(one.obis), one.value, one.scaler, one.unit) for one in event.readings] == [
        (meter, "1-0:1.8.0*255", 81_895_949, -1, 30),
        (meter, "1-0:16.7.0*255", 613, 0, 27),
    ]
    assert [one.status for one in event.readings] == [0x001C0104, 0]


def test_what_we_build_is_what_others_read() -> None:
    """pysml's own interpretation knows nothing of ours."""
    end, found = SmlBase.find_frame(telegram(METER, [Register(A_PLUS, 1234, -1, 30, 0x104, 99)], sent_at=100))
    assert end > 0
    opening, listing, closing = (each["messageBody"] for each in found)
    assert (opening["serverId"], opening["refTime"], closing) == ("1 EMH00 1234 5678", 100, {})
    expected = {"objName": "1-0:1.8.0*255", "value": 123.4, "unit": "Wh", "status": 0x104}
    assert {name: listing["valList"][0][name] for name in expected} == expected


registers = st.builds(
    Register,
    obis=st.builds(Obis, st.binary(min_size=6, max_size=6)),
    value=st.integers(LOWEST, HIGHEST),
    scaler=st.integers(-128, 127),
    unit=st.integers(0, 255),
    status=st.none() | st.integers(0, 2**64 - 1),
)


@given(st.lists(registers, min_size=1, max_size=20))
@settings(max_examples=50)
def test_every_register_arrives_as_it_was_sent(sent: list[Register]) -> None:
    found = [(one.obis, one.value, one.scaler, one.unit, one.status) for one in taken(telegram(METER, sent)).readings]
    assert found == [(one.obis, one.value, one.scaler, one.unit, one.status or 0) for one in sent]


@pytest.mark.requirement("REQ.TLSHDLC.SMGW.90")
@pytest.mark.parametrize("amount", ["9999999999999.999999", "9999999999999.999998", "-123456789012.000001"])
def test_thirteen_digits_before_the_point_and_six_after_it_are_kept(amount: str) -> None:
    (one,) = taken(telegram(METER, [Register(A_PLUS, int(Decimal(amount) * 10**6), -6)])).readings
    assert str(one.amount) == amount


def attribute(number: int, value: bytes, kind: int = 1) -> bytes:
    return sequence(octets(number.to_bytes(2)), sequence(unsigned(kind), value), ABSENT)


def cosem(class_id: int, *attributes: bytes, obis: Obis = A_PLUS) -> bytes:
    """The tree of one COSEM object."""
    name = bytes(obis) + class_id.to_bytes(2) + b"\0"
    return sequence(octets(name), ABSENT, sequence(*attributes))


def scaler_unit(scaler: int, unit: int) -> bytes:
    return sequence(unsigned(3), sequence(unsigned(1), sequence(integer(scaler), unsigned(unit))))


def parameters(tree: bytes) -> tuple[int, bytes]:
    return GET_PROC_PARAMETER_RESPONSE, sequence(SERVER, sequence(octets(bytes(A_PLUS))), tree)


@pytest.mark.requirement("REQ.TLSHDLC.SMGW.80")
@pytest.mark.parametrize("class_id", [3, 32770])
@pytest.mark.parametrize(
    "captured",
    [attribute(5, unsigned(97, 4)), attribute(5, time(97), kind=4), attribute(5, sequence(unsigned(1), time(97)))],
)
def test_value_scaler_unit_status_and_time_of_a_register(class_id: int, captured: bytes) -> None:
    parts = attribute(2, unsigned(1234)), attribute(3, scaler_unit(-1, 30)), attribute(4, unsigned(0x104)), captured
    event = taken(file(parameters(cosem(class_id, *parts)), sent=time(100)))
    assert event.readings == (reading(1234, scaler=-1, status=0x104, captured_at=NOON - 3 * SECOND),)


def test_registers_anywhere_in_a_tree_of_parameters() -> None:
    below = [
        cosem(32770, attribute(2, integer(-7)), obis=A_MINUS),
        cosem(1, attribute(2, integer(8))),
        cosem(3, attribute(2, octets(b"text"))),
        cosem(3, attribute(3, scaler_unit(0, 30))),
        cosem(3, sequence(octets(b"\0\2"), ABSENT, ABSENT)),
        sequence(octets(b"other"), ABSENT, ABSENT),
    ]
    tree = sequence(octets(bytes(A_PLUS)), ABSENT, sequence(*below))
    assert taken(file(parameters(tree))).readings == (reading(-7, obis=A_MINUS, unit=255),)


def test_objects_without_a_number_are_passed_over() -> None:
    boolean = b"\x42\x01"
    others = [entry(octets(b"EMH"), name=octets(b"vendor")), entry(boolean), entry(sequence(unsigned(1), time(7)))]
    assert taken(file(list_of(entry(), *others, entry(ABSENT)))).readings == (reading(5),)


def test_other_messages_are_passed_over() -> None:
    assert taken(file((0x0401, sequence(ABSENT)), (0x1234, unsigned(1)))).readings == ()


def test_the_server_that_opened_counts_for_lists_without_one() -> None:
    assert taken(file(list_of(entry(), server=ABSENT))).readings == (reading(5),)


def test_a_unit_that_is_left_out_is_a_count() -> None:
    assert taken(file(list_of(entry(unit=ABSENT, scaler=ABSENT)))).readings == (reading(5, unit=255),)


def test_the_status_word_is_made_by_who_knows_it() -> None:
    source = SmlSource(status=lambda word: 77 if word is None else word + 1)
    found = taken(telegram(METER, [Register(A_PLUS, 1, status=5), Register(A_MINUS, 2)]), source).readings
    assert [one.status for one in found] == [6, 77]


# When it was


@pytest.mark.requirement("REQ.TLSHDLC.SMGW.60")
@pytest.mark.parametrize("sent", [1000, datetime(2001, 1, 1, tzinfo=UTC)])
def test_the_time_between_measuring_and_sending_counts_back_from_the_receipt(sent: int | datetime) -> None:
    measured = sent - 7 if isinstance(sent, int) else sent - 7 * SECOND
    (one,) = taken(telegram(METER, [Register(A_PLUS, 5, measured_at=measured)], sent_at=sent)).readings
    assert one.captured_at == NOON - 7 * SECOND


EARLIER = NOON - timedelta(hours=5)


@pytest.mark.parametrize(
    ("measured", "sent", "captured"),
    [
        (None, None, NOON),
        (None, 1000, NOON),
        (1000, None, NOON),
        (1000, EARLIER, NOON),
        (EARLIER, None, EARLIER),
        (EARLIER, 1000, EARLIER),
        (0, 99_043_543, NOON),
        (1, 2**32 - 1, NOON - timedelta(seconds=2**32 - 2)),
    ],
)
def test_other_moments(measured: datetime | int | None, sent: datetime | int | None, captured: datetime) -> None:
    (one,) = taken(telegram(METER, [Register(A_PLUS, 5, measured_at=measured)], sent_at=sent)).readings
    assert one.captured_at == captured


@pytest.mark.parametrize(
    ("encoded", "captured"),
    [
        (unsigned(995, 4), NOON - 5 * SECOND),  # some makes leave the choice out
        (sequence(unsigned(1), unsigned(995, 2)), NOON - 5 * SECOND),
        (
            sequence(unsigned(3), sequence(unsigned(int(EARLIER.timestamp()), 4), integer(60), integer(0))),
            EARLIER,
        ),
    ],
)
def test_other_ways_to_write_a_time(encoded: bytes, captured: datetime) -> None:
    (one,) = taken(file(list_of(entry(time=encoded)), sent=time(1000))).readings
    assert one.captured_at == captured


def test_the_time_of_the_list_counts_for_entries_without() -> None:
    found = taken(file(list_of(entry(), entry(time=time(990)), listed_at=time(995)), sent=time(1000))).readings
    assert [(NOON - one.captured_at) / SECOND for one in found] == [5, 10]


def test_the_full_second_of_a_moment_counts() -> None:
    (one,) = taken(GOOD, at=NOON + timedelta(seconds=1, milliseconds=900)).readings
    assert one.captured_at == NOON + SECOND


@pytest.mark.requirement("REQ.TLSHDLC.SMGW.70")
def test_a_meter_whose_time_goes_back_is_noticed() -> None:
    source = SmlSource()

    def went_back(meter: DeviceId, sent: int | datetime | None) -> bool:
        return taken(telegram(meter, [Register(A_PLUS, 5)], sent_at=sent), source).decremented_timestamp

    assert [went_back(METER, sent) for sent in (100, 100, 101, 99, 100)] == [False, False, False, True, False]
    assert [went_back(OTHER, 50), went_back(METER, None), went_back(METER, NOON)] == [False] * 3
    assert [went_back(METER, 101), went_back(METER, 99)] == [False, True]


# What is not right


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([(ATTENTION, sequence(SERVER, octets(b"\x81\x81\xc7\xc7\xfe\x02"), ABSENT, ABSENT))], "attention"),
        ([list_of(entry(), server=octets(b"\x06EMH\x01\x02\x71\x56\xcd\x45"))], "server_id"),
        ([list_of(entry(), server=octets(b"\x0a\x01EM"))], "server_id"),
        ([list_of(entry(), server=octets(b"\x0a\x01em\x00\x00\x00\x00\x00\x00"))], "server_id"),
        ([list_of(entry(), server=octets(b"\x0a\x01EMH\x00\xff\xff\xff\xff"))], "server_id"),
        ([list_of(entry(), server=unsigned(5))], "file"),
        ([list_of(entry(time=time(NOON + SECOND)), listed_at=ABSENT)], "time"),
        ([list_of(entry(time=sequence(unsigned(9), unsigned(1))))], "file"),
        ([list_of(entry(time=sequence(unsigned(1), unsigned(2**32))))], "file"),
        ([list_of(entry(time=sequence(unsigned(1), integer(-1))))], "file"),
        ([list_of(entry(status=octets(b"ok")))], "file"),
        ([list_of(entry(unit=octets(b"Wh")))], "file"),
        ([list_of(entry(scaler=sequence(ABSENT)))], "file"),
        ([list_of(sequence(ABSENT, ABSENT))], "file"),
        ([list_of(integer(5))], "file"),
        ([(GET_LIST_RESPONSE, sequence(ABSENT))], "file"),
        ([(GET_LIST_RESPONSE, ABSENT)], "file"),
        ([(OPEN_RESPONSE, ABSENT)], "file"),
        ([parameters(ABSENT)], "file"),
        ([parameters(cosem(3, integer(5)))], "file"),
        ([parameters(cosem(3, attribute(2, integer(5)), attribute(3, integer(-1))))], "file"),
        ([parameters(cosem(3, attribute(2, integer(5)), attribute(4, octets(b"x"))))], "file"),
    ],
)
def test_a_telegram_with_anything_wrong_is_refused_whole(messages: Sequence[tuple[int, bytes]], code: str) -> None:
    right = list_of(entry())
    assert refusals(file(right, *messages, right, sent=time(NOON))) == [f"reading.sml.{code}"]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (entry(integer(2**64)), "value"),
        (entry(unsigned(2**64)), "value"),
        (entry(integer(-(2**200))), "value"),
        (entry(scaler=integer(128)), "scaler"),
        (entry(unit=unsigned(256)), "unit"),
        (entry(status=unsigned(2**64)), "status"),
        (entry(status=integer(-1)), "status"),
        (entry(name=octets(b"\1\0\1\10\0")), "obis"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: bytes, code: str) -> None:
    assert refusals(file(list_of(entry(), wrong))) == [f"reading.{code}"]


def nested(depth: int) -> bytes:
    value = octets(b"x")
    for _ in range(depth):
        value = sequence(value)
    return value


@pytest.mark.parametrize(
    "content",
    [
        b"\x76",
        b"\xff" * 100,
        b"\x8f" * 15_000,
        b"\x71" * 15_000,
        b"\xff\x0f" * 5_000,
        b"\x8f\x0f\x0f",
        message(b"m", OPEN_RESPONSE, nested(1000)),
        message(b"m", 0x1234, nested(20)),
        message(b"m", 0x0201, sequence(ABSENT))[:-1],
        message(b"m", 0x0201, sequence(ABSENT))[:-4] + unsigned(7, 2) + b"\0",
        message(b"m", 0x0201, sequence(ABSENT))[:-1] + b"\x01",
        sequence(*[octets(b"m")] * 6),
        b"\x76" + octets(b"m") + unsigned(0) + unsigned(0) + sequence(sequence(ABSENT), ABSENT) + b"\x63\0\0\0",
    ],
)
def test_what_is_no_sml_file_is_refused(content: bytes) -> None:
    source = SmlSource()
    assert refusals(transported(content), source) == ["reading.sml.file"]
    assert taken(GOOD, source).readings == (reading(5),)


def test_lists_may_be_nested_as_deep_as_readings_need() -> None:
    assert taken(transported(message(b"m", 0x1234, nested(12)))).readings == ()


def test_a_telegram_of_a_stranger_is_refused() -> None:
    source = SmlSource(meters={METER})
    assert refusals(telegram(OTHER, [Register(A_PLUS, 5)]), source) == ["reading.sml.meter"]
    assert taken(GOOD, source).readings == (reading(5),)


def test_a_telegram_that_the_end_cut() -> None:
    source = SmlSource()
    assert source.receive(GOOD[:-1], NOON) == []
    (event,) = source.finish()
    assert isinstance(event, RefusedTelegram)
    assert event.error.code == "reading.sml.cut"


@given(st.data())
def test_bad_octets_are_refused_and_the_next_telegram_is_read(data: st.DataObject) -> None:
    """One octet of a good file is another, the checksums of telegram and message are as they should be."""
    body = bytearray(list_of(entry(), entry(time=time(7)), listed_at=time(5))[1])
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    kind = data.draw(st.sampled_from([OPEN_RESPONSE, GET_LIST_RESPONSE, GET_PROC_PARAMETER_RESPONSE, ATTENTION]))
    source = SmlSource()
    events = source.receive(transported(message(b"m", kind, bytes(body))) + GOOD, NOON)
    assert len(events) == 2
    assert isinstance(events[1], Telegram)


@pytest.mark.slow
@given(st.lists(st.binary(max_size=200), max_size=5))
@settings(max_examples=2000)
def test_any_octets_in_a_whole_telegram(contents: list[bytes]) -> None:
    source = SmlSource()
    for content in contents:
        assert len(source.receive(transported(content.rstrip(b"\x1b")), NOON)) == 1
    assert taken(GOOD, source).readings == (reading(5),)
