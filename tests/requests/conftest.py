"""A forge for request packages: right ones, and ones that are wrong in a single place."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.asn1 import der
from smpki.asn1.content_info import build_content_info
from smpki.asn1.oids import BSI_CERT_REQ_MSGS, ECDSA_WITH_SHA256
from smpki.policy.names import DistinguishedName
from smpki.requests.keys import KeyTriple

SUBJECT = DistinguishedName.of(
    CN="Beispiel.EMT.MAK", O="SM-Test-PKI-DE", OU="9900000000001", C="DE", serialNumber="1", street="Hauptstraße 1"
).to_x509()


KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def usage(*bits: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in bits for name in KEY_USAGES})


def spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def extension(value: x509.ExtensionType) -> bytes:
    oid = der.encode_object_identifier(value.oid.dotted_string)
    return der.encode(der.SEQUENCE, oid, der.encode(der.OCTET_STRING, value.public_bytes()))


def fixed_key(number: int, curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(0x1234567 + number, curve)


@dataclass(frozen=True)
class Draft:
    """One request before it is encoded; ``fields`` are the template's by tag number, ``proof`` replaces the popo."""

    key: ec.EllipticCurvePrivateKey
    request_id: bytes
    fields: dict[int, bytes]
    behind_template: bytes = b""
    behind_proof: bytes = b""
    proof: bytes | None = None

    def field(self, number: int, encoded: bytes | None) -> "Draft":
        """The draft with another template field, or without it."""
        fields = {**self.fields, number: encoded}
        return replace(self, fields={n: value for n, value in sorted(fields.items()) if value is not None})

    def subject(self, subject: x509.Name | bytes) -> "Draft":
        name = subject if isinstance(subject, bytes) else subject.public_bytes()
        return self.field(5, der.encode(0xA5, name))

    def public_key(self, info: bytes) -> "Draft":
        return self.field(6, der.implicit(6, info))

    def extensions(self, *extensions: x509.ExtensionType | bytes) -> "Draft":
        encoded = (value if isinstance(value, bytes) else extension(value) for value in extensions)
        return self.field(9, der.encode(0xA9, *encoded))

    def signed(self) -> bytes:
        template = der.encode(der.SEQUENCE, *self.fields.values())
        return der.encode(der.SEQUENCE, self.request_id, template, self.behind_template)

    def popo(self, *, oid: str = ECDSA_WITH_SHA256, hash: hashes.HashAlgorithm | None = None) -> bytes:
        signature = self.key.sign(self.signed(), ec.ECDSA(hash or hashes.SHA256()))
        algorithm = der.encode(der.SEQUENCE, der.encode_object_identifier(oid))
        return der.encode(0xA1, algorithm, der.encode(der.BIT_STRING, b"\0", signature))

    def encoded(self) -> bytes:
        proof = self.popo() if self.proof is None else self.proof
        return der.encode(der.SEQUENCE, self.signed(), proof, self.behind_proof)


@dataclass(frozen=True)
class Forge:
    """Drafts of one triple, and packages of drafts."""

    subject: x509.Name
    keys: KeyTriple
    enc: Draft = field(init=False)
    sig: Draft = field(init=False)
    tls: Draft = field(init=False)

    def __post_init__(self) -> None:
        tls_usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        for index, (purpose, extensions) in enumerate(
            {
                "enc": [usage("key_encipherment", "key_agreement")],
                "sig": [usage("digital_signature")],
                "tls": [usage("digital_signature"), tls_usage],
            }.items()
        ):
            key = getattr(self.keys, purpose)
            draft = Draft(key, der.encode_integer(index), {}).subject(self.subject)
            draft = draft.public_key(spki(key.public_key())).extensions(*extensions)
            object.__setattr__(self, purpose, draft)

    @property
    def drafts(self) -> list[Draft]:
        return [self.enc, self.sig, self.tls]

    def messages(self, drafts: Sequence[Draft]) -> bytes:
        return der.encode(der.SEQUENCE, *(draft.encoded() for draft in drafts))

    def package(self, drafts: Sequence[Draft]) -> bytes:
        return build_content_info(BSI_CERT_REQ_MSGS, self.messages(drafts))

    def with_sig(self, draft: Draft) -> bytes:
        """A package that is right but for its second request."""
        return self.package([self.enc, draft, self.tls])

    # so that tests need no import from here
    usage = staticmethod(usage)
    spki = staticmethod(spki)
    extension = staticmethod(extension)
    fixed_key = staticmethod(fixed_key)


@pytest.fixture(scope="session")
def key_triple() -> KeyTriple:
    return KeyTriple(*(fixed_key(number, ec.BrainpoolP256R1()) for number in range(3)))


@pytest.fixture(scope="session")
def forge(key_triple: KeyTriple) -> Forge:
    return Forge(SUBJECT, key_triple)


@pytest.fixture(scope="session")
def sample() -> bytes:
    """A real market participant's initial package; see the folder's README for where it comes from."""
    path = Path(__file__).parents[3] / "shared" / "data" / "requests" / "emt-initial.der"
    if not path.exists():
        pytest.skip("the real request package is not at hand")
    return path.read_bytes()


@pytest.fixture(scope="session")
def renewal_sample(sample: bytes) -> bytes:
    path = Path(__file__).parents[3] / "shared" / "data" / "requests" / "emt-renewal.der"
    return path.read_bytes()
