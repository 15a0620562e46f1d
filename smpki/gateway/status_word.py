"""The status word of readings: the gateway's 32 bits and the meter's (Kombiniertes Statuswort).

Detailspezifikationen zur TR-03109-1, chapter 15. Bit 0 is the most significant one of either word. A good reading of a
wired power meter has ``A000000020000000``, one of a wireless meter ``A000400000000000``.
"""

import enum
from typing import Final

_METER_BITS = 32
_METER_WORD = (1 << _METER_BITS) - 1


def _gateway(bit: int) -> int:
    return 1 << (63 - bit)


def _meter(*bits: int) -> int:
    return sum(1 << (31 - bit) for bit in bits)


ALWAYS: Final = _gateway(0) | _gateway(2)
"""Bits that are set in every word."""
NOT_FOR_BILLING: Final = _gateway(1)
"""SMGW_ValueNotValidated."""
ERROR: Final = _gateway(8)
"""SMGW_Error: the gateway has noticed a fatal error of its own."""
TIME_INVALID: Final = _gateway(9)
"""SMGW_TimeNotValid: the gateway's time could not be trusted."""
WARNING: Final = _gateway(12)
"""SMGW_Warning."""
NO_VALUE: Final = _gateway(13)
"""SMGW_NoValue: no value came in the window of the mark."""
TAMPER: Final = _gateway(14)
"""MTR_Tamper: the meter has noticed magnetic or mechanical tampering."""
METER_ERROR: Final = _gateway(15)
"""MTR_Error: a wireless meter reports an abnormal condition or a permanent error."""
TRIGGERED: Final = _gateway(16)
"""SMGW_ValueTriggered: sent because a threshold was crossed."""
_WIRELESS: Final = _gateway(17)

_WIRED_ELECTRICITY = _meter(2)
_APPLICATION_STATE, _ABNORMAL, _PERMANENT_ERROR = 0x03, 0x03, 0x08  # of STS, EN 13757-7 7.5.6


class MeterKind(enum.Enum):
    """Whose bits a meter's word has: the three columns of table 15.1."""

    ELECTRICITY = "wired electricity meter (FNN Basiszaehler)"
    GAS = "wired gas meter (DVGW G697)"
    WIRELESS = "wireless meter of gas, water or heat (OMS)"


class Finding(enum.Enum):
    """What a bit of a meter's word means to the gateway; the values are the table's."""

    TAMPER = "MTR_Tamper"
    WARNING = "MTR_Warning"
    ERROR = "MTR_Error"
    FATAL = "MTR_Fatal"
    TIME_NOT_VALID = "MTR_TimeNotValid"


_FINDINGS: Final = {
    MeterKind.ELECTRICITY: {Finding.TAMPER: _meter(9, 10), Finding.FATAL: _meter(17)},
    MeterKind.GAS: {
        Finding.WARNING: _meter(8, *range(11, 17), *range(18, 28)),  # 28 warns by being 0, and in one class only
        Finding.TAMPER: _meter(9, 10),
        Finding.FATAL: _meter(17),
    },
    MeterKind.WIRELESS: {
        Finding.TAMPER: _meter(1, 7),
        Finding.WARNING: _meter(2, 4, 6, *range(10, 14), 29),
        Finding.ERROR: _meter(3, 27, 30),
        Finding.FATAL: _meter(5, 28),
        Finding.TIME_NOT_VALID: _meter(9),
    },
}


def combined(word: int | None, kind: MeterKind = MeterKind.ELECTRICITY) -> int:
    """The word of a reading, with what follows for the gateway from the meter's; bits of the gateway's own come on top.

    :param word: the meter's; ``None``: it sent none, so it has nothing to complain of (9.3.4.2)
    """
    if word is None:
        word = _WIRED_ELECTRICITY if kind is MeterKind.ELECTRICITY else 0
    low = word & _METER_WORD
    result = ALWAYS | low | (WARNING if word >> _METER_BITS else 0)  # a word that is too long says more than we know
    if Finding.TAMPER in findings(low, kind):
        result |= TAMPER
    if kind is MeterKind.WIRELESS:
        result |= _WIRELESS
        if low & _PERMANENT_ERROR or low & _APPLICATION_STATE == _ABNORMAL:
            result |= METER_ERROR
    return result


def wireless_word(status: int, error_flags: bytes = b"") -> int:
    """A wireless meter's 32 bits: EF1, EF2, EF3 and STS, an octet each.

    :param status: STS, the status octet of the transport layer
    :param error_flags: EF1 to EF3, as many as the meter sends; what follows does not count
    """
    return int.from_bytes(error_flags[:3].ljust(3, b"\x00") + bytes([status]), "big")


def findings(word: int, kind: MeterKind) -> frozenset[Finding]:
    """What a meter reports.

    :param word: the meter's 32 bits
    """
    return frozenset(finding for finding, bits in _FINDINGS[kind].items() if word & bits)


class DisplayStatus(enum.IntEnum):
    """How a reading's status is shown to consumers, from good to bad (PTB-A 50.8)."""

    OK, WARNING, TEMPORARY, TEMPORARY_CRITICAL, FATAL = range(5)


def display_status(word: int) -> DisplayStatus:
    """The status that the consumers' transparency software (TRuDI) shows for a wired electricity meter's reading.

    It goes by what bits 13 and 14 meant before 2024: a temporary error, and a critical one.
    """
    reported = findings(word, MeterKind.ELECTRICITY)
    if word & ERROR or Finding.FATAL in reported:
        return DisplayStatus.FATAL
    if word & (TIME_INVALID | TAMPER) or Finding.TAMPER in reported:
        return DisplayStatus.TEMPORARY_CRITICAL
    if word & NO_VALUE:
        return DisplayStatus.TEMPORARY
    return DisplayStatus.WARNING if word & WARNING else DisplayStatus.OK
