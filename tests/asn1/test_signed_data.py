"""Our SignedData against OpenSSL's; what is refused is tested with the requests that carry it."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.asn1.ber import unwrap
from smpki.asn1.content_info import build_content_info, read_content_info
from smpki.asn1.oids import BSI_CERT_REQ_MSGS
from smpki.asn1.signed_data import SignedData, SignedDataError, build_signed_data, read_signed_data

KEY = ec.derive_private_key(0x1234567, ec.BrainpoolP256R1())
ID_SIGNED_DATA = "1.2.840.113549.1.7.2"
CONTENT = bytes(range(256)) * 20
HASHES = [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]


@pytest.fixture(scope="module")
def certificate() -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Beispiel.EMT")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1, start, start + timedelta(days=36500))
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(KEY.public_key()), critical=False)
    return builder.sign(KEY, hashes.SHA256(), ecdsa_deterministic=True)


@pytest.fixture
def files(tmp_path: Path, certificate: x509.Certificate) -> Path:
    """A folder with ``signer.pem``, ``signer.key`` and ``content``."""
    key = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "signer.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "signer.key").write_bytes(key)
    (tmp_path / "content").write_bytes(CONTENT)
    return tmp_path


def openssl(*arguments: str, folder: Path) -> bytes:
    return subprocess.run(["openssl", "cms", *arguments], cwd=folder, check=True, capture_output=True).stdout


def build(certificate: x509.Certificate, hash: hashes.HashAlgorithm = HASHES[0]) -> bytes:
    key_id = x509.SubjectKeyIdentifier.from_public_key(KEY.public_key()).digest
    return build_signed_data(BSI_CERT_REQ_MSGS, CONTENT, KEY, key_id, [certificate.public_bytes(Encoding.DER)], hash)


@pytest.mark.parametrize("hash", HASHES, ids=lambda hash: hash.name)
def test_openssl_verifies_ours(files: Path, certificate: x509.Certificate, hash: hashes.HashAlgorithm) -> None:
    (files / "ours").write_bytes(build_content_info(ID_SIGNED_DATA, build(certificate, hash)))
    flags = ("-binary", "-CAfile", "signer.pem", "-purpose", "any", "-partial_chain")
    assert openssl("-verify", "-in", "ours", "-inform", "DER", *flags, folder=files) == CONTENT


@pytest.mark.parametrize("options", [(), ("-stream",), ("-md", "sha384"), ("-md", "sha512")])
def test_ours_reads_openssls(files: Path, certificate: x509.Certificate, options: tuple[str, ...]) -> None:
    """With signingTime; and, where it streams, with indefinite lengths and the content in chunks."""
    flags = ("-binary", "-nodetach", "-keyid", "-nosmimecap", "-econtent_type", BSI_CERT_REQ_MSGS, "-outform", "DER")
    signer = ("-signer", "signer.pem", "-inkey", "signer.key", "-in", "content")
    data = openssl("-sign", *flags, *signer, *options, folder=files)
    _, content = read_content_info(unwrap(data))
    signed = read_signed_data(content)
    signed.verify(KEY.public_key())
    assert signed.content == CONTENT
    assert signed.certificates == (certificate.public_bytes(Encoding.DER),)
    assert signed.signer.hash.name == (options[1] if "-md" in options else "sha256")


def test_what_is_built_is_read(certificate: x509.Certificate) -> None:
    signed = read_signed_data(build(certificate))
    signed.verify(KEY.public_key())
    assert (signed.content_type, signed.content) == (BSI_CERT_REQ_MSGS, CONTENT)


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        (ec.derive_private_key(2, ec.BrainpoolP256R1()).public_key(), "invalid"),
        (ec.derive_private_key(2, ec.SECP256K1()).public_key(), "key"),
        (ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key(), "key"),
    ],
)
def test_other_keys(certificate: x509.Certificate, key: object, rule: str) -> None:
    signed = read_signed_data(build(certificate))
    with pytest.raises(SignedDataError) as refused:
        signed.verify(key)
    assert refused.value.rule == rule


def test_equal_when_the_octets_are(certificate: x509.Certificate) -> None:
    data = build(certificate)
    one: SignedData = read_signed_data(data)
    assert {one, read_signed_data(data)} == {one}
    assert one != read_signed_data(build(certificate))  # ECDSA signs anew each time
