"""The three private keys of a request package."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, slots=True)
class KeyTriple:
    """One private key for each purpose, in memory or in a token: whatever signs as pyca's keys do.

    :param tls: the key for TLS
    :param sig: the key for content signatures
    :param enc: the key for content encryption; the only thing it signs is its own proof of possession
    """

    tls: ec.EllipticCurvePrivateKey
    sig: ec.EllipticCurvePrivateKey
    enc: ec.EllipticCurvePrivateKey
