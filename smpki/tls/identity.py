"""Who we are: certificates, and the private key in memory or in a token."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class ProviderKey:
    """A private key in a token, which OpenSSL uses through pkcs11-provider.

    :param uri: where it is, such as ``pkcs11:token=T;object=L;type=private`` (RFC 7512)
    """

    uri: str


@dataclass(frozen=True)
class Identity:
    """One side's certificate and key.

    :param certificates: the own end entity certificate, then the chain that is sent with it
    :param key: the private key of the first
    """

    certificates: tuple[x509.Certificate, ...]
    key: ec.EllipticCurvePrivateKey | ProviderKey
