"""Who a CA is in TLS: the newest of its own TLS certificates, with the key in the PKI's token."""

from smpki.ca.chain import chain_above
from smpki.ca.pki import Pki
from smpki.ca.unit import load
from smpki.errors import ServiceError
from smpki.hsm.key import TokenKey
from smpki.policy.model import CertificateType
from smpki.tls.identity import Identity, ProviderKey
from smpki.tls.provider import key_uri


def own_identity(pki: Pki, authority: str, kind: CertificateType) -> Identity:
    """A CA's TLS certificate, its chain without the root, and its key; a token's key for pkcs11-provider.

    :param authority: the CA's CN
    :param kind: ``root-tls`` or ``sub-ca-tls``
    :raises ServiceError: ``service.certificate.missing``
    :raises TokenError: its key is not in the token
    """
    found = pki.store.authorities(kind=kind.value, cn=f"{authority}.TLS")
    if not found:
        raise ServiceError(
            "service.certificate.missing",
            f"{authority} has no TLS certificate with its key here",
            where=authority,
            hint="see smpki ca list; or name a folder with certificate and key: --tls",
        )
    own = found[0]
    above = chain_above(pki.store, own)[:0:-1]  # issuer first on the wire, where nobody needs the root
    key = pki.keys.key(key_id=bytes.fromhex(own.token_key_id or ""))
    certificates = (load(own), *map(load, above))
    if isinstance(key, TokenKey):
        return Identity(certificates, ProviderKey(key_uri(key.owner.label, key.info.label)))
    return Identity(certificates, key)
