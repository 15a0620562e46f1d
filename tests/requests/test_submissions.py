import base64
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.asn1 import der
from smpki.asn1.ber import unwrap
from smpki.asn1.content_info import build_content_info, read_content_info
from smpki.asn1.oids import (
    BSI_AUTHORIZED_CERT_REQ_MSGS,
    BSI_CERT_REQ_MSGS,
    BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE,
    CMS_ALGORITHM_PROTECTION,
    SHA384,
    SIGNING_TIME,
)
from smpki.errors import RequestError
from smpki.requests.any_request import read_request
from smpki.requests.build import RequestedNames
from smpki.requests.build_signed import build_authorised_package, build_renewal_package
from smpki.requests.keys import Signer
from smpki.requests.read import read_package
from smpki.requests.signature import Layer
from smpki.requests.submission import read_submission, verify_submission

if TYPE_CHECKING:
    from smpki.hsm.token import Token

Forge = Any  # conftest.Forge
SignedDraft = Any  # conftest.SignedDraft
Authority = Any  # conftest.Authority

NAMES = RequestedNames("pki@beispiel.de", "https://maco.beispiel.de", ("maco.beispiel.de",))
GATEWAY = "CN=EABC0012345678.SMGW, O=SM-Test-PKI-DE, OU=Beispiel.GWA, C=DE, serialNumber=1"
ADMINISTRATOR = "CN=Beispiel.GWA, O=SM-Test-PKI-DE, C=DE, serialNumber=1"


@pytest.fixture(scope="module")
def gateway(authority: Authority) -> Signer:
    return authority.signer(GATEWAY, 20)


@pytest.fixture(scope="module")
def administrator(authority: Authority) -> Signer:
    return authority.signer(ADMINISTRATOR, 21)


def test_the_real_renewal(sample: bytes, renewal_sample: bytes) -> None:
    submission = read_submission(renewal_sample)
    verify_submission(submission)

    assert (submission.kind, submission.authorisation) == ("renewal", None)
    assert submission.package == read_package(sample)  # the example's requests are those of its initial package
    assert submission.digest != submission.package.digest
    renewal = submission.renewal
    assert renewal is not None
    assert renewal.layer is Layer.OUTER
    assert renewal.signer.subject == submission.package.subject
    assert [
        each.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value for each in renewal.certificates
    ] == [
        "Company-Test.EMT.MAK",
        "MTG-Metering-Test-DE.CA",
    ]
    renewal.signer.verify_directly_issued_by(renewal.certificates[1])
    # 1,000 and 623 octets in two chunks
    assert hashlib.sha256(renewal.signed_data.content).digest() == renewal.signed_data.signer.digest
    assert len(renewal.signed_data.content) == 1623


def test_the_real_renewal_in_all_armours(renewal_sample: bytes) -> None:
    submission = read_submission(renewal_sample)
    for armoured in (unwrap(renewal_sample), base64.encodebytes(renewal_sample), renewal_sample + bytes(2)):
        assert read_submission(armoured) == submission
        assert read_submission(armoured).digest == submission.digest
        assert read_request(armoured) == submission


@pytest.mark.parametrize("place", [60, 1500, 2200, 2280, 4045, 4100, 4160, 4240])
def test_the_real_renewal_with_one_bit_changed(renewal_sample: bytes, place: int) -> None:
    """In the requests, the signer's key and its identifier, the attributes, the signature."""
    data = bytearray(renewal_sample)
    data[place] ^= 1
    with pytest.raises(RequestError):
        verify_submission(read_submission(bytes(data)))


def test_an_initial_package_is_a_submission_too(forge: Forge) -> None:
    data = forge.package(forge.drafts)
    submission = read_submission(data)
    verify_submission(submission)
    assert (submission.kind, submission.renewal, submission.authorisation) == ("initial", None, None)
    assert submission.package == read_package(data)
    assert submission.digest == submission.package.digest


@pytest.mark.parametrize("hash", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda hash: hash.name)
def test_a_renewal_that_is_built_is_read(forge: Forge, previous: Signer, hash: hashes.HashAlgorithm) -> None:
    data = build_renewal_package(forge.subject, forge.keys, NAMES, previous, hash=hash)
    submission = read_submission(data)
    verify_submission(submission)
    assert submission.kind == "renewal"
    assert submission.renewal is not None
    assert submission.renewal.signer == previous.certificate
    assert set(submission.renewal.certificates) == {previous.certificate, *previous.issuers}
    assert submission.renewal.signed_data.signer.hash.name == hash.name
    assert {request.hash.name for request in submission.package.requests} == {hash.name}


def test_built_like_the_real_renewal(forge: Forge, previous: Signer, renewal_sample: bytes) -> None:
    """The same fields, and octet by octet what names no key; but for the optional cmsAlgorithmProtection."""

    def fields(data: bytes) -> list[bytes]:
        content_type, content = read_content_info(unwrap(data))
        assert content_type == BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE
        outer = der.elements(der.single(content, der.SEQUENCE, "it").content, "it")
        (signer_info,) = der.elements(outer[-1].content, "it")
        signer = der.elements(signer_info.content, "it")
        attributes = [der.elements(each.content, "it") for each in der.elements(signer[3].content, "it")]
        protection = der.encode_object_identifier(CMS_ALGORITHM_PROTECTION)
        return [
            bytes(part.tag for part in (*outer, *signer)),
            *(part.encoded for part in (*outer[:2], *signer[:1], signer[2], signer[4])),
            der.elements(outer[2].content, "it")[0].encoded,
            *(name.encoded for name, _ in attributes if name.encoded != protection),
        ]

    ours = build_renewal_package(forge.subject, forge.keys, NAMES, previous)
    assert fields(ours) == fields(renewal_sample)


def test_an_authorised_initial_package(forge: Forge, administrator: Signer) -> None:
    data = forge.package(forge.drafts)
    submission = read_submission(build_authorised_package(base64.encodebytes(data), administrator))
    verify_submission(submission)
    assert (submission.kind, submission.renewal) == ("authorised", None)
    assert submission.package == read_package(data)
    assert submission.authorisation is not None
    assert submission.authorisation.signer == administrator.certificate
    assert submission.authorisation.signed_data.content_type == BSI_CERT_REQ_MSGS


def test_an_authorised_renewal(forge: Forge, gateway: Signer, administrator: Signer) -> None:
    inner = build_renewal_package(forge.subject, forge.keys, NAMES, gateway)
    submission = read_submission(build_authorised_package(inner, administrator))
    verify_submission(submission)
    assert submission.kind == "authorised"
    assert submission.renewal == read_submission(inner).renewal
    assert submission.package == read_submission(inner).package
    assert submission.authorisation is not None
    assert submission.authorisation.signer == administrator.certificate
    assert submission.authorisation.signed_data.content_type == BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE


def test_the_real_renewal_could_be_authorised(renewal_sample: bytes, administrator: Signer) -> None:
    submission = read_submission(build_authorised_package(renewal_sample, administrator))
    verify_submission(submission)
    assert submission.renewal == read_submission(renewal_sample).renewal


def indefinite(data: bytes) -> bytes:
    """The outermost two levels in indefinite length."""
    first, second = der.elements(der.single(data, der.SEQUENCE, "it").content, "it")
    return b"\x30\x80" + first.encoded + b"\xa0\x80" + second.content + bytes(4)


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize("form", ["bare", "content info", "BER content info"])
def test_every_nesting_that_may_be_meant(
    forge: Forge, gateway: Signer, administrator: Signer, renewal_draft: SignedDraft, renewed: bool, form: str
) -> None:
    kind, content = BSI_CERT_REQ_MSGS, forge.messages(forge.drafts)
    if renewed:
        kind, content = BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE, renewal_draft.but(signer=gateway).encoded()
    whole = build_content_info(kind, content)
    octets = {"bare": content, "content info": whole, "BER content info": indefinite(whole)}[form]
    draft = renewal_draft.but(signer=administrator, content_type=kind, content=octets)
    submission = read_submission(draft.inside(BSI_AUTHORIZED_CERT_REQ_MSGS))
    verify_submission(submission)
    assert submission.package == read_submission(whole).package
    assert submission.renewal == read_submission(whole).renewal


@pytest.mark.parametrize(
    "change",
    [
        lambda draft: {"attributes": [draft.digest_attribute, draft.content_type_attribute]},  # not as DER sorts them
        lambda draft: {
            "attributes": [
                draft.content_type_attribute,
                draft.digest_attribute,
                draft.attribute(SIGNING_TIME, der.encode(0x17, b"260122120000Z")),
            ]
        },
        lambda draft: {"digest_algorithms": draft.digest_algorithm + draft.algorithm(SHA384)},
        lambda draft: {"digest_algorithm": draft.algorithm("2.16.840.1.101.3.4.2.1", b"\x05\x00")},  # RFC 5754 2
        lambda draft: {"encapsulated": der.encode(0x24, *(der.encode(4, bytes((octet,))) for octet in draft.content))},
        lambda draft: {"certificates": [each.public_bytes(Encoding.DER) for each in both(draft.signer)]},
        lambda draft: {"certificates": [draft.signer.certificate.public_bytes(Encoding.DER)] * 2},
    ],
)
def test_what_else_is_read(renewal_draft: SignedDraft, change: Any) -> None:
    changed = renewal_draft.but(**change(renewal_draft))
    submission = read_submission(changed.inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE))
    verify_submission(submission)
    assert submission.renewal is not None
    assert submission.renewal.signer == renewal_draft.signer.certificate


def both(signer: Signer) -> tuple[x509.Certificate, ...]:
    return (*signer.issuers, signer.certificate)


def test_a_submission_is_known_again(renewal_draft: SignedDraft, administrator: Signer) -> None:
    """The same requests in another package are another submission, with the same package in it."""
    initial = build_content_info(BSI_CERT_REQ_MSGS, renewal_draft.content)
    renewal = renewal_draft.inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE)
    packages = [initial, renewal, *(build_authorised_package(each, administrator) for each in (initial, renewal) * 2)]
    submissions = [read_submission(package) for package in packages]
    assert len({each.digest for each in submissions}) == len(packages)
    assert len({each.package.digest for each in submissions}) == 1
    for package, submission in zip(packages, submissions, strict=True):
        assert read_submission(base64.b64encode(package)).digest == submission.digest


def test_what_nobody_signed_makes_no_other_submission(renewal_draft: SignedDraft) -> None:
    first = read_submission(renewal_draft.inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE))
    assert first.renewal is not None
    enclosed = [each.public_bytes(Encoding.DER) for each in both(renewal_draft.signer)]
    again = renewal_draft.but(signature=first.renewal.signed_data.signer.signature, certificates=enclosed)
    second = read_submission(again.inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE))
    assert first != second
    assert first.digest == second.digest


def test_token_keys_sign_too(forge: Forge, authority: Authority, token: "Token") -> None:
    from smpki.hsm.key import KeyUse

    key = token.generate("old sig", ec.BrainpoolP256R1(), KeyUse.SIGN)
    signer = Signer(key, authority.issue(forge.subject, key.public_key()))
    submission = read_submission(build_renewal_package(forge.subject, forge.keys, NAMES, signer))
    verify_submission(submission)


def test_signers_that_no_ca_would_take(forge: Forge, previous: Signer, authority: Authority) -> None:
    own = previous.key.public_key()
    for_encryption = authority.issue(forge.subject, own, forge.usage("key_agreement"))
    for signer, hash, code in (
        (replace(previous, key=forge.keys.sig), hashes.SHA256(), "request.signer.key"),
        (replace(previous, certificate=for_encryption), hashes.SHA256(), "request.outer_signature.signer.purpose"),
        (previous, hashes.SHA224(), "request.proof_of_possession.algorithm"),
    ):
        with pytest.raises(RequestError) as refused:
            build_renewal_package(forge.subject, forge.keys, NAMES, signer, hash=hash)
        assert refused.value.code == code


def test_only_what_holds_is_authorised(
    forge: Forge, renewal_draft: SignedDraft, gateway: Signer, administrator: Signer
) -> None:
    broken = renewal_draft.but(signature=gateway.key.sign(b"", ec.ECDSA(hashes.SHA256())))
    good = forge.package(forge.drafts)
    for package, hash, code in (
        (broken.inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE), hashes.SHA256(), "request.outer_signature.invalid"),
        (build_authorised_package(good, administrator), hashes.SHA256(), "request.content_type.unsupported"),
        (good, hashes.SHA224(), "request.authorisation.algorithm"),
    ):
        with pytest.raises(RequestError) as refused:
            build_authorised_package(package, administrator, hash=hash)
        assert refused.value.code == code
