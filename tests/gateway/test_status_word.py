"""The status word of a reading."""

import json
from pathlib import Path

import pytest

from smpki.gateway.mbus_records import error_flags, parse_records
from smpki.gateway.status_word import (
    ERROR,
    NO_VALUE,
    NOT_FOR_BILLING,
    TIME_INVALID,
    TRIGGERED,
    WARNING,
    DisplayStatus,
    Finding,
    MeterKind,
    combined,
    display_status,
    findings,
    wireless_word,
)

VECTORS = json.loads((Path(__file__).parent / "vectors" / "status_words.json").read_bytes())
GOOD = 0x20000000


def bit(number: int) -> int:
    """A bit of a 32-bit word; 0 is the highest."""
    return 1 << 31 - number


def gateway_bits(word: int) -> set[int]:
    return {number for number in range(32) if word >> 32 & bit(number)}


def test_good_readings() -> None:
    assert f"{combined(None):016X}" == f"{combined(GOOD):016X}" == VECTORS["good"]["wired electricity"]
    assert f"{combined(wireless_word(0), MeterKind.WIRELESS):016X}" == VECTORS["good"]["wireless"]


@pytest.mark.requirement("REQ.WMBUS.apl.80")
@pytest.mark.parametrize(
    ("status", "flags", "word"),
    [
        (0x00, b"", 0x00000000),
        (0x01, b"", 0x00000001),
        (0x04, b"", 0x00000004),
        (0x08, b"", 0x00000008),
        (0x10, b"", 0x00000010),
        (0xE0, b"", 0x000000E0),
        (0x00, b"\x80", 0x80000000),
        (0x00, b"\x00\x80", 0x00800000),
        (0x00, b"\x00\x00\x01", 0x00000100),
        (0xFF, b"\x12\x34\x56\x78", 0x123456FF),
    ],
)
def test_the_word_of_a_wireless_meter_is_ef1_to_ef3_and_sts(status: int, flags: bytes, word: int) -> None:
    assert wireless_word(status, flags) == word


@pytest.mark.requirement("REQ.WMBUS.apl.80")
@pytest.mark.parametrize(
    ("status", "flags", "found", "bits"),
    [
        (0x00, b"\x40", Finding.TAMPER, {14}),  # magnetic, bit 1
        (0x00, b"\x20", Finding.WARNING, set()),  # connection broken, 2
        (0x00, b"\x10", Finding.ERROR, set()),  # hardware or software, 3
        (0x00, b"\x08", Finding.WARNING, set()),  # battery off, 4
        (0x00, b"\x04", Finding.FATAL, set()),  # external input, 5
        (0x00, b"\x02", Finding.WARNING, set()),  # battery low, 6
        (0x00, b"\x01", Finding.TAMPER, {14}),  # mechanical, 7
        (0x00, b"\0\x40", Finding.TIME_NOT_VALID, set()),  # 9
        (0x00, b"\0\x20", Finding.WARNING, set()),  # meter out of range, 10
        (0x00, b"\0\x04", Finding.WARNING, set()),  # leakage, 13
        (0x10, b"", Finding.ERROR, set()),  # temporary, 27
        (0x08, b"", Finding.FATAL, {15}),  # permanent, 28
        (0x04, b"", Finding.WARNING, set()),  # power low, 29
        (0x02, b"", Finding.ERROR, set()),  # of the application, 30
        (0x03, b"", Finding.ERROR, {15}),  # abnormal condition
        (0x01, b"", None, set()),  # busy, 31
        (0x00, b"\0\0\xff", None, set()),  # of the past
        (0xE0, b"", None, set()),  # the manufacturer's own
    ],
)
def test_what_a_wireless_meter_reports(status: int, flags: bytes, found: Finding | None, bits: set[int]) -> None:
    word = wireless_word(status, flags)
    assert findings(word, MeterKind.WIRELESS) == ({found} if found else set())
    word_of_reading = combined(word, MeterKind.WIRELESS)
    assert word_of_reading & 0xFFFF_FFFF == word
    assert gateway_bits(word_of_reading) == {0, 2, 17} | bits


def test_flags_come_out_of_the_message() -> None:
    message = parse_records(bytes.fromhex("0C1427048502" + "03FD17400000"))
    assert findings(wireless_word(0, error_flags(message)), MeterKind.WIRELESS) == {Finding.TAMPER}


@pytest.mark.parametrize(
    ("kind", "number", "found"),
    [
        (MeterKind.ELECTRICITY, 8, None),
        (MeterKind.ELECTRICITY, 9, Finding.TAMPER),
        (MeterKind.ELECTRICITY, 10, Finding.TAMPER),
        (MeterKind.ELECTRICITY, 11, None),
        (MeterKind.ELECTRICITY, 17, Finding.FATAL),
        (MeterKind.GAS, 3, None),
        (MeterKind.GAS, 8, Finding.WARNING),
        (MeterKind.GAS, 10, Finding.TAMPER),
        (MeterKind.GAS, 16, Finding.WARNING),
        (MeterKind.GAS, 17, Finding.FATAL),
        (MeterKind.GAS, 27, Finding.WARNING),
        (MeterKind.GAS, 28, None),
    ],
)
def test_what_a_wired_meter_reports(kind: MeterKind, number: int, found: Finding | None) -> None:
    assert findings(bit(number), kind) == ({found} if found else set())
    expected = {0, 2} | ({14} if found is Finding.TAMPER else set())
    assert gateway_bits(combined(bit(number), kind)) == expected


@pytest.mark.parametrize(
    ("bits", "place"),
    [(NOT_FOR_BILLING, 1), (ERROR, 8), (TIME_INVALID, 9), (WARNING, 12), (NO_VALUE, 13), (TRIGGERED, 16)],
)
def test_the_gateways_own_bits_come_on_top(bits: int, place: int) -> None:
    assert gateway_bits(combined(None) | bits) == {0, 2, place}


@pytest.mark.parametrize(("word", "status"), VECTORS["display"].items())
def test_what_consumers_are_shown(word: str, status: str) -> None:
    assert display_status(int(word, 16)) is DisplayStatus[status]


@pytest.mark.parametrize(("number", "status"), [(17, "FATAL"), (9, "TEMPORARY_CRITICAL"), (10, "TEMPORARY_CRITICAL")])
def test_what_consumers_are_shown_of_the_meter(number: int, status: str) -> None:
    assert display_status(combined(GOOD | bit(number), MeterKind.ELECTRICITY)) is DisplayStatus[status]
