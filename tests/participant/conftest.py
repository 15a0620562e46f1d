"""A Sub-CA that fills the folders of participants."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.participant.key_files import write_keys
from smpki.participant.key_places import make_keys
from smpki.participant.password import Password
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import Policy
from smpki.policy.names import DistinguishedName
from smpki.requests.keys import KeyTriple

ROOT = "CN=SM-Test-Root.CA, O=SM-Test-PKI-DE, C=DE, serialNumber=1"
ISSUER = "CN=Beispiel.CA, O=SM-Test-PKI-DE, C=DE, serialNumber=1"
START = datetime(2026, 1, 15, 9, tzinfo=UTC)
END = datetime(2028, 1, 15, 23, 59, 59, tzinfo=UTC)
NAMES = (x509.RFC822Name("post@firma.example"), x509.UniformResourceIdentifier("https://firma.example/as4"))
HOSTS = (x509.DNSName("firma.example"), x509.DNSName("as4.firma.example"))
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
USAGES = (*USAGES, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")


def usage(*bits: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in bits for name in USAGES})


@dataclass(frozen=True)
class Counter:
    """The Sub-CA, and the root above it."""

    root: x509.Certificate
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def fill(
        self,
        folder: Path,
        subject: str,
        *,
        start: datetime = START,
        end: datetime = END,
        keys: KeyTriple | None = None,
        password: Password | None = None,
    ) -> KeyTriple:
        """Write a triple and its chain, as the Sub-CA gives them; and keys, where none are given."""
        made = keys or make_keys(ec.BrainpoolP256R1())
        if keys is None:
            write_keys(folder, made, password)
        folder.mkdir(exist_ok=True)
        gateway = ".SMGW" in subject
        for_tls = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        for purpose, extensions in {
            "tls": [usage("digital_signature"), for_tls],
            "sig": [usage("digital_signature")],
            "enc": [usage("key_encipherment", "key_agreement")],
        }.items():
            if not gateway:
                names = (*HOSTS, *NAMES) if purpose == "tls" else NAMES
                extensions.append(x509.SubjectAlternativeName(names))
            key = getattr(made, purpose).public_key()
            certificate = _certificate(subject, key, ISSUER, self.key, start, end, extensions)
            (folder / f"{purpose}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        chain = b"".join(each.public_bytes(Encoding.PEM) for each in (self.root, self.certificate))
        (folder / "chain.pem").write_bytes(chain)
        return made

    # so that tests need no import from here
    start, end = START, END


def _certificate(
    subject: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    start: datetime,
    end: datetime,
    extensions: list[x509.ExtensionType],
) -> x509.Certificate:
    values = [x509.SubjectKeyIdentifier.from_public_key(public_key), *extensions]
    builder = x509.CertificateBuilder(
        issuer_name=DistinguishedName.parse(issuer).to_x509(),
        subject_name=DistinguishedName.parse(subject).to_x509(),
        public_key=public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=start,
        not_valid_after=end,
        extensions=[
            x509.Extension(value.oid, isinstance(value, x509.KeyUsage | x509.BasicConstraints), value)
            for value in values
        ],
    )
    return builder.sign(key, hashes.SHA384())


@pytest.fixture(scope="session")
def counter() -> Counter:
    root, key = ec.generate_private_key(ec.BrainpoolP512R1()), ec.generate_private_key(ec.BrainpoolP384R1())
    usages: list[x509.ExtensionType] = [usage("key_cert_sign", "crl_sign"), x509.BasicConstraints(True, None)]
    end = datetime(2035, 1, 1, tzinfo=UTC)
    return Counter(
        _certificate(ROOT, root.public_key(), ROOT, root, START, end, usages),
        _certificate(ISSUER, key.public_key(), ROOT, root, START, end, usages),
        key,
    )


@pytest.fixture(scope="session")
def policy() -> Policy:
    return load_policy(default_policy_text())
