"""Messages of LDAP: what OpenLDAP sends and takes is in the tests of directories, here is what nobody should send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpki.asn1 import der
from smpki.service.publishing import ldap_messages as messages
from smpki.service.publishing.ldap_messages import Change, Entry, LdapSyntaxError, Result


def message(number: int, tag: int, *parts: bytes, controls: bytes = b"") -> bytes:
    return der.encode(der.SEQUENCE, der.encode_integer(number), der.encode(tag, *parts), controls)


def text(value: bytes) -> bytes:
    return der.encode(der.OCTET_STRING, value)


def attribute(kind: bytes, *values: bytes) -> bytes:
    return der.encode(der.SEQUENCE, text(kind), der.encode(der.SET, *map(text, values)))


DONE = (b"\x0a\x01\x00", text(b""), text(b""))


def test_an_entry_with_every_spelling_of_its_attributes() -> None:
    found = (
        attribute(b"userCertificate;binary", b"1", b"2"),
        attribute(b"USERCERTIFICATE", b"3"),
        attribute(b"cn", b"a"),
    )
    read = messages.decode(message(7, 0x64, text(b"cn=a"), der.encode(der.SEQUENCE, *found)))
    assert read == (7, Entry("cn=a", {"usercertificate": (b"1", b"2", b"3"), "cn": (b"a",)}))


def test_the_page_that_comes_next() -> None:
    page = der.encode(der.SEQUENCE, der.encode_integer(0), text(b"cookie"))
    control = der.encode(der.SEQUENCE, text(messages.PAGED_RESULTS.encode()), text(page))
    other = der.encode(der.SEQUENCE, text(b"1.2.3"), b"\x01\x01\xff")
    controls = der.encode(0xA0, other, control)
    assert messages.decode(message(2, 0x65, *DONE, controls=controls)) == (2, Result("search_done", 0, "", b"cookie"))
    assert messages.decode(message(2, 0x65, *DONE)) == (2, Result("search_done", 0))


def test_numbers_of_results_that_nobody_knows_and_references() -> None:
    referral = der.encode(0xA3, text(b"ldap://elsewhere"))
    assert messages.decode(message(1, 0x69, b"\x0a\x02\x10\x00", text(b""), text(b"\xff!"), referral)) == (
        1,
        Result("add_done", 4096, "\ufffd!"),
    )
    assert messages.decode(message(1, 0x73, text(b"ldap://elsewhere"))) == (1, None)


def test_what_is_asked() -> None:
    """Octet for octet by RFC 4511, computed by hand."""
    assert messages.encode(1, messages.bind("cn=a", "pw")) == message(
        1, 0x60, der.encode_integer(3), text(b"cn=a"), der.encode(0x80, b"pw")
    )
    assert messages.encode(1, messages.bind("", None)) == message(
        1, 0x60, der.encode_integer(3), text(b""), der.encode(0xA3, text(b"EXTERNAL"), text(b""))
    )
    changes = [Change.add("a", [b"1"]), Change.take("b", [b"2"]), Change.replace("c", [])]
    assert messages.encode(300, messages.modify("cn=a", changes)) == message(
        300,
        0x66,
        text(b"cn=a"),
        der.encode(
            der.SEQUENCE,
            der.encode(der.SEQUENCE, b"\x0a\x01\x00", attribute(b"a", b"1")),
            der.encode(der.SEQUENCE, b"\x0a\x01\x01", attribute(b"b", b"2")),
            der.encode(der.SEQUENCE, b"\x0a\x01\x02", attribute(b"c")),
        ),
    )
    assert messages.encode(4, messages.delete("cn=a")) == message(4, 0x4A, b"cn=a")
    assert messages.encode(5, messages.unbind()) == message(5, 0x42)


VALID = [
    message(7, 0x64, text(b"cn=a"), der.encode(der.SEQUENCE, attribute(b"cn", b"a"))),
    message(2, 0x65, *DONE, controls=der.encode(0xA0, der.encode(der.SEQUENCE, text(b"1.2.840.113556.1.4.319")))),
    message(0, 0x78, *DONE, der.encode(0x8A, b"1.3.6.1.4.1.1466.20036")),
]


@given(
    st.one_of(
        st.binary(max_size=60), st.builds(lambda head, rest: head + rest, st.just(b"\x30"), st.binary(max_size=60))
    )
)
def test_any_octets_are_a_message_or_refused(octets: bytes) -> None:
    try:
        needed = messages.length(octets)
        if needed is not None and needed <= len(octets):
            messages.decode(octets[:needed])
    except LdapSyntaxError:
        pass


@pytest.mark.parametrize("valid", VALID)
def test_a_message_with_any_octet_changed_is_read_or_refused(valid: bytes) -> None:
    refused = 0
    for place in range(len(valid)):
        for octet in (0x00, 0x01, 0x30, 0x7F, 0x80, 0x84, 0xFF, valid[place] ^ 1):
            changed = valid[:place] + bytes((octet,)) + valid[place + 1 :]
            try:
                messages.decode(changed)
            except LdapSyntaxError:
                refused += 1
    assert refused > len(valid)


def test_how_long_a_message_is() -> None:
    assert messages.length(b"") is None
    assert messages.length(b"\x30") is None
    assert messages.length(b"\x30\x05") == 7
    assert messages.length(b"\x30\x82\x01") is None
    assert messages.length(b"\x30\x82\x01\x00") == 260
    assert messages.length(b"\x30\x84\x00\x00\x00\x05") == 11
    for wrong in (b"\x31\x00", b"HTTP", b"\x30\x80", b"\x30\x85\x00\x00\x00\x00\x01"):
        with pytest.raises(LdapSyntaxError):
            messages.length(wrong)
