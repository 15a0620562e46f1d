"""Where the certificates of CAs are published: beside the CRLs, under the same names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from smpki.ca.issuer import crl_addresses
from smpki.ca.store.records import StoredCertificate
from smpki.ca.store.store import Store
from smpki.ca.unit import load
from smpki.policy.model import CertificateType, EnvironmentName, Policy
from smpki.policy.names import DistinguishedName

_CAS = (CertificateType.ROOT, CertificateType.LINK, CertificateType.TLS_SIGNER, CertificateType.SUB_CA)


@dataclass(frozen=True)
class PublishedAuthority:
    """A CA's certificate and its places.

    :param http: the address of its file (RFC 2585: ``.cer``)
    :param ldap: the address of the CA's entry, which has its CRL, too
    """

    certificate: StoredCertificate
    http: str
    ldap: str


def published_authorities(store: Store, policy: Policy, environment: EnvironmentName) -> Iterator[PublishedAuthority]:
    """The CAs whose keys are here, and those that they certified, with link certificates; as they were stored.

    CRL signers are none of them: their certificates lie beside the CRLs that they signed.
    """
    rules = policy.environments[environment]
    found = store.of_kinds(_CAS)
    here = {one.serial for one in found if one.token_key_id is not None}
    for one in found:
        if one.serial in here or one.issuer_serial in here:
            name = DistinguishedName.from_x509(load(one).subject)
            http, ldap = crl_addresses(rules, name, name.serial_number or 0)
            mark = ".link" if one.kind == CertificateType.LINK else ""
            yield PublishedAuthority(one, certificate_address(http, mark), ldap)


def certificate_address(crl_address: str, mark: str = "") -> str:
    """The address of the certificate that belongs to a CRL.

    :param mark: comes before ``.cer``
    """
    parts = urlsplit(crl_address)
    return parts._replace(path=f"{parts.path.removesuffix('.crl')}{mark}.cer").geturl()


def file_name(address: str) -> str:
    """The name of the file that a web server has at an HTTP address."""
    quoted = PurePosixPath(urlsplit(address).path).name
    plain = unquote(quoted)
    return quoted if "/" in plain or "\0" in plain else plain
