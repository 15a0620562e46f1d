"""Which signatures count (BSI TR-03116-3 tables 4 and 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from smpki.asn1.curves import CURVES
from smpki.asn1.oids import ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ECDSA_WITH_SHA512

_HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
_ECDSA: Mapping[str, str] = MappingProxyType(
    {ECDSA_WITH_SHA256: "sha256", ECDSA_WITH_SHA384: "sha384", ECDSA_WITH_SHA512: "sha512"}
)
_RSA: Mapping[str, str] = MappingProxyType(  # PKCS #1 v1.5, RFC 4055
    {
        "1.2.840.113549.1.1.11": "sha256",
        "1.2.840.113549.1.1.12": "sha384",
        "1.2.840.113549.1.1.13": "sha512",
    }
)


@dataclass(frozen=True)
class AllowedAlgorithms:
    """What signatures and keys may be made of; the defaults are what a chain of the SM-PKI may hold.

    Both generations are always readable, and each curve goes with each hash: issuers are known to sign with SHA-256 or
    SHA-384 on the same curve, and every participant has to process every algorithm that a chain may hold.

    :param curves: names as in :data:`smpki.asn1.curves.CURVES`
    :param ecdsa_hashes: of ECDSA signatures: ``sha256``, ``sha384``, ``sha512``
    :param rsa_hashes: of RSA signatures (PKCS #1 v1.5); empty: no RSA
    :param rsa_bits: smallest RSA modulus
    """

    curves: frozenset[str] = frozenset(CURVES)
    ecdsa_hashes: frozenset[str] = frozenset(_HASHES)
    rsa_hashes: frozenset[str] = frozenset()
    rsa_bits: int = 2048

    def why_not_key(self, key: object) -> str | None:
        """What speaks against a public key, as a clause; ``None`` when it is allowed."""
        if isinstance(key, ec.EllipticCurvePublicKey):
            return None if key.curve.name in self.curves else f"its curve {key.curve.name} is not allowed"
        if isinstance(key, rsa.RSAPublicKey) and self.rsa_hashes:
            return None if key.key_size >= self.rsa_bits else f"an RSA key of {key.key_size} bits is too short"
        return "its kind of key is not allowed"

    def why_not_signature(self, algorithm: str, key: object) -> str | None:
        """What speaks against a signature of that algorithm (dotted) under that key; ``None`` when it is allowed."""
        if isinstance(key, ec.EllipticCurvePublicKey):
            found, allowed = _ECDSA.get(algorithm), self.ecdsa_hashes
        else:
            found, allowed = _RSA.get(algorithm), self.rsa_hashes
        against = self.why_not_key(key)
        if against is None and found not in allowed:
            against = f"its signature algorithm {algorithm} is not allowed, or not one for the signer's key"
        return against


PKI_ALGORITHMS = AllowedAlgorithms()


def verifies(key: object, algorithm: str, signature: bytes, data: bytes) -> bool:
    """Whether a signature verifies.

    :param algorithm: dotted, one that :meth:`AllowedAlgorithms.why_not_signature` has nothing against
    """
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(_HASHES[_ECDSA[algorithm]]))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), _HASHES[_RSA[algorithm]])
        else:
            return False
    except InvalidSignature:
        return False
    return True
