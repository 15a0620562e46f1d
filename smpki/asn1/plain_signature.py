"""ECDSA signatures in plain format: r || s, both as long as the curve's order (BSI TR-03111 5.2.1)."""

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature


def octets_of(curve: ec.EllipticCurve) -> int:
    """Length of r and of s: the octets of the curve's order, which for every curve in use are those of its field."""
    return (curve.key_size + 7) // 8


def to_plain(signature: bytes, curve: ec.EllipticCurve) -> bytes:
    """The plain format of a signature.

    :param signature: DER SEQUENCE of r and s (BSI TR-03111 5.2.2), as pyca makes it
    """
    octets = octets_of(curve)
    return b"".join(part.to_bytes(octets) for part in decode_dss_signature(signature))


def from_plain(signature: bytes) -> bytes:
    """The DER form of a signature, as pyca verifies it.

    :param signature: r || s; that its length is right for the curve is the caller's to check
    """
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
