"""Who we are: certificates, and the private key in memory or in a token."""

from collections.abc import Collection
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from smpki.errors import TlsError
from smpki.hsm.key import TokenKey
from smpki.tls import binding
from smpki.tls.peers import find_misfit
from smpki.tls.provider import load_provider_key


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


def install(context: SSL.Context, identity: Identity, curves: Collection[str]) -> None:
    """Let the connections of a context show an identity.

    :param curves: names of the curves that its key may be on
    :raises TlsError: ``tls.identity.*``, or what :func:`~smpki.tls.provider.load_provider_key` raises
    """
    if not identity.certificates:
        raise _wrong("empty", "there is no certificate", "give the certificate of the key")
    own, *chain = identity.certificates
    if misfit := find_misfit(own, curves):
        raise _wrong(misfit.rule, f"the own certificate {misfit.what}", "use a certificate that this link allows")
    key = identity.key
    if isinstance(key, TokenKey):
        message = "OpenSSL can't sign with a token's key by this handle"
        raise _wrong("token_key", message, "give a ProviderKey with the key's URI; pkcs11-provider has to be there")
    context.use_certificate(own)
    for certificate in chain:
        context.add_extra_chain_cert(certificate)
    try:
        if isinstance(key, ProviderKey):
            binding.use_private_key(context, load_provider_key(key.uri))
        else:
            context.use_privatekey(key)
        context.check_privatekey()
    except SSL.Error:
        message = "the private key does not belong to the own certificate"
        raise _wrong("mismatch", message, "give the certificate that was issued for this key") from None


def _wrong(rule: str, message: str, hint: str) -> TlsError:
    return TlsError(f"tls.identity.{rule}", message, hint=hint)
