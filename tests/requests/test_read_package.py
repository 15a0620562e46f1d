import base64
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from smpki.asn1 import der
from smpki.asn1.ber import unwrap
from smpki.asn1.content_info import read_content_info
from smpki.asn1.curves import CURVES
from smpki.asn1.oids import ECDSA_WITH_SHA384, ECDSA_WITH_SHA512
from smpki.errors import RequestError
from smpki.requests.keys import KeyTriple
from smpki.requests.model import Purpose
from smpki.requests.read import read_messages, read_package, verify_package

Forge = Any  # conftest.Forge


def pem(data: bytes, label: str = "CERTIFICATE REQUEST") -> bytes:
    body = base64.encodebytes(data).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


def test_the_real_package(sample: bytes) -> None:
    package = read_package(sample)
    verify_package(package)

    assert [request.purpose for request in package.requests] == [Purpose.TLS, Purpose.SIG, Purpose.ENC]
    assert [request.index for request in package.requests] == [2, 1, 0]
    attributes = [(attribute.oid, attribute.value) for attribute in package.subject]
    assert attributes == [
        (NameOID.COMMON_NAME, "Company-Test.EMT.MAK"),
        (NameOID.ORGANIZATION_NAME, "SM-Test-PKI-DE"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "1234567890120"),
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.SERIAL_NUMBER, "1"),
        (NameOID.STREET_ADDRESS, "Teststraße 1"),
        (NameOID.POSTAL_CODE, "98765"),
        (NameOID.LOCALITY_NAME, "Teststadt"),
        (NameOID.STATE_OR_PROVINCE_NAME, "Testbundesland"),
    ]
    for request in package.requests:
        key_id = request.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert key_id == x509.SubjectKeyIdentifier.from_public_key(request.public_key)
        assert request.request_id == int.from_bytes(key_id.digest, "big")
        assert isinstance(request.public_key.curve, ec.BrainpoolP256R1)
        assert isinstance(request.hash, hashes.SHA256)
        assert not any(extension.critical for extension in request.extensions)
    tls_names = package.tls.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tls_names.get_values_for_type(x509.DNSName) == ["maco.company.de", "localhost"]
    assert package.digest.hex() == "32140251da59ccb6f1f9bfdd773d0817636ab01acd975b85e5b568019d7e4fa4"


def test_the_real_package_in_all_armours(sample: bytes) -> None:
    package = read_package(sample)
    definite = unwrap(sample)
    text = base64.b64encode(sample)
    for armoured in (
        sample[:-2],  # without the spare end-of-contents octets
        sample + bytes(2),
        definite,
        text,
        base64.encodebytes(sample),
        b"\r\n\t " + b"\r\n ".join(text[at : at + 60] for at in range(0, len(text), 60)) + b"\n",
        pem(sample),
        pem(definite, "PKCS7"),
        pem(sample, "").replace(b"\n", b"\r\n"),
        b"Antrag der Beispiel GmbH\n\n" + pem(sample),
    ):
        assert read_package(armoured) == package


def test_the_real_renewal_is_not_an_initial_package(renewal_sample: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        read_package(renewal_sample)
    assert refused.value.code == "request.content_type.unsupported"
    assert "0.4.0.127.0.7.4.1.1.2" in refused.value.message


def test_bare_messages_are_the_same_package(sample: bytes) -> None:
    _, messages = read_content_info(unwrap(sample))
    package = read_messages(messages)
    assert package == read_package(sample)
    assert package.digest == hashlib.sha256(messages).digest()


def test_a_package_holds_what_was_drafted(forge: Forge) -> None:
    package = read_package(forge.package(forge.drafts))
    verify_package(package)
    assert package.subject == forge.subject
    for request in package.requests:
        draft = getattr(forge, request.purpose)
        assert request.public_key == draft.key.public_key()
        assert request.public_key_info == forge.spki(draft.key.public_key())
        assert request.signed == draft.signed()
        assert request.place == f"request {request.index} ({request.purpose})"


def test_order_and_ids_are_free(forge: Forge) -> None:
    drafts = [
        replace(forge.tls, request_id=der.encode_integer(0)),
        replace(forge.enc, request_id=der.encode_integer(-1)),
        replace(forge.sig, request_id=der.encode_integer(2**200)),
    ]
    package = read_package(forge.package(drafts))
    verify_package(package)
    assert [request.index for request in package.requests] == [0, 2, 1]
    assert [request.request_id for request in package.requests] == [0, 2**200, -1]


@pytest.mark.parametrize(("oid", "hash"), [(ECDSA_WITH_SHA384, hashes.SHA384), (ECDSA_WITH_SHA512, hashes.SHA512)])
def test_other_hashes(forge: Forge, oid: str, hash: type[hashes.HashAlgorithm]) -> None:
    drafts = [replace(draft, proof=draft.popo(oid=oid, hash=hash())) for draft in forge.drafts]
    package = read_package(forge.package(drafts))
    verify_package(package)
    assert all(isinstance(request.hash, hash) for request in package.requests)


@pytest.mark.parametrize("name", CURVES)
def test_every_curve_of_the_guideline_is_read(forge: Forge, name: str) -> None:
    triple = KeyTriple(*(forge.fixed_key(number, CURVES[name]) for number in range(3)))
    other = type(forge)(forge.subject, triple)
    package = read_package(other.package(other.drafts))
    verify_package(package)
    assert [request.public_key.curve.name for request in package.requests] == [name] * 3


def test_one_name_spelt_in_two_ways(forge: Forge) -> None:
    def respelt(attribute: x509.NameAttribute[str]) -> x509.NameAttribute[str]:
        if attribute.oid == NameOID.COUNTRY_NAME:
            return attribute
        return x509.NameAttribute(attribute.oid, attribute.value.upper(), _ASN1Type.UTF8String)

    subject = x509.Name([respelt(attribute) for attribute in forge.subject])
    assert subject != forge.subject
    package = read_package(forge.with_sig(forge.sig.subject(subject)))
    verify_package(package)
    assert package.sig.subject == subject
    assert package.subject == forge.subject


def test_more_usages_leave_the_purpose_alone(forge: Forge) -> None:
    """What the profile forbids is refused later; here only the purpose is read."""
    usage = forge.usage("digital_signature", "content_commitment", "crl_sign")
    assert read_package(forge.with_sig(forge.sig.extensions(usage))).sig.index == 1
    enc = forge.enc.extensions(forge.usage("key_agreement"))
    assert read_package(forge.package([enc, forge.sig, forge.tls])).enc.index == 0


def test_unknown_extensions_are_kept(forge: Forge) -> None:
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"anything")
    usage = forge.usage("digital_signature")
    package = read_package(forge.with_sig(forge.sig.extensions(odd, usage)))
    assert [extension.value for extension in package.sig.extensions] == [odd, usage]


def test_extended_key_usage_makes_tls(forge: Forge) -> None:
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    tls = forge.tls.extensions(usages, forge.usage("digital_signature"))
    assert read_package(forge.package([forge.enc, forge.sig, tls])).tls.index == 2


def test_long_attributes_are_the_policys_to_judge(forge: Forge) -> None:
    """pyca would warn, by counting octets for characters. Import and all in a process whose warnings are errors."""
    value = der.encode(0x0C, ("ß" * 40).encode())
    attribute = der.encode(0x30, der.encode_object_identifier(NameOID.COMMON_NAME.dotted_string), value)
    subject = der.encode(0x30, der.encode(0x31, attribute))
    code = "import sys; from smpki.requests.read import read_package; read_package(sys.stdin.buffer.read())"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        input=forge.package([draft.subject(subject) for draft in forge.drafts]),
        check=True,
        cwd=Path(__file__).parents[2],
    )


def test_packages_are_values(forge: Forge) -> None:
    one = forge.package(forge.drafts)
    other = forge.package(forge.drafts)  # ECDSA signs anew each time
    assert {read_package(one), read_package(pem(one))} == {read_package(one)}
    assert read_package(one) != read_package(other)
    assert read_package(one).digest != read_package(other).digest
