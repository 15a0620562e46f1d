"""A package whose second request is wrong in one place: each fault has its code and says where it is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from smpki.asn1 import der
from smpki.asn1.curves import CURVE_OIDS
from smpki.asn1.oids import EC_PUBLIC_KEY, ECDSA_WITH_SHA256
from smpki.errors import RequestError
from smpki.requests.read import read_package, verify_package

Forge = Any  # conftest.Forge
Draft = Any  # conftest.Draft

SECOND, SECOND_SIG = "request 1", "request 1 (sig)"
CURVE = der.encode_object_identifier(CURVE_OIDS["brainpoolP256r1"])


def refused(package: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        verify_package(read_package(package))
    error = caught.value
    assert error.message
    assert error.hint
    assert error.__cause__ is None
    return error


def check(package: bytes, code: str, where: str) -> None:
    error = refused(package)
    assert (error.code, error.where) == (f"request.{code}", where)


def test_a_refusal_reads_well(forge: Forge) -> None:
    error = refused(forge.with_sig(forge.sig.subject(b"\x30\x00")))
    assert (
        str(error) == "request 1 (sig): subject: the subject is not that of request 0 (enc) [request.subject.differs]"
    )


@dataclass(frozen=True)
class Raw:
    """Something else where a request is due."""

    value: bytes

    def encoded(self) -> bytes:
        return self.value


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda draft: Raw(b"\x30\x00"), "truncated"),
        (lambda draft: Raw(b"\x04\x00"), "tag"),
        (lambda draft: Raw(der.encode(0x30, der.encode(0x30, draft.request_id))), "tag"),
        (lambda draft: replace(draft, request_id=b"\x04\x01\x01"), "tag"),
        (lambda draft: replace(draft, request_id=b"\x02\x02\x00\x01"), "number"),
        (lambda draft: replace(draft, request_id=der.encode(0x02, b"\x01" * 1000)), "number"),
        (lambda draft: draft.field(5, b"\xa5\x00"), "truncated"),
        (lambda draft: draft.field(5, b"\xa5\x80\x30\x00\x00\x00"), "length"),
        (lambda draft: draft.field(10, b"\xaa\x00"), "tag"),
        (lambda draft: replace(draft, proof=der.encode(0xA1, b"\x30\x00\x03\x02\x01\x00")), "tag"),
    ],
)
def test_encoding(forge: Forge, change: Callable[[Draft], Draft], code: str) -> None:
    check(forge.with_sig(change(forge.sig)), f"encoding.{code}", SECOND)


@pytest.mark.parametrize("field", ["800102", "810105", "a200", "a3023000", "a400", "870100", "880100"])
def test_forbidden_template_fields(forge: Forge, field: str) -> None:
    """Version, serial number, algorithm, issuer, validity and the unique ids are not a client's to ask for."""
    encoded = bytes.fromhex(field)
    package = forge.with_sig(forge.sig.field(encoded[0] & 0x1F, encoded))
    check(package, "template.forbidden", f"{SECOND}: certTemplate")


@pytest.mark.parametrize("number", [5, 6, 9])
def test_missing_template_fields(forge: Forge, number: int) -> None:
    check(forge.with_sig(forge.sig.field(number, None)), "template.missing", f"{SECOND}: certTemplate")


def test_controls_and_registration_info(forge: Forge) -> None:
    controls = forge.with_sig(replace(forge.sig, behind_template=b"\x30\x00"))
    check(controls, "controls.forbidden", f"{SECOND}: certReq.controls")
    check(
        forge.with_sig(replace(forge.sig, behind_proof=b"\x30\x00")),
        "registration_info.forbidden",
        f"{SECOND}: regInfo",
    )


def test_an_id_twice(forge: Forge) -> None:
    package = forge.with_sig(replace(forge.sig, request_id=forge.enc.request_id))
    check(package, "id.duplicate", f"{SECOND_SIG}: certReqId")


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        (b"\x30\x02\x05\x00", "encoding"),
        (bytes.fromhex("300c310a300806035504030c01ff"), "encoding"),  # no UTF-8
        (b"\x30\x00", "differs"),
        (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Beispiel.EMT")]), "differs"),
    ],
)
def test_subject(forge: Forge, subject: x509.Name | bytes, code: str) -> None:
    check(forge.with_sig(forge.sig.subject(subject)), f"subject.{code}", f"{SECOND_SIG}: subject")


@pytest.mark.parametrize(
    ("extension", "code"),
    [
        ("0500", "encoding"),
        ("30090603551d0f04020500", "encoding"),  # key usage is no BIT STRING
        ("300e0603551d0f010100040403020780", "encoding"),  # a critical that is spelt out as FALSE
        ("300c0603551d110405300381 01ff", "encoding"),  # a mail address outside ASCII
        ("300b0603551d1104043002a300", "encoding"),  # an x400Address
        ("300b0603551d0f040403020780" * 2, "duplicate"),
    ],
)
def test_extensions(forge: Forge, extension: str, code: str) -> None:
    package = forge.with_sig(forge.sig.extensions(bytes.fromhex(extension)))
    check(package, f"extensions.{code}", f"{SECOND}: extensions")


@pytest.mark.parametrize(
    ("bits", "for_tls", "code"),
    [
        (None, False, "missing"),
        (None, True, "missing"),
        ([], False, "contradictory"),
        (["key_cert_sign"], False, "contradictory"),
        (["key_cert_sign"], True, "contradictory"),
        (["digital_signature", "key_agreement"], False, "contradictory"),
        (["digital_signature", "key_encipherment"], True, "contradictory"),
        (["key_agreement"], True, "contradictory"),
    ],
)
def test_key_usage(forge: Forge, bits: list[str] | None, for_tls: bool, code: str) -> None:
    extensions: list[x509.ExtensionType] = [] if bits is None else [forge.usage(*bits)]
    if for_tls:
        extensions.append(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))
    package = forge.with_sig(forge.sig.extensions(*extensions))
    check(package, f"key_usage.{code}", f"{SECOND}: extensions")


def test_a_purpose_twice(forge: Forge) -> None:
    package = forge.with_sig(forge.sig.extensions(forge.usage("key_encipherment")))
    check(package, "purpose.duplicate", "request 1 (enc): extensions")


def key_info(point: bytes, parameters: bytes = CURVE) -> bytes:
    algorithm = der.encode(der.SEQUENCE, der.encode_object_identifier(EC_PUBLIC_KEY), parameters)
    return der.encode(der.SEQUENCE, algorithm, der.encode(der.BIT_STRING, b"\x00", point))


def point_of(draft: Draft, form: PublicFormat = PublicFormat.UncompressedPoint) -> bytes:
    point: bytes = draft.key.public_key().public_bytes(Encoding.X962, form)
    return point


def last_bit_flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def hybrid(point: bytes) -> bytes:
    return bytes([0x06 | point[-1] & 1]) + point[1:]


def rsa_key_info() -> bytes:
    key = rsa.RSAPublicNumbers(65537, 2**1023 + 1155).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("info", "code"),
    [
        (lambda draft: key_info(last_bit_flipped(point_of(draft))), "off_curve"),
        (lambda draft: key_info(b"\x04" + b"\xff" * 64), "off_curve"),  # coordinates past the field
        (lambda draft: key_info(b"\x04" + bytes(64)), "off_curve"),
        (lambda draft: key_info(point_of(draft, PublicFormat.CompressedPoint)), "point_format"),
        (lambda draft: key_info(hybrid(point_of(draft))), "point_format"),
        (lambda draft: key_info(b"\x00"), "point_format"),  # infinity
        (lambda draft: key_info(b""), "encoding"),
        (lambda draft: key_info(point_of(draft)[:-1]), "encoding"),
        (lambda draft: key_info(point_of(draft) + b"\x00"), "encoding"),
        (lambda draft: key_info(point_of(draft), der.encode_object_identifier("1.3.132.0.10")), "curve"),
        (lambda draft: key_info(point_of(draft), der.encode(0x30, b"\x02\x01\x01")), "parameters"),  # explicit
        (lambda draft: key_info(point_of(draft), b"\x05\x00"), "parameters"),  # implied by the CA
        (lambda draft: key_info(point_of(draft), b""), "parameters"),
        (lambda draft: key_info(point_of(draft), CURVE + b"\x05\x00"), "parameters"),
        (lambda draft: rsa_key_info(), "algorithm"),
        (lambda draft: b"\x30\x00", "encoding"),
        (lambda draft: der.encode(0x30, key_info(point_of(draft))[2:], b"\x05\x00"), "encoding"),
    ],
)
def test_public_key(forge: Forge, info: Callable[[Draft], bytes], code: str) -> None:
    package = forge.with_sig(forge.sig.public_key(info(forge.sig)))
    check(package, f"public_key.{code}", f"{SECOND_SIG}: publicKey")


def test_the_same_key_twice(forge: Forge) -> None:
    same = replace(forge.sig, key=forge.enc.key).public_key(forge.spki(forge.enc.key.public_key()))
    check(forge.with_sig(same), "public_key.duplicate", f"{SECOND_SIG}: publicKey")
    # clients that derive certReqId from the key hear of the key, too
    check(
        forge.with_sig(replace(same, request_id=forge.enc.request_id)),
        "public_key.duplicate",
        f"{SECOND_SIG}: publicKey",
    )


def proof(signature: bytes, *parameters: bytes) -> bytes:
    algorithm = der.encode(der.SEQUENCE, der.encode_object_identifier(ECDSA_WITH_SHA256), *parameters)
    return der.encode(0xA1, algorithm, der.encode(der.BIT_STRING, b"\x00", signature))


def signature_of(draft: Draft) -> bytes:
    signature: bytes = draft.key.sign(draft.signed(), ec.ECDSA(hashes.SHA256()))
    return signature


def with_input(encoded_proof: bytes) -> bytes:
    [element] = der.elements(encoded_proof, "it")
    return der.encode(0xA1, b"\xa0\x00", element.content)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda draft: b"", "missing"),
        (lambda draft: b"\x80\x00", "kind"),  # raVerified
        (lambda draft: b"\xa2\x03\x80\x01\x00", "kind"),  # keyEncipherment
        (lambda draft: b"\xa3\x03\x80\x01\x00", "kind"),  # keyAgreement
        (lambda draft: with_input(draft.popo()), "input"),
        (lambda draft: draft.popo(oid="1.2.840.10045.4.3.1", hash=hashes.SHA224()), "algorithm"),
        (lambda draft: draft.popo(oid="1.2.840.10045.4.1", hash=hashes.SHA1()), "algorithm"),
        (lambda draft: proof(signature_of(draft), b"\x05\x00"), "algorithm"),
        (lambda draft: draft.popo(hash=hashes.SHA384()), "invalid"),  # another hash than it says
        (lambda draft: draft.field(9, None).popo(), "invalid"),  # over another template
        (lambda draft: replace(draft, key=ec.derive_private_key(9, ec.BrainpoolP256R1())).popo(), "invalid"),
        (lambda draft: proof(last_bit_flipped(signature_of(draft))), "invalid"),
        (lambda draft: proof(signature_of(draft) + b"\x00"), "invalid"),
        (lambda draft: proof(b""), "invalid"),
        (lambda draft: proof(bytes.fromhex("3006020100020100")), "invalid"),
        (lambda draft: proof(bytes(64)), "invalid"),  # r and s without DER
    ],
)
def test_proof_of_possession(forge: Forge, make: Callable[[Draft], bytes], code: str) -> None:
    package = forge.with_sig(replace(forge.sig, proof=make(forge.sig)))
    check(package, f"proof_of_possession.{code}", f"{SECOND_SIG}: popo")
