"""A forge for request packages: right ones, and ones that are wrong in a single place."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.asn1 import der
from smpki.asn1.content_info import build_content_info
from smpki.asn1.oids import BSI_CERT_REQ_MSGS, CONTENT_TYPE, ECDSA_WITH_SHA256, MESSAGE_DIGEST
from smpki.asn1.oids import SHA256 as SHA256_OID
from smpki.policy.names import DistinguishedName
from smpki.requests.keys import KeyTriple, Signer

SUBJECT = DistinguishedName.of(
    CN="Beispiel.EMT.MAK", O="SM-Test-PKI-DE", OU="9900000000001", C="DE", serialNumber="1", street="Hauptstraße 1"
).to_x509()


SHA256 = hashes.SHA256()
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


def algorithm(oid: str, parameters: bytes = b"") -> bytes:
    return der.encode(der.SEQUENCE, der.encode_object_identifier(oid), parameters)


def attribute(oid: str, *values: bytes) -> bytes:
    return der.encode(der.SEQUENCE, der.encode_object_identifier(oid), der.encode(der.SET, *values))


@dataclass(frozen=True)
class SignedDraft:
    """SignedData before it is encoded; what is not given is as it should be."""

    signer: Signer
    content_type: str
    content: bytes
    version: int = 3
    digest_algorithms: bytes = algorithm(SHA256_OID)
    encapsulated: bytes | None = None
    """What stands in the explicit tag of eContent."""
    certificates: Sequence[bytes] | None = None
    crls: bytes = b""
    signers: int = 1
    signer_version: int = 3
    signer_identifier: bytes | None = None
    digest_algorithm: bytes = algorithm(SHA256_OID)
    attributes: Sequence[bytes] | None = None
    signature_algorithm: bytes = algorithm(ECDSA_WITH_SHA256)
    signature: bytes | None = None
    unsigned: bytes = b""

    # so that tests need no import from here
    algorithm = staticmethod(algorithm)
    attribute = staticmethod(attribute)

    def but(self, **changes: object) -> "SignedDraft":
        return replace(self, **changes)

    @property
    def content_type_attribute(self) -> bytes:
        return attribute(CONTENT_TYPE, der.encode_object_identifier(self.content_type))

    @property
    def digest_attribute(self) -> bytes:
        hasher = hashes.Hash(SHA256)
        hasher.update(self.content)
        return attribute(MESSAGE_DIGEST, der.encode(der.OCTET_STRING, hasher.finalize()))

    @property
    def signer_info(self) -> bytes:
        given = self.attributes is not None
        attributes = self.attributes if given else (self.content_type_attribute, self.digest_attribute)
        signed = der.encode(der.SET, *sorted(attributes))
        key_id = x509.SubjectKeyIdentifier.from_public_key(self.signer.key.public_key()).digest
        signature = self.signature or self.signer.key.sign(signed, ec.ECDSA(SHA256))
        return der.encode(
            der.SEQUENCE,
            der.encode_integer(self.signer_version),
            self.signer_identifier or der.encode(0x80, key_id),
            self.digest_algorithm,
            der.encode(0xA0, *attributes) if attributes else b"",
            self.signature_algorithm,
            der.encode(der.OCTET_STRING, signature),
            self.unsigned,
        )

    def encoded(self) -> bytes:
        octets = der.encode(der.OCTET_STRING, self.content) if self.encapsulated is None else self.encapsulated
        explicit = der.encode(0xA0, octets) if octets else b""
        certificates = [self.signer.certificate.public_bytes(Encoding.DER)]
        return der.encode(
            der.SEQUENCE,
            der.encode_integer(self.version),
            der.encode(der.SET, self.digest_algorithms),
            der.encode(der.SEQUENCE, der.encode_object_identifier(self.content_type), explicit),
            der.encode(0xA0, *(certificates if self.certificates is None else self.certificates)),
            self.crls,
            der.encode(der.SET, self.signer_info * self.signers),
        )

    def inside(self, content_type: str) -> bytes:
        """The whole package: a ContentInfo around it."""
        return build_content_info(content_type, self.encoded())


@dataclass(frozen=True)
class Authority:
    """A Sub-CA that writes any certificate that a test wants."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    usage = staticmethod(usage)

    @classmethod
    def make(cls) -> "Authority":
        key = fixed_key(100, ec.BrainpoolP384R1())
        name = DistinguishedName.parse("CN=Beispiel.CA, O=SM-Test-PKI-DE, C=DE, serialNumber=1").to_x509()
        return cls(key, _certificate(name, key.public_key(), name, key, usage("key_cert_sign", "crl_sign")))

    def issue(
        self, subject: x509.Name | str, public_key: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        """A certificate for whatever the extensions say, by default SIG."""
        name = subject if isinstance(subject, x509.Name) else DistinguishedName.parse(subject).to_x509()
        values = extensions or (usage("digital_signature"),)
        return _certificate(name, public_key, self.certificate.subject, self.key, *values)

    def signer(self, subject: x509.Name | str, number: int) -> Signer:
        """Somebody with a SIG key of their own."""
        key = fixed_key(number, ec.BrainpoolP256R1())
        return Signer(key, self.issue(subject, key.public_key()), (self.certificate,))


def _certificate(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    values = extensions
    if not any(isinstance(value, x509.SubjectKeyIdentifier) for value in values):
        values = (x509.SubjectKeyIdentifier.from_public_key(public_key), *values)
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=public_key,
        serial_number=0x1234567890ABCDEF,
        not_valid_before=datetime(2026, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC),
        extensions=[x509.Extension(value.oid, isinstance(value, x509.KeyUsage), value) for value in values],
    )
    return builder.sign(key, hashes.SHA384(), ecdsa_deterministic=True)


@pytest.fixture(scope="session")
def key_triple() -> KeyTriple:
    return KeyTriple(*(fixed_key(number, ec.BrainpoolP256R1()) for number in range(3)))


@pytest.fixture(scope="session")
def forge(key_triple: KeyTriple) -> Forge:
    return Forge(SUBJECT, key_triple)


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.make()


@pytest.fixture(scope="session")
def previous(authority: Authority) -> Signer:
    """The SIG key that the holder of the forge's packages has had until now."""
    return authority.signer(SUBJECT, 10)


@pytest.fixture(scope="session")
def renewal_draft(forge: Forge, previous: Signer) -> SignedDraft:
    """The inside of a renewal package that is right."""
    return SignedDraft(previous, BSI_CERT_REQ_MSGS, forge.messages(forge.drafts))


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
