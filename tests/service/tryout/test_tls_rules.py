"""The ClientHello is read, and held against the rules one by one."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.errors import ServiceError
from smpki.service.tryout.client_hello import LONGEST, ClientHello, Extension, read_client_hello
from smpki.service.tryout.finding import Verdict
from smpki.service.tryout.tls_rules import judge
from smpki.tls.endpoint import Endpoint
from smpki.tls.profile import WAN_CLIENT


def our_hello() -> bytes:
    endpoint = Endpoint(WAN_CLIENT, None, lambda _: None, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    connection = endpoint.connection(server_name="ca.example")
    connection.start()
    return connection.data_to_send()


OURS = our_hello()


def hello() -> ClientHello:
    found = read_client_hello(OURS)
    assert found is not None
    return found


def broken(one: ClientHello) -> list[str]:
    return [str(each) for each in judge(one) if each.verdict is Verdict.BREAKS]


def test_what_we_say_ourselves_is_read_and_right() -> None:
    one = hello()
    assert one.server_name == "ca.example"
    assert set(one.versions) == {0x0303, 0x0304}
    assert one.psk_modes in ((), (1,))
    assert broken(one) == []


def test_a_hello_comes_in_any_pieces_and_over_several_records() -> None:
    for end in range(len(OURS)):
        assert read_client_hello(OURS[:end]) is None
    body = OURS[5:]
    records = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2) + part for part in (body[:3], body[3:50], body[50:]))
    assert read_client_hello(records) == hello()


@pytest.mark.parametrize(
    "octets",
    [
        *(b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x00\x04\x02\0\0\0", b"\x16\x03\x01\x00\x07\x01\0\0\x03\0\0\0"),
        b"\x16\x03\x01\0\0",  # a record of nothing
        b"\x16\x03\x01\0\x01\x01" + b"\x16\x03\x01\0\x01\0" * 1000,  # octet by octet
    ],
)
def test_what_is_no_hello(octets: bytes) -> None:
    with pytest.raises(ServiceError) as refusal:
        read_client_hello(octets)
    assert refusal.value.code == "service.tryout.no_hello"


def test_an_endless_hello_is_given_up() -> None:
    piece = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + bytes(0x4000 - 4)
    with pytest.raises(ServiceError):
        read_client_hello(piece + (b"\x16\x03\x01\x40\x00" + bytes(0x4000)) * (LONGEST // 0x4000 + 1))


def with_extension(number: Extension, body: bytes | None) -> ClientHello:
    one = hello()
    rest = {key: value for key, value in one.extensions.items() if key != number}
    return replace(one, extensions=rest if body is None else rest | {int(number): body})


def numbers(*values: int) -> bytes:
    body = b"".join(value.to_bytes(2) for value in values)
    return len(body).to_bytes(2) + body


X25519, BRAINPOOL_256 = 29, 31


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (replace(hello(), legacy_version=0x0302, extensions={}), "Neither TLS 1.2 nor TLS 1.3"),
        (with_extension(Extension.SUPPORTED_VERSIONS, b"\x04\x03\x03\x03\x02"), "below TLS 1.2"),
        (replace(hello(), compression=(1, 0)), "Compression"),
        (with_extension(Extension.TRUNCATED_HMAC, b""), "truncated HMAC"),
        (replace(hello(), suites=(*hello().suites, 0x1303)), "Cipher suites that may not be used are offered: 0x1303"),
        (replace(hello(), suites=(0x1301, 0xC02B)), "missing: TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
        (
            with_extension(Extension.SUPPORTED_GROUPS, numbers(X25519, *hello().groups)),
            "may not be used are offered: 0x001d",
        ),
        (
            with_extension(Extension.SUPPORTED_GROUPS, numbers(BRAINPOOL_256)),
            "TLS 1.2: groups that must be offered are missing",
        ),
        (with_extension(Extension.SIGNATURE_ALGORITHMS, numbers(*hello().signature_algorithms, 0x0804)), "0x0804"),
        (with_extension(Extension.SIGNATURE_ALGORITHMS, numbers(0x0403)), "TLS 1.3: signature algorithms"),
        (with_extension(Extension.SIGNATURE_ALGORITHMS_CERT, None), "signature_algorithms_cert is missing"),
        (with_extension(Extension.SIGNATURE_ALGORITHMS_CERT, numbers(0x0403)), "for certificates are missing"),
        (with_extension(Extension.EC_POINT_FORMATS, None), "ec_point_formats"),
        (with_extension(Extension.ENCRYPT_THEN_MAC, None), "Encrypt-then-MAC"),
        (with_extension(Extension.EARLY_DATA, b""), "0-RTT"),
        (with_extension(Extension.PSK_KEY_EXCHANGE_MODES, b"\x02\x00\x01"), "without ECDHE"),
    ],
)
def test_each_rule_can_break(one: ClientHello, text: str) -> None:
    assert any(text in found for found in broken(one)), broken(one)


def test_advice_is_no_refusal() -> None:
    only_12 = with_extension(Extension.SUPPORTED_VERSIONS, b"\x02\x03\x03")
    bare = replace(only_12, extensions={k: v for k, v in only_12.extensions.items() if k != 23})
    advice = [str(one) for one in judge(bare) if one.verdict is Verdict.ADVICE]
    assert len(advice) == 2 and "TLS 1.3 is recommended" in advice[0] and "extended master secret" in advice[1]
    assert broken(bare) == []


def test_numbers_that_mean_nothing_are_passed_over() -> None:
    one = replace(hello(), suites=(0x0A0A, 0x00FF, 0x5600, *hello().suites))
    assert (
        broken(
            replace(
                one, extensions=with_extension(Extension.SUPPORTED_GROUPS, numbers(0xFAFA, *hello().groups)).extensions
            )
        )
        == []
    )


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(OURS) - 1), st.binary(max_size=8), st.integers(0, 8))
def test_no_hello_is_too_strange(at: int, octets: bytes, gone: int) -> None:
    try:
        found = read_client_hello(OURS[:at] + octets + OURS[at + gone :])
    except ServiceError:
        return
    if found is not None:
        assert all(str(one) for one in judge(found))
