import base64
from typing import Any, get_args

import pytest
from cryptography import x509

from smpki.asn1 import der
from smpki.asn1.oids import BSI_REV_REQS, BSI_SIGNED_REV_REQS
from smpki.errors import RequestError
from smpki.policy.reasons import AnyReason
from smpki.requests.any_request import read_request
from smpki.requests.keys import Signer
from smpki.requests.revocation import RevocationItem, build_revocation_request, read_revocation_request

SignedDraft = Any  # conftest.SignedDraft
Authority = Any  # conftest.Authority

REASONS = [reason for part in get_args(AnyReason) for reason in get_args(part)]


@pytest.fixture(scope="module")
def issuer(authority: Authority) -> x509.Name:
    name = authority.certificate.subject
    assert isinstance(name, x509.Name)
    return name


def test_every_reason_that_there_is(issuer: x509.Name, previous: Signer) -> None:
    assert len(REASONS) == 10
    items = tuple(RevocationItem(issuer, 2**140 + number, reason) for number, reason in enumerate(REASONS))
    data = build_revocation_request(items, previous)
    request = read_revocation_request(data)
    request.signature.verify()
    assert request.items == items
    assert request.signature.signer == previous.certificate
    assert request.signature.signed_data.content_type == BSI_REV_REQS
    for armoured in (base64.b64encode(data), data):
        assert read_request(armoured) == request


def details(issuer: x509.Name, *, template: bytes | None = None, entry: bytes | None = None) -> bytes:
    """RevDetails with one part as a test wants it."""
    named = der.encode(0x81, b"\x05") + der.encode(0xA3, issuer.public_bytes())
    parts = der.encode(0x30, named if template is None else template)
    return der.encode(0x30, parts, extension(b"\x0a\x01\x01") if entry is None else entry)


def extension(value: bytes, oid: str = "2.5.29.21") -> bytes:
    one = der.encode(0x30, der.encode_object_identifier(oid), der.encode(0x04, value))
    return der.encode(0x30, one)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("request.revocation.template", [{"template": b""}]),
        ("request.revocation.template", [{"template": b"\x81\x01\x05"}]),
        ("request.revocation.template", [{"template": b"\x81\x01\x05" + der.encode(0xA3, b"\x30\x00") + b"\xa9\x00"}]),
        ("request.issuer.encoding", [{"template": b"\x81\x01\x05" + der.encode(0xA3, b"\x30\x02\x05\x00")}]),
        ("request.encoding.number", [{"template": b"\x81\x00" + der.encode(0xA3, b"\x30\x00")}]),
        ("request.revocation.reason.missing", [{"entry": b""}]),
        ("request.revocation.reason.missing", [{"entry": b"\x30\x00"}]),
        ("request.revocation.reason.unknown", [{"entry": extension(b"\x0a\x01\x07")}]),
        ("request.revocation.reason.unknown", [{"entry": extension(b"\x0a\x01\x0b")}]),
        ("request.revocation.reason.unknown", [{"entry": extension(b"\x0a\x01\xff")}]),
        ("request.encoding.tag", [{"entry": extension(b"\x02\x01\x01")}]),
        ("request.encoding.tag", [{"entry": b"\x31\x00"}]),
        ("request.revocation.extension", [{"entry": extension(b"\x18\x00", "2.5.29.24")}]),
        ("request.revocation.duplicate", [{}, {}]),
        ("request.revocation.empty", []),
    ],
)
def test_refuses(issuer: x509.Name, renewal_draft: SignedDraft, code: str, changes: list[dict[str, bytes]]) -> None:
    content = der.encode(0x30, *(details(issuer, **change) for change in changes))
    draft = renewal_draft.but(content_type=BSI_REV_REQS, content=content)
    with pytest.raises(RequestError) as refused:
        read_revocation_request(draft.inside(BSI_SIGNED_REV_REQS))
    assert refused.value.code == code
    assert refused.value.hint


def test_a_name_spelt_in_two_ways_is_one_issuer(issuer: x509.Name, previous: Signer) -> None:
    shouted = x509.Name([x509.NameAttribute(each.oid, str(each.value).upper()) for each in issuer])
    items = [RevocationItem(name, 5, "superseded") for name in (issuer, shouted)]
    with pytest.raises(RequestError) as refused:
        build_revocation_request(items, previous)
    assert refused.value.code == "request.revocation.duplicate"


def test_nothing_is_built_that_would_be_refused(issuer: x509.Name, previous: Signer) -> None:
    with pytest.raises(RequestError) as refused:
        build_revocation_request([], previous)
    assert refused.value.code == "request.revocation.empty"


def test_a_thousand_certificates(issuer: x509.Name, previous: Signer) -> None:
    items = tuple(RevocationItem(issuer, number, "key_compromise") for number in range(1, 1001))
    assert read_revocation_request(build_revocation_request(items, previous)).items == items
