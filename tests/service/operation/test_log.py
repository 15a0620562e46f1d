"""Log lines: what happened and to which rule, not who; one line each, whatever is in it."""

import json
import logging
from typing import Any

import pytest

from smpki.errors import RequestError, StoreError
from smpki.events import LogEvent, Personal, why
from smpki.service.operation.log import JsonLines, TextLines

NAME = "Max Mustermann\nWARNING forged: line"


def record(message: object, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    one = logging.LogRecord("smpki.service", logging.WARNING, __file__, 1, message, arguments, info)
    one.created = 1_795_000_000.25
    return one


EVENT = LogEvent("web.refused", "a message was refused", code="failure_syntax", serial="0a", sender=Personal(NAME))


def test_a_line_of_json() -> None:
    line = JsonLines(always={"authority": "Beispiel.CA"}).format(record(EVENT))
    assert "\n" not in line
    assert list(json.loads(line).items()) == [
        ("time", "2026-11-18T11:06:40.250Z"),
        ("level", "warning"),
        ("logger", "smpki.service"),
        ("event", "web.refused"),
        ("message", "a message was refused"),
        ("authority", "Beispiel.CA"),
        ("code", "failure_syntax"),
        ("serial", "0a"),
    ]


def test_names_only_where_the_operator_wants_them() -> None:
    assert json.loads(JsonLines(personal=True).format(record(EVENT)))["sender"] == NAME
    for form in (JsonLines, TextLines):
        assert "Mustermann" not in form().format(record(EVENT))
        assert "Mustermann" in form(personal=True).format(record(EVENT))


def test_a_line_of_text() -> None:
    expected = "2026-11-18T11:06:40.250Z WARNING smpki.service: a message was refused: code=failure_syntax, serial=0a"
    assert TextLines().format(record(EVENT)) == expected
    assert "\n" not in TextLines(personal=True).format(record(EVENT))


def test_messages_of_others_are_lines_too() -> None:
    one = record("%s\nof %d", "a text", 2)
    assert json.loads(JsonLines().format(one)) | {"time": "", "logger": ""} == {
        **{"time": "", "level": "warning", "logger": "", "event": "log", "message": "a text\nof 2"}
    }
    assert TextLines().format(one).endswith(r"smpki.service: a text\x0aof 2")


def test_no_fact_can_take_the_place_of_what_every_line_has() -> None:
    line = json.loads(JsonLines().format(record(LogEvent("a", "b", level="forged", time=0, logger="x"))))
    assert (line["level"], line["logger"], line["time"]) == ("warning", "smpki.service", "2026-11-18T11:06:40.250Z")


@pytest.mark.parametrize("form", [JsonLines, TextLines])
def test_of_an_exception_the_places_but_not_what_it_says(form: Any) -> None:
    try:
        raise ValueError(f"cannot read {NAME}")
    except ValueError as error:
        one = record("it failed", error=error)
    text = form().format(one)
    assert "ValueError" in text
    assert "test_of_an_exception" in text
    assert "Mustermann" not in text
    assert "Mustermann" in form(personal=True).format(one)


def test_what_an_error_says_is_told_of_our_own_affairs_only() -> None:
    theirs = LogEvent("x", "x", **why(RequestError("request.name", f"the name {NAME} is wrong")))
    ours = LogEvent("x", "x", **why(StoreError("store.full", "the disk is full")))
    unexpected = LogEvent("x", "x", **why(ValueError(NAME)))
    assert theirs.facts(personal=False) == {"error": "request.name"}
    assert NAME in str(theirs)
    assert ours.facts(personal=False) == {"error": "store.full", "why": "the disk is full"}
    assert unexpected.facts(personal=True) == {"error": "ValueError"}


def test_events_go_through_logging_as_any_message(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("smpki.service").warning(EVENT)
    assert caplog.records[-1].msg is EVENT
    assert "code=failure_syntax" in caplog.text
