"""Query parameters (Detailspezifikationen zur TR-03109-1, 6.8)."""

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from smpki.errors import GatewayError
from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.readings import Obis

SIGNED = "CMS_ECDSA_SHA256_Detached"
"""What q.signed may ask for: SignedData without its content, the canonical JSON (6.9)."""

_QCHAR = r"(?:[-.~/?:@!$'()*+,;\w]|%[0-9A-Fa-f]{2})"
_PARAMETER = re.compile(rf"({_QCHAR}{{1,50}})=({_QCHAR}{{0,255}})", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = re.compile(r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})")
_COUNT = re.compile(r"[0-9]{1,9}")


class Level(enum.Enum):
    """How grave an entry is (Statuslevel)."""

    INFORMATION = "I"
    WARNING = "W"
    ERROR = "E"
    FATAL = "F"


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries are asked for; ``None`` is no limit.

    :param from_time: entries of this moment and later
    :param to_time: entries before this moment
    :param type: entries of just this type
    :param count: not more than so many; 0 on the wire is ``None`` here
    :param obis: entries of this register; value group F is 255 where it isn't given
    :param level: entries of this level
    :param signed: ``CMS_ECDSA_SHA256_Detached``: the export shall be signed
    :param names: the parameters that were given
    """

    from_time: datetime | None = None
    to_time: datetime | None = None
    type: str | None = None
    count: int | None = None
    obis: Obis | None = None
    level: Level | None = None
    signed: str | None = None
    names: frozenset[str] = frozenset()

    def covers(self, moment: datetime) -> bool:
        """Whether an entry of this moment is among those asked for."""
        after = self.from_time is None or moment >= self.from_time
        return after and (self.to_time is None or moment < self.to_time)


def _moment(text: str) -> datetime:
    """A full-date or date-time (RFC 3339 5.6)."""
    text = text.upper()
    date = _DATE.match(text)
    if date is None:
        raise ValueError
    if date.end() == len(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    if not _CLOCK.fullmatch(text, date.end()):
        raise ValueError
    return datetime.fromisoformat(text).astimezone(UTC)


def _count(text: str) -> int | None:
    if not _COUNT.fullmatch(text):
        raise ValueError
    return int(text) or None


def _signed(text: str) -> str:
    if text != SIGNED:
        raise ValueError
    return text


_PARAMETERS: Mapping[str, tuple[str, Callable[[str], Any], str]] = {
    "q.fromtime": ("from_time", _moment, "a date, or a moment like 2026-11-22T18:15:00Z"),
    "q.totime": ("to_time", _moment, "a date, or a moment like 2026-11-22T18:15:00Z"),
    "q.type": ("type", str, "any text"),
    "q.count": ("count", _count, "a number, 0 for all"),
    "q.obis": ("obis", Obis.parse, "such as 1-0:1.8.0*255"),
    "q.level": ("level", Level, "I, W, E or F"),
    "q.signed": ("signed", _signed, SIGNED),
}
"""Attribute, reader and description of each parameter (table 6.5)."""


def parse_query(text: str | None) -> Query:
    """Read what stands behind the ``?`` of a URI.

    A date stands for its first moment in UTC.

    :param text: as it came; ``None``: there is no ``?``
    :raises HttpRefusal: 400 ``http.query.syntax``, ``.unknown``, ``.twice`` or ``.value``
    """
    values: dict[str, Any] = {}
    names = set()
    for name, value in _split(text) if text is not None else ():
        if name not in _PARAMETERS:
            raise _refused("unknown", "there is no such parameter", name, f"use {', '.join(_PARAMETERS)}")
        if name in names:
            raise _refused("twice", "the parameter is there twice", name, "give it once")
        names.add(name)
        attribute, read, description = _PARAMETERS[name]
        try:
            values[attribute] = read(value)
        except (ValueError, OverflowError, GatewayError):
            raise _refused("value", "the value is none for this parameter", name, description) from None
    return Query(**values, names=frozenset(names))


def _split(text: str) -> list[tuple[str, str]]:
    """Names and values by the rule query-component; a percent-encoded octet counts as one character."""
    pairs = []
    for parameter in text.split("&"):
        match = _PARAMETER.fullmatch(parameter)
        try:
            if match is None:
                raise ValueError
            pairs.append((unquote(match[1], errors="strict"), unquote(match[2], errors="strict")))
        except ValueError:  # that of UTF-8 too
            hint = "name=value&name=value, 1 to 50 and 0 to 255 characters; others than RFC 3986 allows as %XX in UTF-8"
            raise _refused("syntax", "the query can't be read", "", hint) from None
    return pairs


def _refused(rule: str, message: str, where: str, hint: str) -> HttpRefusal:
    return HttpRefusal(400, f"http.query.{rule}", message, where=where, hint=hint)
