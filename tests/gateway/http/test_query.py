"""Query parameters: what they mean, and which are none."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.query import Level, Query, parse_query
from smpki.gateway.readings import Obis

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def attribute(text: str) -> object:
    query = parse_query(text)
    assert query.names == {text.partition("=")[0]}
    values = {field.name: getattr(query, field.name) for field in dataclasses.fields(query)}
    (value,) = (value for name, value in values.items() if value is not None and name != "names")
    return value


@pytest.mark.requirement("REQ.Webservice.HttpServer.210")
def test_every_parameter_of_table_6_5_is_understood() -> None:
    text = (
        "q.fromtime=2026-11-22&q.totime=2026-11-22T13:00:00%2B01:00&q.type=10041&q.count=5&q.obis=1-0:1.8.0&q.level=W"
        "&q.signed=CMS_ECDSA_SHA256_Detached"
    )
    assert parse_query(text) == Query(
        from_time=datetime(2026, 11, 22, tzinfo=UTC),
        to_time=NOON,
        type="10041",
        count=5,
        obis=Obis(bytes((1, 0, 1, 8, 0, 255))),
        level=Level.WARNING,
        signed="CMS_ECDSA_SHA256_Detached",
        names=frozenset(("q.fromtime", "q.totime", "q.type", "q.count", "q.obis", "q.level", "q.signed")),
    )
    assert parse_query(None) == Query()


@pytest.mark.requirement("REQ.Webservice.HttpServer.210")
def test_the_first_moment_belongs_to_the_span_and_the_last_does_not() -> None:
    query = parse_query("q.fromtime=2026-11-22T11:00:00Z&q.totime=2026-11-22T12:00:00Z")
    second = timedelta(seconds=1)
    moments = (NOON - timedelta(hours=1) - second, NOON - timedelta(hours=1), NOON - second, NOON)
    assert [query.covers(moment) for moment in moments] == [False, True, True, False]
    assert Query().covers(NOON)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("q.fromtime=2026-11-22T13:00:00+01:00", NOON),  # a plus is a plus here
        ("q.fromtime=2026-11-22t12:00:00.0z", NOON),
        ("q.count=007", 7),
        ("q.obis=1-0:1.8.0*1", Obis(bytes((1, 0, 1, 8, 0, 1)))),
        ("q.level=F", Level.FATAL),
        ("q.type=", ""),
        ("q.type=%26%3D%C3%A4/?:@!$'()*+,;", "&=ä/?:@!$'()*+,;"),
        (f"q.type={'%41' * 255}", "A" * 255),
    ],
)
def test_values(text: str, value: object) -> None:
    assert attribute(text) == value


def test_a_count_of_none_is_no_limit() -> None:
    assert parse_query("q.count=0") == Query(names=frozenset({"q.count"}))


NOT_BY_THE_GRAMMAR = [
    *("", "&", "q.type", "=x", "q.type=x&", "&q.type=x", "q.type=x&&q.level=I", "q.type=a=b"),
    *("q.type=a b", "q.type=a%2", "q.type=%zz", "q.type=a#b", 'q.type="', "q.type=[]", "q.type=ä", "q.type=\x00"),
    *("q.type=%ff", "q.type=\n", "q.type=١"),
    *(f"{'n' * 51}=x", f"q.type={'v' * 256}", f"q.type={'%41' * 256}"),
]


@pytest.mark.requirement("REQ.HTTP.QueryParameter.10")
@pytest.mark.parametrize("text", NOT_BY_THE_GRAMMAR)
def test_what_the_grammar_does_not_have_is_refused(text: str) -> None:
    assert refusal(text) == "http.query.syntax"


@pytest.mark.requirement("REQ.HTTP.QueryParameter.10")
def test_the_longest_names_and_values_are_read() -> None:
    assert refusal(f"{'n' * 50}={'v' * 255}") == "http.query.unknown"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("q.Type=x", "unknown"),
        ("q.type=x&limit=1", "unknown"),
        ("q.type=x&q.type=x", "twice"),
        ("q.type=x&%71.type=y", "twice"),
        ("q.fromtime=2026-13-01", "value"),
        ("q.fromtime=20261122", "value"),
        ("q.fromtime=2026-W47-7", "value"),
        ("q.fromtime=2026-11-22T12:00:00", "value"),
        ("q.fromtime=2026-11-22T12:00Z", "value"),
        ("q.totime=2026-11-22T12:00:00%2001:00", "value"),
        ("q.totime=0001-01-01T00:00:00%2B14:00", "value"),
        ("q.fromtime=", "value"),
        ("q.count=-1", "value"),
        ("q.count=1e3", "value"),
        ("q.count=1234567890", "value"),
        ("q.count=%D9%A1", "value"),
        ("q.obis=1.8.0", "value"),
        ("q.obis=1-0:1.8.256", "value"),
        ("q.level=i", "value"),
        ("q.level=WE", "value"),
        ("q.signed=", "value"),
        ("q.signed=cms_ecdsa_sha256_detached", "value"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(text: str, rule: str) -> None:
    assert refusal(text) == f"http.query.{rule}"


def refusal(text: str) -> str:
    with pytest.raises(HttpRefusal) as caught:
        parse_query(text)
    assert caught.value.status == 400
    return caught.value.code


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("qtype.leo=&%4F2026-:TZ1*\x00ä"), max_size=40) | st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    for query in (text, f"q.fromtime={text}", f"q.count={text}", f"q.obis={text}"):
        try:
            parse_query(query)
        except HttpRefusal as refusal:
            assert refusal.status == 400
