"""What is wrong with a signature around requests: each has its own code, and the layer it belongs to."""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.asn1 import der
from smpki.asn1.content_info import build_content_info
from smpki.asn1.oids import (
    BSI_AUTHORIZED_CERT_REQ_MSGS,
    BSI_CERT_REQ_MSGS,
    BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE,
    BSI_REV_REQS,
    BSI_SIGNED_REV_REQS,
    BSI_SIGNED_UPDATE_DEVICE_ADMIN,
    BSI_UPDATE_DEVICE_ADMIN,
    CMS_ALGORITHM_PROTECTION,
    ECDSA_WITH_SHA256,
    ECDSA_WITH_SHA384,
    SHA256,
    SHA384,
    SIGNING_TIME,
)
from smpki.asn1.rev_req import build_rev_req
from smpki.errors import RequestError
from smpki.requests.any_request import read_request
from smpki.requests.device_admin import read_device_admin_update
from smpki.requests.keys import Signer
from smpki.requests.read import MAX_SIZE
from smpki.requests.revocation import read_revocation_request
from smpki.requests.submission import Submission, read_submission, verify_submission

Forge = Any  # conftest.Forge
SignedDraft = Any  # conftest.SignedDraft
Authority = Any  # conftest.Authority
Change = Callable[[SignedDraft, Authority], dict[str, object]]

SHA1 = "1.3.14.3.2.26"
ECDSA_WITH_SHA1 = "1.2.840.10045.4.1"
RSA_WITH_SHA256 = "1.2.840.113549.1.1.11"
NULL = b"\x05\x00"
HASH = hashes.SHA256()
OTHER_KEY = ec.derive_private_key(77, ec.BrainpoolP256R1())


def refused(data: bytes) -> RequestError:
    """The refusal, on reading or on verifying."""
    with pytest.raises(RequestError) as caught:
        read = read_request(data)
        if isinstance(read, Submission):
            verify_submission(read)
        else:
            read.signature.verify()
    assert caught.value.where
    assert caught.value.message
    assert caught.value.hint
    return caught.value


def reordered(messages: bytes) -> bytes:
    """The same requests in another order: all of them hold, but they are not what was signed."""
    requests = der.elements(der.single(messages, der.SEQUENCE, "it").content, "it")
    return der.encode(der.SEQUENCE, *(request.encoded for request in reversed(requests)))


def enclosed(draft: SignedDraft, authority: Authority, *extensions: x509.ExtensionType) -> dict[str, object]:
    """The signer with a certificate for other purposes."""
    certificate = authority.issue("CN=Beispiel.EMT", draft.signer.key.public_key(), *extensions)
    return {"certificates": [certificate.public_bytes(Encoding.DER)]}


def key_id(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def with_foreign_key(draft: SignedDraft, authority: Authority) -> dict[str, object]:
    """A certificate whose key identifier is the signer's, but not its key: secp256k1, which nobody may use."""
    key = ec.derive_private_key(5, ec.SECP256K1()).public_key()
    certificate = authority.issue("CN=x", key, key_id(draft.signer.key), authority.usage("digital_signature"))
    return {"certificates": [certificate.public_bytes(Encoding.DER)]}


def protection(draft: SignedDraft, digest: str, signature: str) -> dict[str, object]:
    value = der.encode(0x30, draft.algorithm(digest), der.implicit(1, draft.algorithm(signature)))
    attribute = draft.attribute(CMS_ALGORITHM_PROTECTION, value)
    return {"attributes": (draft.content_type_attribute, draft.digest_attribute, attribute)}


FOR_TLS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])

CHANGES: dict[str, list[Change]] = {
    "version": [lambda draft, _: {"version": 1}, lambda draft, _: {"signer_version": 1}],
    "content": [lambda draft, _: {"encapsulated": b""}],
    "crls": [lambda draft, _: {"crls": b"\xa1\x00"}],
    "signers": [lambda draft, _: {"signers": 0}, lambda draft, _: {"signers": 2}],
    "signer_identifier": [lambda draft, _: {"signer_identifier": der.encode(0x30, b"\x30\x00", b"\x02\x01\x01")}],
    "signer.not_enclosed": [
        lambda draft, _: {"certificates": []},
        lambda draft, authority: {"certificates": [authority.certificate.public_bytes(Encoding.DER)]},
        lambda draft, _: {"signer_identifier": der.encode(0x80, bytes(20))},
        lambda draft, _: {"signer_identifier": der.encode(0x80)},
    ],
    "signer.ambiguous": [
        lambda draft, authority: {
            "certificates": [
                draft.signer.certificate.public_bytes(Encoding.DER),
                *with_foreign_key(draft, authority)["certificates"],  # type: ignore[misc]
            ]
        }
    ],
    "signer.purpose": [
        lambda draft, authority: enclosed(draft, authority, authority.usage("digital_signature"), FOR_TLS),
        lambda draft, authority: enclosed(draft, authority, authority.usage("key_agreement", "key_encipherment")),
        lambda draft, authority: enclosed(draft, authority, authority.usage("digital_signature", "key_agreement")),
        lambda draft, authority: enclosed(draft, authority, authority.usage("key_cert_sign", "crl_sign")),
        lambda draft, authority: enclosed(draft, authority, x509.BasicConstraints(ca=False, path_length=None)),
    ],
    "certificates": [lambda draft, _: {"certificates": [b"\xa1\x00"]}],
    "certificate": [
        lambda draft, _: {"certificates": [b"\x30\x00"]},
        lambda draft, _: {"certificates": [draft.signer.certificate.public_bytes(Encoding.DER), b"\x30\x00"]},
    ],
    "attributes.missing": [
        lambda draft, _: {"attributes": ()},
        lambda draft, _: {"attributes": (draft.content_type_attribute,)},
        lambda draft, _: {"attributes": (draft.digest_attribute,)},
    ],
    "attributes.repeated": [
        lambda draft, _: {"attributes": (draft.content_type_attribute, *[draft.digest_attribute] * 2)},
        lambda draft, _: {
            "attributes": (draft.content_type_attribute, draft.digest_attribute, draft.attribute(SIGNING_TIME))
        },
        lambda draft, _: {
            "attributes": (draft.content_type_attribute, draft.attribute("1.2.840.113549.1.9.4", b"\x04\x00", NULL))
        },
    ],
    "attributes.unknown": [
        lambda draft, _: {
            "attributes": (draft.content_type_attribute, draft.digest_attribute, draft.attribute("1.2.3", NULL))
        }
    ],
    "attributes.unsigned": [
        lambda draft, _: {"unsigned": der.encode(0xA1, draft.attribute("1.2.3", NULL))},
        lambda draft, _: {"unsigned": b"\xa1\x00"},
    ],
    "content_type": [
        lambda draft, _: {
            "attributes": (
                draft.attribute("1.2.840.113549.1.9.3", der.encode_object_identifier("1.2.840.113549.1.7.1")),
                draft.digest_attribute,
            )
        }
    ],
    "algorithm": [
        lambda draft, _: {"digest_algorithm": draft.algorithm(SHA1)},
        lambda draft, _: {"digest_algorithms": draft.algorithm(SHA256) + draft.algorithm(SHA1)},
        lambda draft, _: {"digest_algorithm": draft.algorithm(SHA256, b"\x30\x00")},
        lambda draft, _: {"signature_algorithm": draft.algorithm(ECDSA_WITH_SHA1)},
        lambda draft, _: {"signature_algorithm": draft.algorithm(RSA_WITH_SHA256)},
        lambda draft, _: {"signature_algorithm": draft.algorithm(ECDSA_WITH_SHA256, NULL)},
    ],
    "algorithm_differs": [
        lambda draft, _: {"digest_algorithms": draft.algorithm(SHA384)},
        lambda draft, _: {"digest_algorithms": b""},
        lambda draft, _: {"signature_algorithm": draft.algorithm(ECDSA_WITH_SHA384)},
        lambda draft, _: protection(draft, SHA384, ECDSA_WITH_SHA256),
        lambda draft, _: protection(draft, SHA256, ECDSA_WITH_SHA384),
    ],
    "key": [with_foreign_key],
    "digest": [
        lambda draft, _: {"encapsulated": der.encode(4, reordered(draft.content))},
        lambda draft, _: {
            "attributes": (draft.content_type_attribute, draft.attribute("1.2.840.113549.1.9.4", b"\x04\x00"))
        },
    ],
    "invalid": [
        lambda draft, _: {"signature": draft.signer.key.sign(draft.content, ec.ECDSA(HASH))},  # over other octets
        lambda draft, _: {"signature": OTHER_KEY.sign(b"", ec.ECDSA(HASH))},
        lambda draft, _: {"signature": b"\x30\x06\x02\x01\x00\x02\x01\x00"},
        lambda draft, _: {"signature": bytes(64)},  # r || s, as TR-03111 5.2.1 has it for other uses
    ],
}


@pytest.mark.parametrize(
    ("rule", "number"), [(rule, number) for rule in CHANGES for number in range(len(CHANGES[rule]))]
)
def test_each_fault_of_a_signature(renewal_draft: SignedDraft, authority: Authority, rule: str, number: int) -> None:
    changed = renewal_draft.but(**CHANGES[rule][number](renewal_draft, authority))
    error = refused(changed.inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE))
    assert (error.code, error.where) == (f"request.outer_signature.{rule}", "outer signature")


@pytest.mark.parametrize(
    "change",
    [
        lambda encoded: b"\x31" + encoded[1:],
        lambda encoded: b"\x30\x00",
        lambda encoded: der.encode(0x30, der.single(encoded, 0x30, "it").content + NULL),
        lambda encoded: der.encode(0x30, *(part.encoded for part in parts(encoded)[:-1])),
        lambda encoded: der.encode(0x30, *(part.encoded for part in parts(encoded)[1:])),
        lambda encoded: encoded.replace(b"\x31\x0d\x30\x0b", b"\x30\x0d\x30\x0b"),  # digestAlgorithms as a SEQUENCE
    ],
)
def test_no_signed_data_at_all(renewal_draft: SignedDraft, change: Callable[[bytes], bytes]) -> None:
    error = refused(build_content_info(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE, change(renewal_draft.encoded())))
    assert error.code in ("request.encoding.tag", "request.encoding.truncated")


def parts(encoded: bytes) -> list[der.Element]:
    return der.elements(der.single(encoded, 0x30, "it").content, "it")


@pytest.mark.parametrize(
    "encapsulated",
    [
        b"\x30\x00",
        b"\x04\x00\x04\x00",
        der.encode(0x24, b"\x04\x01\x30", b"\x30\x00"),
        der.encode(0x24, b"\x24\x00"),
        b"\x04\x00",
    ],
)
def test_no_content_of_octets(renewal_draft: SignedDraft, encapsulated: bytes) -> None:
    error = refused(renewal_draft.but(encapsulated=encapsulated).inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE))
    assert error.code in ("request.encoding.tag", "request.encoding.truncated")


def test_what_is_signed_is_judged_as_ever(forge: Forge, renewal_draft: SignedDraft) -> None:
    two = renewal_draft.but(content=forge.messages(forge.drafts[:2]))
    assert refused(two.inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE)).code == "request.count"
    unproven = renewal_draft.but(content=renewal_draft.content.replace(b"Beispiel.EMT", b"Beispiei.EMT"))
    error = refused(unproven.inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE))
    assert error.code == "request.proof_of_possession.invalid"


@pytest.mark.parametrize(
    ("kind", "content_type", "own_type", "layer"),
    [
        (BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE, BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE, None, "outer_signature"),
        (BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE, "1.2.840.113549.1.7.1", None, "outer_signature"),
        (BSI_AUTHORIZED_CERT_REQ_MSGS, BSI_AUTHORIZED_CERT_REQ_MSGS, None, "authorisation"),
        (BSI_AUTHORIZED_CERT_REQ_MSGS, BSI_CERT_REQ_MSGS, BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE, "authorisation"),
        (BSI_AUTHORIZED_CERT_REQ_MSGS, BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE, BSI_CERT_REQ_MSGS, "authorisation"),
        (BSI_SIGNED_REV_REQS, BSI_UPDATE_DEVICE_ADMIN, None, "signature"),
        (BSI_SIGNED_UPDATE_DEVICE_ADMIN, BSI_REV_REQS, None, "signature"),
    ],
)
def test_nested_wrongly(
    renewal_draft: SignedDraft, kind: str, content_type: str, own_type: str | None, layer: str
) -> None:
    content = build_content_info(own_type, renewal_draft.content) if own_type else renewal_draft.content
    error = refused(renewal_draft.but(content_type=content_type, content=content).inside(kind))
    assert error.code == f"request.{layer}.nesting"


def test_an_authorised_package_cannot_be_authorised_again(renewal_draft: SignedDraft) -> None:
    once = renewal_draft.but(content=renewal_draft.encoded(), content_type=BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE)
    twice = once.but(content=once.inside(BSI_AUTHORIZED_CERT_REQ_MSGS), content_type=BSI_AUTHORIZED_CERT_REQ_MSGS)
    assert refused(twice.inside(BSI_AUTHORIZED_CERT_REQ_MSGS)).code == "request.authorisation.nesting"


@pytest.mark.parametrize(
    ("where", "what", "code"),
    [
        ("inner", {}, "request.outer_signature.invalid"),
        ("inner", {"signers": 2}, "request.outer_signature.signers"),
        ("inner", {"encapsulated": b""}, "request.outer_signature.content"),
        ("outer", {}, "request.authorisation.invalid"),
        ("outer", {"signers": 2}, "request.authorisation.signers"),
        ("outer", {"encapsulated": b"\x04\x01\x31"}, "request.encoding.truncated"),
    ],
)
def test_each_layer_of_an_authorised_renewal(
    renewal_draft: SignedDraft, where: str, what: dict[str, object], code: str
) -> None:
    broken = what or {"signature": OTHER_KEY.sign(b"", ec.ECDSA(HASH))}
    inner = renewal_draft.but(**broken) if where == "inner" else renewal_draft
    outer = renewal_draft.but(content=inner.encoded(), content_type=BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE)
    outer = outer.but(**broken) if where == "outer" else outer
    error = refused(outer.inside(BSI_AUTHORIZED_CERT_REQ_MSGS))
    assert error.code == code


def test_other_requests_have_a_signature_too(previous: Signer, renewal_draft: SignedDraft) -> None:
    content = build_rev_req([(previous.certificate.issuer.public_bytes(), 1, 1)])
    draft = renewal_draft.but(content_type=BSI_REV_REQS, content=content)
    broken = draft.but(signature=OTHER_KEY.sign(b"", ec.ECDSA(HASH)))
    assert refused(broken.inside(BSI_SIGNED_REV_REQS)).code == "request.signature.invalid"
    assert refused(draft.but(signers=0).inside(BSI_SIGNED_REV_REQS)).code == "request.signature.signers"


@pytest.mark.parametrize("read", [read_submission, read_revocation_request, read_device_admin_update, read_request])
def test_other_content_types(read: Callable[[bytes], object]) -> None:
    with pytest.raises(RequestError) as caught:
        read(build_content_info("1.2.840.113549.1.7.2", b"\x30\x00"))
    assert caught.value.code == "request.content_type.unsupported"


def test_size(renewal_draft: SignedDraft) -> None:
    data = renewal_draft.inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE)
    with pytest.raises(RequestError) as caught:
        read_submission(data + bytes(MAX_SIZE))
    assert caught.value.code == "request.size"


@pytest.mark.parametrize(
    "change",
    [
        lambda draft: {"certificates": [b"\x30\x00" * 30_000]},
        lambda draft: {"certificates": [draft.signer.certificate.public_bytes(Encoding.DER)] * 100},
        lambda draft: {"attributes": [b"\x30\x00" * 30_000]},
        lambda draft: {"encapsulated": der.encode(0x24, b"\x04\x00" * 30_000)},
        lambda draft: {"encapsulated": der.encode(0x04, b"\x30\x80" * 30_000)},
        lambda draft: {"digest_algorithms": draft.algorithm(SHA256) * 4_000, "signers": 0},
    ],
)
def test_hostile_input_is_cheap(renewal_draft: SignedDraft, change: Callable[[SignedDraft], dict[str, object]]) -> None:
    data = renewal_draft.but(signature=b"\x00", **change(renewal_draft)).inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE)
    assert len(data) <= MAX_SIZE
    tracemalloc.start()
    started = time.process_time()
    refused(data)
    spent = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 15_000_000
    assert spent < 2
