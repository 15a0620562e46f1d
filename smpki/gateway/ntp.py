"""NTP messages as both ends of a TLS connection use them: 48 octets, no extensions, no authentication of their own.

NTPMessage of the Detailspezifikationen zur TR-03109-1, table 14.1; RFC 5905 figure 8.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from smpki.errors import GatewayError

LENGTH = 48
VERSION = 4
CLIENT, SERVER = 3, 4
"""Modes (RFC 5905 figure 10)."""
UNSYNCHRONISED = 3
"""Leap indicator of a server whose clock is not set (RFC 5905 figure 9)."""

_FORM = struct.Struct(">BBbbII4sQQQQ")
_SHORT = 1 << 16  # units of a second in a short value
_ERA = 1 << 32  # seconds
_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
UNKNOWN = 0
"""The timestamp that says: not known (RFC 5905 6)."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message, its fields as they are sent; by default all zero, of this version.

    :param leap: 0 to 3
    :param version: 0 to 7
    :param mode: 0 to 7
    :param stratum: 0 to 255
    :param poll: exponent of 2 seconds, -128 to 127
    :param precision: exponent of 2 seconds, -128 to 127
    :param root_delay: unsigned, units of 2**-16 s
    :param root_dispersion: unsigned, units of 2**-16 s
    :param reference_id: 4 octets
    :param reference: timestamps: unsigned, units of 2**-32 s since the beginning of an era that is not told
    """

    leap: int = 0
    version: int = VERSION
    mode: int = 0
    stratum: int = 0
    poll: int = 0
    precision: int = 0
    root_delay: int = 0
    root_dispersion: int = 0
    reference_id: bytes = bytes(4)
    reference: int = UNKNOWN
    origin: int = UNKNOWN
    receive: int = UNKNOWN
    transmit: int = UNKNOWN

    def __bytes__(self) -> bytes:
        """The 48 octets."""
        return _FORM.pack(
            self.leap << 6 | self.version << 3 | self.mode,
            self.stratum,
            self.poll,
            self.precision,
            self.root_delay,
            self.root_dispersion,
            self.reference_id,
            self.reference,
            self.origin,
            self.receive,
            self.transmit,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Message":
        """Read a message of any version and mode.

        :raises GatewayError: ``ntp.length``: these are not 48 octets
        """
        if len(data) != LENGTH:
            hint = "send 48 octets, without UDP header, extensions or MAC"
            raise GatewayError("ntp.length", f"an NTP message has {LENGTH} octets, not {len(data)}", hint=hint)
        flags, *rest = _FORM.unpack(data)
        return cls(flags >> 6, flags >> 3 & 7, flags & 7, *rest)


@dataclass(frozen=True, slots=True)
class Period:
    """The times that a receiver can tell from a timestamp, which repeats every 136 years.

    :param first: timezone-aware
    :param last: timezone-aware, less than 2**32 seconds later
    """

    first: datetime
    last: datetime

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.last - self.first < timedelta(seconds=_ERA):
            hint = "end less than 2**32 seconds after the beginning"
            raise GatewayError("ntp.period", "timestamps can't tell the times of this period apart", hint=hint)


CONVERTIBLE = Period(datetime(2020, 1, 1, tzinfo=UTC), datetime(2119, 12, 31, tzinfo=UTC))
"""What this implementation declares (ICS.TA.NTP.ProcessResponse.10).

Era 1 begins in it, on 2036-02-07. Nothing real was sent before it: no gateway needs the time of an earlier day.
"""


def to_timestamp(moment: datetime) -> int:
    """The timestamp of a moment, in whatever era it is (RFC 5905 6); never that of an unknown time.

    :param moment: timezone-aware
    """
    seconds, microseconds = divmod((moment - _EPOCH) // _MICROSECOND, 1_000_000)
    fraction = -(-(microseconds << 32) // 1_000_000)  # rounded up, so that the way back rounds down to the same
    return (seconds % _ERA << 32 | fraction) or UNKNOWN + 1


def from_timestamp(timestamp: int, period: Period = CONVERTIBLE) -> datetime | None:
    """The one moment of the period that has this timestamp, to the microsecond; ``None`` if there is none."""
    if timestamp == UNKNOWN:
        return None
    first = (period.first - _EPOCH) // _SECOND
    seconds = first + ((timestamp >> 32) - first) % _ERA
    microseconds = (timestamp & 0xFFFFFFFF) * 1_000_000 >> 32
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=microseconds)
    return moment if period.first <= moment <= period.last else None


def to_short(seconds: float) -> int:
    """A duration as root delay and dispersion have it, rounded up, at most what fits.

    :param seconds: not negative
    """
    return min(-int(-seconds * _SHORT // 1), 0xFFFFFFFF)


def from_short(value: int) -> float:
    """Seconds of a root delay or dispersion."""
    return value / _SHORT
