"""Data records of M-Bus: what a meter's application message holds (EN 13757-3 chapter 6).

A record is a head, which says how the value is coded (DIF) and what it is (VIF), and the value. Values become integers
and a power of ten, so that no digit is lost.
"""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from smpki.errors import GatewayError

_FILLER, _MANUFACTURER, _MORE_FOLLOWS = 0x2F, 0x0F, 0x1F
_EXTENDED = 0x80
_MAX_EXTENSIONS = 10
_VARIABLE = 0x0D
_FIXED_LENGTHS = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 6, 7: 8, 9: 1, 10: 2, 11: 3, 12: 4, 14: 6}
_BINARY = frozenset({1, 2, 3, 4, 6, 7})
_DECIMAL = frozenset({9, 10, 11, 12, 14})
_PLAIN_TEXT_VIF = 0x7C
_DATE_AND_TIME_VIF = 0x6D
_ACTUALITY_VIF = 0x74
_ERROR_FLAGS_VIF = b"\xfd\x17"
_INVERSE_PROFILE_VIFE = 0x13

# First VIF, how many it spans, exponent of the first, COSEM unit (IEC 62056-6-2); EN 13757-3 table 10
_QUANTITIES: Final = (
    *((0x00, 8, -3, 30), (0x08, 8, 0, 25)),  # energy: Wh, J
    *((0x10, 8, -6, 13), (0x18, 8, -3, 20)),  # volume m3, mass kg
    *((0x28, 8, -3, 27), (0x30, 8, 0, 26)),  # power: W, J/h
    (0x38, 8, -6, 15),  # volume flow m3/h
    *((0x58, 4, -3, 9), (0x5C, 4, -3, 9), (0x64, 4, -3, 9)),  # flow, return, outside temperature: degrees Celsius
    (0x68, 4, -3, 24),  # pressure, bar
)
_SECONDS_OF = (1, 60, 3_600, 86_400)
_OLDEST = 366 * 86_400


class Function(enum.IntEnum):
    """Which value of its kind it is; only the first is a meter reading."""

    INSTANTANEOUS, MAXIMUM, MINIMUM, DURING_ERROR = range(4)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with its unit: ``value * 10 ** scaler``.

    :param unit: COSEM code; 30 is Wh, 13 is m3
    """

    value: int
    scaler: int
    unit: int

    @property
    def amount(self) -> Decimal:
        """The value in its unit, without loss of a digit."""
        return Decimal(self.value).scaleb(self.scaler)


@dataclass(frozen=True, slots=True)
class Record:
    """A data record.

    :param storage: 0 is the current value
    :param vif: VIF and its extensions, as in the message
    :param coding: how the data are coded: the lower half of the DIF
    """

    function: Function
    storage: int
    tariff: int
    subunit: int
    vif: bytes
    coding: int
    data: bytes

    @property
    def number(self) -> int | None:
        """The number it holds; ``None`` when it holds none, or none that is valid."""
        if self.coding in _BINARY:
            number = int.from_bytes(self.data, "little", signed=True)
            return None if number == -(1 << 8 * len(self.data) - 1) else number  # the lowest says: not valid
        return _decimal(self.data) if self.coding in _DECIMAL else None

    @property
    def quantity(self) -> Quantity | None:
        """The number with scale and unit; ``None`` when what it says is not known here, or is no number."""
        number = self.number
        if number is None or len(self.vif) != 1:
            return None
        for first, span, exponent, unit in _QUANTITIES:
            if first <= self.vif[0] < first + span:
                return Quantity(number, exponent + self.vif[0] - first, unit)
        return None


@dataclass(frozen=True, slots=True)
class Message:
    """An application message.

    :param manufacturer: what follows the records in the manufacturer's own form; never part of a reading
        (Detailspezifikationen zur TR-03109-1, 10.4.1)
    """

    records: tuple[Record, ...]
    manufacturer: bytes = b""


def parse_records(data: bytes) -> Message:
    """Read an application message, decrypted.

    :raises GatewayError: ``lmn.records.truncated``, ``.coding``, ``.head``
    """
    records: list[Record] = []
    place = 0
    while place < len(data):
        if data[place] == _FILLER:
            place += 1
        elif data[place] in (_MANUFACTURER, _MORE_FOLLOWS):
            return Message(tuple(records), data[place + 1 :])
        else:
            record, place = _parse_record(data, place)
            records.append(record)
    return Message(tuple(records))


def measured_at(message: Message, received_at: datetime) -> datetime:
    """When the meter measured: on receipt, less the age that the message gives its values (Actuality Duration).

    Detailspezifikationen zur TR-03109-1, 10.4.2, for messages without a compact profile.

    :param received_at: timezone-aware
    :raises GatewayError: ``lmn.records.profile``: the message has a compact profile; ``lmn.records.age``
    """
    age = timedelta()
    for record in message.records:
        if _INVERSE_PROFILE_VIFE in record.vif[1:]:
            hint = "only messages with single values are read"
            raise GatewayError("lmn.records.profile", "the message holds a compact profile", hint=hint)
        if len(record.vif) == 1 and record.vif[0] & 0x7C == _ACTUALITY_VIF and record.number is not None:
            seconds = record.number * _SECONDS_OF[record.vif[0] & 0x03]
            if not 0 <= seconds <= _OLDEST:
                raise _refused("age", f"values can't be {seconds} s old")
            age = timedelta(seconds=seconds)
    return received_at - age


def meter_clock(message: Message) -> datetime | None:
    """The meter's own date and time, in its local time, without zone; ``None`` when it sends none or an invalid one.

    EN 13757-3 annex A, type F.
    """
    for record in message.records:
        if record.vif == bytes([_DATE_AND_TIME_VIF]) and record.storage == 0 and len(record.data) == 4:
            return _date_and_time(record.data)
    return None


def error_flags(message: Message) -> bytes:
    """The error octets EF1 to EF3, where the meter sends them; else empty (EN 13757-3 annex E.1)."""
    flags = [record.data for record in message.records if record.vif == _ERROR_FLAGS_VIF and record.coding in _BINARY]
    return flags[0] if flags else b""


def _parse_record(data: bytes, place: int) -> tuple[Record, int]:
    heads, place = _extended(data, place)
    vif, place = _extended(data, place)
    if vif[0] & 0x7F == _PLAIN_TEXT_VIF:
        text, place = _take(data, place, 1 + _take(data, place, 1)[0][0])
        vif += text
    coding = heads[0] & 0x0F
    if coding == _VARIABLE:
        (length,), place = _take(data, place, 1)
        count = _variable_length(length)
    elif coding in _FIXED_LENGTHS:
        count = _FIXED_LENGTHS[coding]
    else:
        raise _refused("coding", f"data field {coding:X} is not read")
    content, place = _take(data, place, count)
    storage, tariff, subunit = heads[0] >> 6 & 1, 0, 0
    for position, extension in enumerate(heads[1:]):
        storage |= (extension & 0x0F) << 1 + 4 * position
        tariff |= (extension >> 4 & 3) << 2 * position
        subunit |= (extension >> 6 & 1) << position
    return Record(Function(heads[0] >> 4 & 3), storage, tariff, subunit, vif, coding, content), place


def _extended(data: bytes, place: int) -> tuple[bytes, int]:
    """An octet and its extensions: each but the last has its highest bit set."""
    end = place
    while end < len(data) and data[end] & _EXTENDED:
        end += 1
    if end - place > _MAX_EXTENSIONS:
        raise _refused("head", f"the head of a record has more than {_MAX_EXTENSIONS} extensions")
    return _take(data, place, end + 1 - place)


def _take(data: bytes, place: int, count: int) -> tuple[bytes, int]:
    if place + count > len(data):
        raise _refused("truncated", "the application message ends within a record")
    return data[place : place + count], place + count


def _variable_length(length: int) -> int:
    """Octets that follow a length octet (EN 13757-3 table 5)."""
    if length <= 0xBF:
        return length
    if length <= 0xC9 or 0xD0 <= length <= 0xD9 or 0xE0 <= length <= 0xEF:
        return length & 0x0F
    if 0xF0 <= length <= 0xF4:
        return 4 * (length - 0xEC)
    raise _refused("coding", f"length octet {length:02X} is not read")


def _decimal(data: bytes) -> int | None:
    """Packed decimal digits, lowest octet first; F in front is a minus sign (EN 13757-3 annex A, type A)."""
    digits = data[::-1].hex()
    sign = -1 if digits.startswith("f") else 1
    digits = digits.removeprefix("f")
    return sign * int(digits) if digits.isdecimal() else None


def _date_and_time(data: bytes) -> datetime | None:
    minute, hour, day, month = data
    year = (day >> 5) | (month >> 4) << 3
    century = hour >> 5 & 3
    if minute & 0x80:
        return None
    try:
        # without a century, years to 80 are of this one (EN 13757-3 annex A, type F)
        full = 1900 + 100 * century + year + (100 if not century and year <= 80 else 0)
        return datetime(full, month & 0x0F, day & 0x1F, hour & 0x1F, minute & 0x3F)  # noqa: DTZ001 -- local time
    except ValueError:
        return None


def _refused(rule: str, message: str) -> GatewayError:
    hint = "the meter's firmware or this reader is wrong about EN 13757-3; report the meter's type"
    return GatewayError(f"lmn.records.{rule}", message, hint=hint)
