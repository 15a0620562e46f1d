"""Content types and what the Accept field makes of them."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.media_type import JSON, XML, MediaType, cms, negotiate

SIGNED = cms("signedData")
PROTECTED = cms("signedData", "authEnvelopedData")
COMPRESSED = cms("signedData", "authEnvelopedData", "compressedData")


def test_content_types_are_written_as_table_6_1_has_them() -> None:
    assert [str(each) for each in (JSON, XML, SIGNED, PROTECTED, COMPRESSED)] == [
        "application/json",
        "application/xml",
        'application/cms+json; encapsulatingContent="signedData"',
        'application/cms+json; encapsulatingContent="signedData , authEnvelopedData"',
        'application/cms+json; encapsulatingContent="signedData , authEnvelopedData , compressedData"',
    ]
    assert str(cms("signedData", inner="xml")) == 'application/cms+xml; encapsulatingContent="signedData"'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Application/JSON", JSON),
        ("application/json;charset=utf-8", JSON),
        ("application/json ; ; x=y", JSON),
        ('application/cms+json;ENCAPSULATINGCONTENT="signedData,authEnvelopedData"', PROTECTED),
        ('application/cms+json; encapsulatingContent=" signedData\t,authEnvelopedData "', PROTECTED),
        ("application/cms+json; encapsulatingContent=signedData", SIGNED),
        (r'application/cms+json; encapsulatingContent="\signedData"', SIGNED),
        (str(COMPRESSED), COMPRESSED),
        (str(COMPRESSED), MediaType("application/cms+json")),
    ],
)
def test_one_type_is_written_in_many_ways(text: str, wanted: MediaType) -> None:
    assert MediaType.parse(text).is_a(wanted)
    assert MediaType.parse(str(MediaType.parse(text))).is_a(wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("application/jsonp", JSON),
        ("text/json", JSON),
        ("application/cms+json", SIGNED),
        ("application/cms+xml; encapsulatingContent=signedData", SIGNED),
        (str(SIGNED), PROTECTED),
        (str(COMPRESSED), PROTECTED),
        ('application/cms+json; encapsulatingContent="authEnvelopedData, signedData"', PROTECTED),
    ],
)
def test_other_types_are_others(text: str, wanted: MediaType) -> None:
    assert not MediaType.parse(text).is_a(wanted)


@pytest.mark.parametrize("text", ["", "json", "application/", "application/json, x/y", 'a/b; c="d', "a/b;c=", "ä/b"])
def test_what_is_no_content_type_is_refused(text: str) -> None:
    with pytest.raises(HttpRefusal) as caught:
        MediaType.parse(text)
    assert (caught.value.status, caught.value.code) == (415, "http.content_type.syntax")


@pytest.mark.requirement("REQ.Webservice.HttpServer.240", "REQ.Webservice.HttpServer.250")
@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (None, JSON),
        ("application/json", JSON),
        ("application/xml", XML),
        ("APPLICATION/XML;q=0.5, application/json;q=0.4", XML),
        ("application/*;q=0.2, application/xml;q=0.1", JSON),
        ("*/*;q=0.1, application/json;q=0", XML),
        (f"{PROTECTED}, application/xml;q=0.9", PROTECTED),
        ('application/cms+json;encapsulatingContent="signedData,authEnvelopedData";q=1.0', PROTECTED),
        # there is a choice
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/xml, application/json", JSON),
        (f"application/xml, {SIGNED}, application/json;q=0.1", JSON),
        # not to be understood
        ("", JSON),
        ("text/html, image/gif, *; q=.2, */*; q=.2", JSON),
        ("application/xml;q=2", JSON),
        ("application/xml application/json", JSON),
    ],
)
def test_the_accept_field_decides_and_otherwise_it_is_json(accept: str | None, answer: MediaType) -> None:
    assert negotiate(accept, (XML, SIGNED, PROTECTED, JSON)) == answer


@pytest.mark.parametrize("accept", ["text/html", "text/*, image/*", "application/json;q=0", "*/*;q=0.0"])
def test_what_nobody_wants_is_not_sent(accept: str) -> None:
    with pytest.raises(HttpRefusal) as caught:
        negotiate(accept, (JSON,))
    assert (caught.value.status, caught.value.code) == (406, "http.accept")
    assert "application/json" in caught.value.hint


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from('ab/*+;=",\\ q01.\t'), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(HttpRefusal):
        assert negotiate(text, (JSON, XML)) in (JSON, XML)
    with suppress(HttpRefusal):
        found = MediaType.parse(text)
        assert MediaType.parse(str(found)) == found
