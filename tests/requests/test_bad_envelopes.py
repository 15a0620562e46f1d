"""What is wrong with a package before any of its requests is looked at; and input made to exhaust whoever reads it."""

import time
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from smpki.asn1 import der
from smpki.asn1.content_info import build_content_info
from smpki.asn1.oids import BSI_AUTHORIZED_CERT_REQ_MSGS, BSI_CERT_REQ_MSGS, BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE
from smpki.errors import RequestError
from smpki.requests.read import MAX_SIZE, read_package

Forge = Any  # conftest.Forge
PEM = b"-----BEGIN X-----\nAA==\n-----END X-----\n"
EMPTY = b"\x30\x00"


def refused(data: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_package(data)
    assert caught.value.where.startswith(("package", "request "))
    assert caught.value.message
    assert caught.value.hint
    return caught.value


def indefinite(package: bytes) -> bytes:
    """A ContentInfo as clients send it: indefinite lengths outside, DER inside."""
    content_type, content = der.elements(der.single(package, der.SEQUENCE, "it").content, "it")
    return b"\x30\x80" + content_type.encoded + b"\xa0\x80" + content.content + bytes(4)


@pytest.mark.parametrize(
    ("armour", "code"),
    [
        (lambda good: b"\xff\xfe\x00", "base64"),
        (lambda good: b"Guten Tag, anbei der Antrag.", "base64"),
        (lambda good: b"\x31" + good[1:], "base64"),
        (lambda good: b64encode(good)[:-1], "base64"),
        (lambda good: b64encode(good + bytes(-len(good) % 3 + 1)) + b"AAAA", "base64"),  # goes on behind its padding
        (lambda good: b"-----BEGIN X-----\n" + b64encode(good), "pem"),
        (lambda good: b"-----BEGIN X", "pem"),
        (lambda good: PEM.replace(b"END X", b"END Y"), "pem"),
        (lambda good: PEM * 2, "trailing"),
    ],
)
def test_armour(forge: Forge, armour: Callable[[bytes], bytes], code: str) -> None:
    assert refused(armour(forge.package(forge.drafts))).code == f"request.armour.{code}"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda good: b"", "truncated"),
        (lambda good: b" \n", "truncated"),
        (lambda good: good[:-1], "truncated"),
        (lambda good: good[:3], "truncated"),
        (lambda good: b64encode(good[:900]), "truncated"),
        (lambda good: indefinite(good)[:-1], "truncated"),
        (lambda good: indefinite(good)[:-4], "truncated"),
        (lambda good: good + b"\x01", "trailing"),
        (lambda good: good + bytes(2), "trailing"),  # end-of-contents octets, but nothing is indefinite
        (lambda good: good + good, "trailing"),
        (lambda good: indefinite(good) + bytes(1), "trailing"),
        (lambda good: indefinite(good) + b"\x00\x00\x01", "trailing"),
        (lambda good: b"\x30\x83\x00" + good[2:], "length"),
        (lambda good: b64encode(b"\x31" + good[1:]), "tag"),
        (lambda good: b"\x30\x80" * (MAX_SIZE // 2), "depth"),
    ],
)
def test_encoding(forge: Forge, change: Callable[[bytes], bytes], code: str) -> None:
    assert refused(change(forge.package(forge.drafts))).code == f"request.encoding.{code}"


@pytest.mark.parametrize(
    "content_type", ["1.2.840.113549.1.7.1", BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE, BSI_AUTHORIZED_CERT_REQ_MSGS]
)
def test_content_type(content_type: str) -> None:
    error = refused(build_content_info(content_type, EMPTY))
    assert error.code == "request.content_type.unsupported"
    assert content_type in error.message


def test_content(forge: Forge) -> None:
    for data in (forge.messages(forge.drafts), build_content_info(BSI_CERT_REQ_MSGS, b"\x04\x00")):
        assert refused(data).code == "request.encoding.tag"


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_count(forge: Forge, count: int) -> None:
    assert refused(forge.package([*forge.drafts, forge.sig][:count])).code == "request.count"


def test_size(forge: Forge) -> None:
    good = forge.package(forge.drafts)
    spare = b" " * (MAX_SIZE - len(b64encode(good)))
    assert read_package(spare + b64encode(good)) == read_package(good)
    assert refused(spare + b64encode(good) + b"\n").code == "request.size"


def nested(tag: int, levels: int) -> bytes:
    """So many elements in one another, built from the inside."""
    headers: list[bytes] = []
    length = 0
    for _ in range(levels):
        headers.append(der.encode(tag, bytes(length))[: -length or None])
        length += len(headers[-1])
    return b"".join(reversed(headers))


def alternative_names(nested_names: bytes) -> bytes:
    """A subjectAltName extension that holds all but the outermost of the nested elements."""
    value = b"\x30" + nested_names[1:]
    return der.encode(der.SEQUENCE, b"\x06\x03\x55\x1d\x11", der.encode(der.OCTET_STRING, value))


@pytest.mark.parametrize(
    "make",
    [
        lambda forge: b"\x30\x80" * 100_000,
        lambda forge: b"\x30\x80" * (MAX_SIZE // 2),
        lambda forge: nested(0x30, 15_000),
        lambda forge: build_content_info(BSI_CERT_REQ_MSGS, nested(0x30, 15_000)),
        lambda forge: build_content_info(BSI_CERT_REQ_MSGS, der.encode(0x30, EMPTY * 30_000)),
        lambda forge: forge.with_sig(forge.sig.subject(nested(0x30, 14_000))),
        lambda forge: forge.with_sig(forge.sig.subject(der.encode(0x30, b"\x31\x00" * 30_000))),
        lambda forge: forge.with_sig(forge.sig.extensions(nested(0x30, 14_000))),
        lambda forge: forge.with_sig(forge.sig.extensions(alternative_names(nested(0xA4, 13_000)))),
        lambda forge: forge.with_sig(forge.sig.public_key(nested(0x30, 14_000))),
        lambda forge: forge.with_sig(replace(forge.sig, proof=nested(0xA1, 14_000))),
        lambda forge: bytes.fromhex("3084ffffffff"),
        lambda forge: bytes.fromhex("3088ffffffffffffffff") + bytes(1000),
        lambda forge: b"\x30\xfe" + b"\xff" * 60_000,
        lambda forge: bytes.fromhex("3080060904007f000704010101a0803084ffffffff"),
        lambda forge: b"-----BEGIN " * 5000,
        lambda forge: b"-----BEGIN X-----" + b"-----END " * 6000,
        lambda forge: bytes(50_000_000),
    ],
)
def test_hostile_input_is_cheap(forge: Forge, make: Callable[[Forge], bytes]) -> None:
    data = make(forge)
    tracemalloc.start()
    started = time.process_time()
    refused(data)
    spent = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000
    assert spent < 2
