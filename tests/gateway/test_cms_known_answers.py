"""Messages that other programs made: known answers with the secrets behind them, and what OpenSSL makes."""

import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from smpki.asn1.auth_enveloped import AuthEnvelopedStream, frame_auth_enveloped
from smpki.asn1.ber_reader import BerReader, in_memory
from smpki.asn1.content_info import build_content_info, read_content_info
from smpki.asn1.oids import AUTH_ENVELOPED_DATA
from smpki.asn1.signed_data import read_signed_data
from smpki.errors import GatewayError
from smpki.gateway import cms
from smpki.gateway.agreement import agree
from smpki.gateway.cms_open import Opener
from smpki.gateway.cms_seal import Randomness, Seal
from smpki.gateway.content_algorithms import read_algorithms
from smpki.gateway.content_key import unwrap, wrap
from smpki.gateway.content_suite import CBC_CMAC, GCM, KdfInfo, Mode, Suite
from smpki.hsm.vault import Ephemeral

VECTORS = Path(__file__).with_name("vectors") / "cms"
KNOWN = json.loads((VECTORS / "known_answers.json").read_text())
MESSAGES = sorted(KNOWN["messages"])
SINGLE_PASS = {  # dhSinglePass-stdDH-sha*kdf-scheme (RFC 5753 7.1.4)
    "sha256": ("1.3.132.1.11.1"),
    "sha384": ("1.3.132.1.11.2"),
    "sha512": ("1.3.132.1.11.3"),
}


def certificate(name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((VECTORS / f"test_{name}.crt.pem").read_bytes())


def private_key(name: str) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key((VECTORS / f"test_{name}.key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


ENC, ENC_KEY, SIG, SIG_KEY = certificate("enc"), private_key("enc"), certificate("sig"), private_key("sig")


def suite_of(name: str) -> Suite:
    return GCM if "_gcm_" in name else CBC_CMAC


def info_of(name: str) -> KdfInfo:
    return KdfInfo.RFC5753 if "_rfc5753_" in name else KdfInfo.NONE


def envelope(message: bytes) -> bytes:
    """What is signed in a message."""
    _, signed = read_content_info(message)
    return read_signed_data(signed).content


@pytest.mark.parametrize("name", MESSAGES)
def test_a_known_answer_opens(name: str) -> None:
    opened = cms.open(
        (VECTORS / name).read_bytes(), recipient_certificate=ENC, recipient_key=ENC_KEY, sender_certificate=SIG
    )
    assert opened.content == KNOWN["plaintext"].encode()
    assert opened.protection == cms.Protection(suite_of(name), "zlib" in name, info_of(name))
    assert "hello" not in repr(opened)


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.requirement("REQ.CMS.AesCbcCmac.20", "REQ.CMS.AesCbcCmac.30", "REQ.CMS.AesCbcCmac.50")
def test_a_known_answer_is_made_octet_by_octet(name: str) -> None:
    """With the same secrets the same envelope comes out: keys, ciphertext, attributes, MAC, and every length."""
    secrets, suite, info = KNOWN["messages"][name], suite_of(name), info_of(name)
    made = envelope((VECTORS / name).read_bytes())
    stream = AuthEnvelopedStream(BerReader(in_memory(made)))
    ciphertext = b"".join(map(bytes, stream.ciphertext))
    found = stream.finish()
    assert (found.mac.hex(), found.authenticated.hex()) == (secrets["mac"], secrets["aad"])

    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.BrainpoolP256R1(), found.recipient.point)
    secret = agree(ENC_KEY, point)
    unwrapped = unwrap(secret, bytes.fromhex(secrets["wrapped"]), suite)
    assert secret.hex() == secrets["Z"]
    assert unwrapped is not None
    content_key, by = unwrapped
    assert by is info
    assert wrap(secret, content_key, suite, info).hex() == secrets["wrapped"]

    algorithms = read_algorithms(found)
    random = {suite.key_octets: content_key, len(algorithms.iv): algorithms.iv}
    randomness = Randomness(random.__getitem__, lambda peer: Ephemeral(point, secret))
    opener, content = Opener(ENC, ENC_KEY), io.BytesIO()
    opener.open(
        replace(found, content_type="1.2.840.113549.1.7.1"), algorithms, lambda: iter((ciphertext,)), content, 0
    )
    seal = Seal(len(content.getvalue()), found.content_type, ENC, suite, info, randomness)
    assert b"".join(map(bytes, seal.pieces([content.getvalue()]))) == made
    assert seal.length == len(made)


def test_what_openssl_made_opens_through_the_inner_function_only() -> None:
    """It is unsigned, and its key agreement goes by another name; all else is alike."""
    message = (VECTORS / "openssl_made_dhSinglePass_gcm.der").read_bytes()
    assert open_inner(message) == KNOWN["plaintext"].encode()
    with pytest.raises(GatewayError) as refused:
        cms.open(message, recipient_certificate=ENC, recipient_key=ENC_KEY, sender_certificate=SIG)
    assert refused.value.code == "cms.signature.content_type"


def open_inner(message: bytes, hash: str = "sha256") -> bytes:
    stream = AuthEnvelopedStream(BerReader(in_memory(message)))
    ciphertext = b"".join(map(bytes, stream.ciphertext))
    found, target = stream.finish(), io.BytesIO()
    algorithms = read_algorithms(found, {SINGLE_PASS[hash]: hash})  # type: ignore[dict-item]
    opener = Opener(ENC, ENC_KEY)
    opener.check(found)
    assert opener.open(found, algorithms, lambda: iter((ciphertext,)), target, 0) is KdfInfo.RFC5753
    return target.getvalue()


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", "cms", *arguments], cwd=VECTORS, input=given, check=True, capture_output=True)
    return done.stdout


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("hash", SINGLE_PASS)
@pytest.mark.parametrize("streamed", [(), ("-stream",)], ids=["whole", "streamed"])
def test_what_openssl_encrypts_opens(bits: int, hash: str, streamed: tuple[str, ...]) -> None:
    """Where it streams, with indefinite lengths and the ciphertext in chunks."""
    content = bytes(range(256)) * 100
    recipient = ("-recip", "test_enc.crt.pem", "-keyid", "-keyopt", f"ecdh_kdf_md:{hash}")
    options = (f"-aes-{bits}-gcm", "-binary", "-outform", "DER", *streamed)
    assert open_inner(openssl("-encrypt", *options, *recipient, given=content), hash) == content


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("wrap_bits", [128, 192, 256])
@pytest.mark.parametrize("hash", SINGLE_PASS)
@pytest.mark.requirement("REQ.CMS.AuthEnvelopedData.10", "REQ.CMS.AuthEnvelopedData.25", "REQ.CMS.AuthEnvelopedData.30")
def test_openssl_decrypts_ours(hash: str, wrap_bits: int, bits: int) -> None:
    """Once the key agreement has the name that OpenSSL knows. (OpenSSL 3.0 reads no authenticated attributes.)"""
    suite = Suite(Mode.GCM, bits, hash, wrap_bits)  # type: ignore[arg-type]
    message = cms.protect(
        b"content",
        sender_certificate=SIG,
        sender_key=SIG_KEY,
        recipient_certificate=ENC,
        protection=cms.Protection(suite),
    )
    stream = AuthEnvelopedStream(BerReader(in_memory(envelope(message))))
    ciphertext = b"".join(map(bytes, stream.ciphertext))
    found = stream.finish()
    named = replace(found.recipient, agreement=SINGLE_PASS[hash])
    before, after = frame_auth_enveloped(
        named, found.content_type, found.algorithm, len(ciphertext), found.authenticated, len(found.mac)
    )
    renamed = build_content_info(AUTH_ENVELOPED_DATA, before + ciphertext + after + found.mac)
    keys = ("-inkey", "test_enc.key.pem", "-recip", "test_enc.crt.pem")
    assert openssl("-decrypt", "-inform", "DER", "-binary", *keys, given=renamed) == b"content"


@pytest.mark.parametrize("hash", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("enclose", [True, False])
@pytest.mark.requirement("REQ.CMS.SignedData.10", "REQ.CMS.SignedData.50", "REQ.CMS.SignedData.60")
def test_openssl_verifies_our_signature(hash: str, enclose: bool) -> None:
    protection = cms.Protection(enclose=enclose, signature_hash=hash)  # type: ignore[arg-type]
    message = cms.protect(
        b"content", sender_certificate=SIG, sender_key=SIG_KEY, recipient_certificate=ENC, protection=protection
    )
    trust = ("-CAfile", "test_sig.crt.pem", "-purpose", "any", "-partial_chain")
    signer = () if enclose else ("-certfile", "test_sig.crt.pem")
    signed = openssl("-verify", "-inform", "DER", "-binary", *trust, *signer, given=message)
    assert signed == envelope(message)


@pytest.mark.parametrize("hash", ["sha256", "sha384", "sha512"])
@pytest.mark.requirement("REQ.CMS.MessageCipherSuite.20")
def test_openssl_verifies_our_detached_signature(hash: str, tmp_path: Path) -> None:
    signature = cms.sign_detached(b"content", certificate=SIG, key=SIG_KEY, signature_hash=hash)  # type: ignore[arg-type]
    assert b"content" not in signature
    content = tmp_path / "content"
    content.write_bytes(b"content")
    trust = ("-CAfile", "test_sig.crt.pem", "-purpose", "any", "-partial_chain")
    given = ("-inform", "DER", "-binary", "-content", str(content))
    assert openssl("-verify", *given, *trust, given=signature) == b"content"
    content.write_bytes(b"another")
    with pytest.raises(subprocess.CalledProcessError):
        openssl("-verify", *given, *trust, given=signature)


@pytest.mark.parametrize("enclosed", [True, False])
@pytest.mark.requirement("REQ.CMS.MessageCipherSuite.20")
def test_a_detached_signature_by_openssl(enclosed: bool) -> None:
    """With the two attributes of the profile; OpenSSL has a key for each but the time, which is taken out."""
    signature = cms.sign_detached(b"content", certificate=SIG, key=SIG_KEY, enclose=enclosed)
    cms.verify_detached(b"content", signature, SIG)
    by_openssl = openssl(
        *("-sign", "-binary", "-keyid", "-nosmimecap", "-outform", "DER", "-md", "sha256"),
        *("-signer", "test_sig.crt.pem", "-inkey", "test_sig.key.pem", *(() if enclosed else ("-nocerts",))),
        given=b"content",
    )
    with pytest.raises(GatewayError) as refused:  # signingTime
        cms.verify_detached(b"content", by_openssl, SIG)
    assert refused.value.code == "cms.signature.attributes.unknown"
