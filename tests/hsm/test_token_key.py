import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.asn1.curves import CURVES
from smpki.hsm.token import KeyUse, Token, TokenKey

P256 = CURVES["brainpoolP256r1"]
SHA256 = ec.ECDSA(hashes.SHA256())
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test")])
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def key(token: Token) -> TokenKey:
    return token.generate("a key", P256, KeyUse.SIGN | KeyUse.DERIVE)


def test_it_is_a_private_key_to_pyca(key: TokenKey) -> None:
    assert isinstance(key, ec.EllipticCurvePrivateKey)


def test_it_signs_certificates(key: TokenKey) -> None:
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, START, END)
    certificate = builder.sign(key, hashes.SHA256())
    certificate.verify_directly_issued_by(certificate)


def test_it_signs_crls(key: TokenKey) -> None:
    revoked = x509.RevokedCertificateBuilder(7, START).build()
    builder = x509.CertificateRevocationListBuilder(NAME, START, END, revoked_certificates=[revoked])
    crl = builder.sign(key, hashes.SHA384())
    assert crl.is_signature_valid(key.public_key())


def test_it_signs_requests(key: TokenKey) -> None:
    assert x509.CertificateSigningRequestBuilder(NAME).sign(key, hashes.SHA256()).is_signature_valid


def test_data_may_be_any_octets(key: TokenKey) -> None:
    for data in (b"", b"data", bytearray(b"data"), memoryview(b"data")):
        key.public_key().verify(key.sign(data, SHA256), bytes(data), SHA256)


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda it: it.name)
def test_a_digest_may_be_given(key: TokenKey, algorithm: hashes.HashAlgorithm) -> None:
    hasher = hashes.Hash(algorithm)
    hasher.update(b"data")
    signature = key.sign(hasher.finalize(), ec.ECDSA(Prehashed(algorithm)))
    key.public_key().verify(signature, b"data", ec.ECDSA(algorithm))


def test_a_digest_of_another_length_is_refused(key: TokenKey, refused: Any) -> None:
    with refused("token.key.digest_length"):
        key.sign(b"31 octets are no SHA-256 digest", ec.ECDSA(Prehashed(hashes.SHA256())))


def test_short_numbers_are_encoded_in_der(key: TokenKey) -> None:
    # about one signature in 128 has an r or s with a leading zero octet
    for _ in range(2000):
        signature = key.sign(b"data", SHA256)
        if min(decode_dss_signature(signature)) < 1 << 248:
            break
    assert min(decode_dss_signature(signature)) < 1 << 248
    key.public_key().verify(signature, b"data", SHA256)


def test_shared_secrets_keep_their_leading_zeros(key: TokenKey) -> None:
    for _ in range(5000):
        other = ec.generate_private_key(P256)
        expected = other.exchange(ec.ECDH(), key.public_key())
        if expected[0] == 0:
            break
    assert expected[0] == 0
    assert key.exchange(ec.ECDH(), other.public_key()) == expected


def test_shared_secrets_leave_nothing_in_the_token(key: TokenKey, token: Token) -> None:
    key.exchange(ec.ECDH(), ec.generate_private_key(P256).public_key())
    with token._sessions.borrow("count") as channel:
        assert len(list(channel.session.get_objects())) == 2  # the halves of the key


def test_a_key_of_another_curve_is_refused(key: TokenKey, refused: Any) -> None:
    with refused("token.key.curve"):
        key.exchange(ec.ECDH(), ec.generate_private_key(ec.SECP256R1()).public_key())


def test_keys_do_only_what_they_are_for(token: Token, refused: Any) -> None:
    sig, enc = token.generate("SIG", P256, KeyUse.SIGN), token.generate("ENC", P256, KeyUse.DERIVE)
    with refused("token.key.use"):
        sig.exchange(ec.ECDH(), enc.public_key())
    with refused("token.key.use"):
        enc.sign(b"data", SHA256)


def test_deterministic_signatures_are_refused(key: TokenKey, refused: Any) -> None:
    with refused("token.key.algorithm"):
        key.sign(b"data", ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def test_the_private_half_is_not_given_away(key: TokenKey, refused: Any) -> None:
    with refused("token.key.not_extractable"):
        key.private_numbers()
    with refused("token.key.not_extractable"):
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def test_a_copy_is_the_key_itself(key: TokenKey) -> None:
    assert copy.copy(key) is key
    assert copy.deepcopy([key])[0] is key


def test_it_does_not_leave_its_process(key: TokenKey, refused: Any) -> None:
    with refused("token.key.not_picklable"):
        pickle.dumps(key)


def test_it_says_which_key_it_is(key: TokenKey) -> None:
    assert repr(key) == "<TokenKey 'a key' on brainpoolP256r1 in token 'test-token'>"
