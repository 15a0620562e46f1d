"""The status word of a reading: what gateway and meter say about it, 32 bits each (Detailspezifikationen, chapter 15).

Bit 0 is the highest. The gateway's word stands in front: a good reading of a power meter is ``A000000020000000``.
"""

import enum
from typing import Final


def _bits(*numbers: int) -> int:
    return sum(1 << 31 - number for number in numbers)


class GatewayStatus(enum.IntFlag):
    """Bits of the gateway's word that a gateway sets by itself (table 15.1)."""

    NOT_FOR_BILLING = _bits(1)
    ERROR = _bits(8)
    TIME_NOT_VALID = _bits(9)
    WARNING = _bits(12)
    NO_VALUE = _bits(13)
    """No reading came in the window of its time."""
    TRIGGERED = _bits(16)
    """Sent because a threshold was crossed."""


NOTHING: Final = GatewayStatus(0)

_ALWAYS = _bits(0, 2)
_METER_TAMPER, _METER_ERROR, _RADIO_TYPE = _bits(14), _bits(15), _bits(17)


class MeterKind(enum.Enum):
    """Whose bits the meter's word has."""

    POWER = "power"
    """Wired electricity meter (FNN Basiszaehler)."""
    GAS = "gas"
    """Wired gas meter (DVGW G697)."""
    RADIO = "radio"
    """Wireless meter of gas, water or heat (OMS)."""


class Finding(enum.Enum):
    """What a bit of the meter's word means to the gateway."""

    TAMPER = "MTR_Tamper"
    WARNING = "MTR_Warning"
    ERROR = "MTR_Error"
    FATAL = "MTR_Fatal"
    TIME_NOT_VALID = "MTR_TimeNotValid"


_FINDINGS: Final = {
    MeterKind.POWER: {Finding.TAMPER: _bits(9, 10), Finding.FATAL: _bits(17)},
    MeterKind.GAS: {
        Finding.WARNING: _bits(8, *range(11, 17), *range(18, 28)),  # 28 warns by being 0, and in one class only
        Finding.TAMPER: _bits(9, 10),
        Finding.FATAL: _bits(17),
    },
    MeterKind.RADIO: {
        Finding.TAMPER: _bits(1, 7),
        Finding.WARNING: _bits(2, 4, 6, *range(10, 14), 29),
        Finding.ERROR: _bits(3, 27, 30),
        Finding.FATAL: _bits(5, 28),
        Finding.TIME_NOT_VALID: _bits(9),
    },
}

_APPLICATION_STATE, _ABNORMAL, _PERMANENT_ERROR = 0x03, 0x03, 0x08  # STS, EN 13757-7 7.5.6


def radio_word(status: int, error_flags: bytes = b"") -> int:
    """A wireless meter's word: EF1, EF2, EF3 and STS, an octet each, highest bit first.

    :param status: STS, the status octet of the transport layer
    :param error_flags: EF1 to EF3, as many as the meter sends; what follows does not count
    """
    return int.from_bytes(error_flags[:3].ljust(3, b"\x00") + bytes([status]), "big")


def findings(word: int, kind: MeterKind) -> frozenset[Finding]:
    """What the meter reports.

    :param word: the meter's 32 bits
    """
    return frozenset(finding for finding, bits in _FINDINGS[kind].items() if word & bits)


def combined_word(meter: int, kind: MeterKind, gateway: GatewayStatus = NOTHING) -> int:
    """The 64 bits that go with a reading (kombiniertes Statuswort).

    :param meter: the meter's 32 bits
    :param gateway: what the gateway has to say; what follows from the meter's word is added
    """
    word = _ALWAYS | int(gateway)
    if Finding.TAMPER in findings(meter, kind):
        word |= _METER_TAMPER
    if kind is MeterKind.RADIO:
        word |= _RADIO_TYPE
        if meter & _PERMANENT_ERROR or meter & _APPLICATION_STATE == _ABNORMAL:
            word |= _METER_ERROR
    return word << 32 | meter


class DisplayStatus(enum.IntEnum):
    """How a reading's status is shown to consumers, from good to bad (PTB-A 50.8)."""

    OK, WARNING, TEMPORARY, TEMPORARY_CRITICAL, FATAL = range(5)


def display_status(word: int) -> DisplayStatus:
    """The status that the consumers' transparency software (TRuDI) shows for a wired power meter's reading.

    It goes by the meaning that bits 13 and 14 had before 2024: temporary error, and critical one.
    """
    gateway, meter = word >> 32, word & 0xFFFF_FFFF
    if gateway & _bits(8) or meter & _bits(17):
        return DisplayStatus.FATAL
    if gateway & _bits(9, 14) or meter & _bits(9, 10):
        return DisplayStatus.TEMPORARY_CRITICAL
    if gateway & _bits(13):
        return DisplayStatus.TEMPORARY
    return DisplayStatus.WARNING if gateway & _bits(12) else DisplayStatus.OK
