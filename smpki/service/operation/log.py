"""Logs for people and for programs: one line an event, without personal data unless the operator wants it.

Whoever is named by a fact that is :class:`smpki.events.Personal` stays out, and so does the text of an exception that
nobody expected: it may repeat what somebody sent. Keys and PINs are in no event.
"""

import json
import logging
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime

from smpki.events import LogEvent
from smpki.policy.text import visible


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``event``, ``message``, and the event's facts.

    :param personal: whether facts about persons are shown
    :param always: facts of every line, such as the CA that is served
    """

    def __init__(self, *, personal: bool = False, always: Mapping[str, object] | None = None) -> None:
        super().__init__()
        self._personal = personal
        self._always = dict(always or {})

    def format(self, record: logging.LogRecord) -> str:
        """The line, in ASCII."""
        event = record.msg if isinstance(record.msg, LogEvent) else None
        line: dict[str, object] = {
            "time": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event.name if event else "log",
            "message": event.text if event else record.getMessage(),
            **self._always,
        }
        facts = event.facts(personal=self._personal) if event else {}
        line = facts | line  # what every line has comes last here, so that no fact can take its place
        line |= _exception(record, personal=self._personal)
        return json.dumps({name: line[name] for name in sorted(line, key=_place)}, default=str)


class TextLines(logging.Formatter):
    """``time LEVEL logger: sentence: facts``; what strangers sent can't begin a line of its own.

    :param personal: whether facts about persons are shown
    """

    def __init__(self, *, personal: bool = False) -> None:
        super().__init__()
        self._personal = personal

    def format(self, record: logging.LogRecord) -> str:
        """The line; with a traceback it is several."""
        event = record.msg
        text = event.line(personal=self._personal) if isinstance(event, LogEvent) else record.getMessage()
        lines = [
            f"{_moment(record):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {record.levelname} {record.name}: {visible(text)}"
        ]
        found = _exception(record, personal=self._personal)
        lines += [f"  {visible(str(value))}" for part in found.values() for value in _each(part)]
        return "\n".join(lines)


_FIRST = ("time", "level", "logger", "event", "message")


def _place(name: str) -> tuple[int, str]:
    return (_FIRST.index(name), "") if name in _FIRST else (len(_FIRST), name)


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _exception(record: logging.LogRecord, *, personal: bool) -> dict[str, object]:
    """Type and places of an exception; what it says only where personal data may be shown."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return {}
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    found: dict[str, object] = {"exception": type(error).__name__, "at": places}
    return found | {"says": str(error)} if personal else found


def _each(part: object) -> list[object]:
    return list(part) if isinstance(part, list) else [part]
