"""Readings: what a meter's register held at a moment, exactly as the meter gave it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from smpki.errors import GatewayError, PolicyError
from smpki.policy.device_id import DeviceId

LOWEST, HIGHEST = -(2**63), 2**64 - 1
"""The range of SML's Integer64 and Unsigned64 together; 13 digits before and 6 after the point need more than int64."""

_HIGHEST_STATUS = 2**64 - 1

UNITLESS = 255
"""The COSEM unit of a count, which has none (IEC 62056-6-2, enumeration of physical units)."""

_GROUP = "(0|[1-9][0-9]{0,2})"
_OBIS = re.compile(rf"{_GROUP}-{_GROUP}:{_GROUP}\.{_GROUP}\.{_GROUP}(?:\*{_GROUP})?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")
_STATUS = re.compile(r"[0-9A-Fa-f]{16}")


@dataclass(frozen=True, order=True, slots=True)
class Obis:
    """What a register measures: an OBIS identifier (OBIS-Kennzahl), IEC 62056-6-1.

    :param octets: value groups A to F, six octets
    :raises GatewayError: ``reading.obis``
    """

    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != 6:
            raise _refused("obis", f"an OBIS identifier has 6 octets, not {len(self.octets)}")

    @classmethod
    def parse(cls, text: str) -> "Obis":
        """Read ``A-B:C.D.E*F``, decimal without leading zeros; ``*F`` may be left out and is 255 then.

        :raises GatewayError: ``reading.obis``
        """
        match = _OBIS.fullmatch(text)
        groups = [int(group) for group in match.groups(default="255")] if match else []
        if not groups or max(groups) > 255:
            raise _refused("obis", f"{text!r} is not an OBIS identifier", "write it like 1-0:1.8.0*255")
        return cls(bytes(groups))

    def __str__(self) -> str:
        a, b, c, d, e, f = self.octets
        return f"{a}-{b}:{c}.{d}.{e}*{f}"

    def __bytes__(self) -> bytes:
        return self.octets


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading (Messwert): register, moment, value, status.

    :param meter: the meter
    :param obis: its register
    :param captured_at: the moment the value stands for, UTC
    :param value: what the register held, before scaling; from ``LOWEST`` to ``HIGHEST``
    :param scaler: power of ten, -128 to 127: the amount is ``value * 10 ** scaler``
    :param unit: COSEM code of the unit, 0 to 255; 30 is Wh, 27 W, 255 a count
    :param status: 64 bits, the gateway's word and the meter's (Detailspezifikationen zur TR-03109-1, chapter 15)
    :raises GatewayError: ``reading.value``, ``.scaler``, ``.unit``, ``.status`` or ``.time``: out of its range
    """

    meter: DeviceId
    obis: Obis
    captured_at: datetime
    value: int
    scaler: int
    unit: int
    status: int

    def __post_init__(self) -> None:
        in_range = LOWEST <= self.value <= HIGHEST and -128 <= self.scaler <= 127
        if not (in_range and 0 <= self.unit <= 255 and 0 <= self.status <= _HIGHEST_STATUS):
            raise self._out_of_range()
        zone = self.captured_at.tzinfo
        if zone is None:
            raise _refused("time", "a moment without a zone is no moment", "give it in UTC")
        if zone is not UTC:
            object.__setattr__(self, "captured_at", self.captured_at.astimezone(UTC))

    def _out_of_range(self) -> GatewayError:
        ranges = {"value": (LOWEST, HIGHEST), "scaler": (-128, 127), "unit": (0, 255), "status": (0, _HIGHEST_STATUS)}
        for name, (lowest, highest) in ranges.items():
            if not lowest <= (value := getattr(self, name)) <= highest:
                break
        return _refused(name, f"{name} {value} is not in {lowest} to {highest}")

    @property
    def amount(self) -> Decimal:
        """The value in its unit, without loss of a digit."""
        return Decimal(self.value).scaleb(self.scaler)

    def as_json(self) -> dict[str, object]:
        """The reading as a JSON object: integers and text only, so that no digit is lost.

        The moment is written as RFC 3339 with ``Z``, the status as 16 hexadecimal digits, the meter in lower case.
        """
        return {
            "meter": self.meter.dns,
            "obis": str(self.obis),
            "captured_at": self.captured_at.isoformat().replace("+00:00", "Z"),
            "value": self.value,
            "scaler": self.scaler,
            "unit": self.unit,
            "status": f"{self.status:016X}",
        }

    def to_json(self) -> str:
        """The text of :meth:`as_json`. Nothing in it has to be escaped; an encoder takes five times as long."""
        return (
            f'{{{_register_text(self.meter, self.obis)},"captured_at":"{self.captured_at.isoformat()[:-6]}Z",'
            f'"value":{self.value},"scaler":{self.scaler},"unit":{self.unit},"status":"{self.status:016X}"}}'
        )

    @classmethod
    def from_json(cls, value: object) -> "Reading":
        """Read what :meth:`as_json` wrote; unknown members are refused.

        :param value: the object as the JSON parser gave it
        :raises GatewayError: ``reading.json``: members missing, unknown or of another type; or as the class
        """
        if not isinstance(value, dict) or value.keys() != _MEMBERS:
            raise _refused("json", f"a reading is an object of {', '.join(sorted(_MEMBERS))}, no more and no less")
        try:
            return cls(
                meter=_meter(_text(value, "meter")),
                obis=_obis(_text(value, "obis")),
                captured_at=datetime.fromisoformat(_text(value, "captured_at", _TIME)),
                value=_integer(value, "value"),
                scaler=_integer(value, "scaler"),
                unit=_integer(value, "unit"),
                status=int(_text(value, "status", _STATUS), 16),
            )
        except PolicyError as error:
            raise _refused("json", f"meter: {error.message}", error.hint) from None
        except ValueError:
            raise _refused("json", "captured_at is not a moment of the calendar") from None


_MEMBERS = frozenset(field.name for field in fields(Reading))

# A delivery has few meters and registers; parsing their names would be half of the time that reading it takes.
_meter, _obis = lru_cache(1024)(DeviceId.parse), lru_cache(1024)(Obis.parse)


@lru_cache(1024)
def _register_text(meter: DeviceId, obis: Obis) -> str:
    return f'"meter":"{meter.dns}","obis":"{obis}"'


def _integer(members: Mapping[str, object], name: str) -> int:
    value = members[name]
    if type(value) is not int:  # bool is none
        raise _refused("json", f"{name} is not an integer")
    return value


def _text(members: Mapping[str, object], name: str, pattern: re.Pattern[str] | None = None) -> str:
    value = members[name]
    if not isinstance(value, str) or (pattern and pattern.fullmatch(value) is None):
        hint = "moments like 2026-11-22T18:15:00Z, status words as 16 hexadecimal digits"
        raise _refused("json", f"{name} is not written as it should be", hint)
    return value


def _refused(rule: str, message: str, hint: str = "") -> GatewayError:
    return GatewayError(f"reading.{rule}", message, hint=hint)
