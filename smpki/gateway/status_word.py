"""The status word of readings: the gateway's 32 bits and the meter's (Kombiniertes Statuswort).

Detailspezifikationen zur TR-03109-1, table 15.1. Bit 0 is the most significant one of either word.
"""

from typing import Final

_METER_BITS = 32


def _gateway(bit: int) -> int:
    return 1 << (63 - bit)


def _meter(bit: int) -> int:
    return 1 << (31 - bit)


ALWAYS: Final = _gateway(0) | _gateway(2)
"""Bits that are set in every word."""
TIME_INVALID: Final = _gateway(9)
"""SMGW_TimeNotValid: the gateway's time could not be trusted."""
WARNING: Final = _gateway(12)
"""SMGW_Warning."""
NO_VALUE: Final = _gateway(13)
"""SMGW_NoValue: no value came in the window of the mark."""
TAMPER: Final = _gateway(14)
"""MTR_Tamper: the meter has noticed magnetic or mechanical tampering."""

_WIRED_ELECTRICITY = _meter(2)
_METER_TAMPER = _meter(9) | _meter(10)


def combined(word: int | None) -> int:
    """The word of a reading of a wired electricity meter.

    :param word: the meter's; ``None``: it sent none, so it has nothing to complain of (9.3.4.2)
    """
    if word is None:
        return ALWAYS | _WIRED_ELECTRICITY
    low = word & (1 << _METER_BITS) - 1
    gateway = ALWAYS | (TAMPER if low & _METER_TAMPER else 0)
    return gateway | low | (WARNING if word >> _METER_BITS else 0)  # a word that is too long says more than we know
