"""The private keys behind requests, in memory or in a token: whatever signs as pyca's keys do."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True, slots=True)
class KeyTriple:
    """The three private keys of a request package.

    :param tls: the key for TLS
    :param sig: the key for content signatures
    :param enc: the key for content encryption; the only thing it signs is its own proof of possession
    """

    tls: ec.EllipticCurvePrivateKey
    sig: ec.EllipticCurvePrivateKey
    enc: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs a request.

    :param key: the SIG key
    :param certificate: its certificate
    :param issuers: what to enclose beside it, as a rule the certificate of the issuing Sub-CA
    """

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    issuers: tuple[x509.Certificate, ...] = ()
