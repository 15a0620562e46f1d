"""What a directory has to hold: the entries of CAs, and where those of holders stand.

All classes are those of X.521 and RFC 4523, which a directory has without a schema of ours: a ``device`` has CN, O and
serialNumber, ``pkiCA`` adds a CA's certificates and CRL, ``pkiUser`` the certificates of others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from smpki.ca.crl_series import crl_series
from smpki.ca.issuer import crl_addresses
from smpki.ca.published_authorities import published_authorities
from smpki.ca.store.crls import CrlRecord
from smpki.ca.store.store import Store
from smpki.errors import SmpkiError
from smpki.policy.directory_name import DirectoryAddress, DirectoryName, NameKey
from smpki.policy.model import CertificateType, EnvironmentName, Policy
from smpki.policy.names import DistinguishedName

CA_CERTIFICATES, CERTIFICATES = "cACertificate", "userCertificate"
"""Attributes of certificates (RFC 4523 4.1, 4.2); like CRLs, they travel with ``;binary``."""

HOLDER_CLASSES = ("pkiUser",)
"""The auxiliary classes of a holder's entry."""

_STRUCTURAL = {"cn": "device", "serialnumber": "device", "o": "organization", "ou": "organizationalUnit"}
_STRUCTURAL |= {"c": "country", "dc": "domain"}
_OF_DEVICE = ("cn", "serialnumber", "o")


@dataclass
class AuthorityEntry:
    """The entry of one generation of a CA, or of a CRL signer.

    :param certificates: DER of those that have to be there, by attribute
    :param crls: the newest ones at this address: one, unless it leaves out the generation
    :param crl_attribute: where those stand
    """

    name: DirectoryName
    certificates: dict[str, list[bytes]] = field(default_factory=dict)
    crls: list[CrlRecord] = field(default_factory=list)
    crl_attribute: str = ""

    @property
    def classes(self) -> list[str]:
        """The auxiliary classes that its attributes need."""
        authority = self.crls or CA_CERTIFICATES in self.certificates
        return ["pkiCA"] * bool(authority) + ["pkiUser"] * (CERTIFICATES in self.certificates)


def authority_entries(store: Store, policy: Policy, environment: EnvironmentName) -> list[AuthorityEntry]:
    """The entries of CAs; a CRL stands at the very address that certificates name.

    :raises PolicyError: ``name.directory``: the policy's address is none
    """
    entries: dict[NameKey, AuthorityEntry] = {}

    def at(uri: str) -> tuple[AuthorityEntry, str]:
        address = DirectoryAddress.parse(uri)
        return entries.setdefault(address.name.key, AuthorityEntry(address.name)), address.attribute

    for authority in published_authorities(store, policy, environment):
        entry, _ = at(authority.ldap)
        entry.certificates.setdefault(CA_CERTIFICATES, []).append(authority.certificate.der)
    for series in crl_series(store, policy, environment):
        if series.newest is not None:
            entry, entry.crl_attribute = at(series.addresses[1])
            entry.crls.append(series.newest)
            if series.kind is CertificateType.CRL_SIGNER:
                entry.certificates.setdefault(CERTIFICATES, []).append(store.get(series.newest.signer).der)
    return list(entries.values())


def base_of(policy: Policy, environment: EnvironmentName) -> DirectoryName:
    """The entry below which the names of all holders stand, as those of CAs do.

    :raises SmpkiError: ``publish.layout``: the policy's address has no CN
    """
    rules = policy.environments[environment]
    root = DistinguishedName.of(
        CN=rules.root_common_name.value, O=rules.organization.value, C=rules.country.value, serialNumber="1"
    )
    name = DirectoryAddress.parse(crl_addresses(rules, root, 1)[1]).name
    for number, rdn in enumerate(name.rdns):
        if rdn[0][0].lower() == "cn":
            return DirectoryName(name.rdns[number + 1 :])
    message = "the LDAP address of CRLs has no cn, so nobody knows where holders' entries stand"
    raise SmpkiError("publish.layout", message, where="crl_ldap", hint="write cn={cn} into it, as real certificates do")


def new_entry(name: DirectoryName, classes: Sequence[str] = ()) -> dict[str, list[bytes]]:
    """The attributes of a new entry, but for certificates and CRLs.

    :param classes: auxiliary ones
    :raises SmpkiError: ``publish.layout``
    """
    kind = name.rdns[0][0][0]
    structural = _STRUCTURAL.get(kind.lower())
    if structural is None:
        message = f"no entry can be made that is named by {kind}"
        hint = f"make it by hand, or write {', '.join(_STRUCTURAL)} into the policy's crl_ldap"
        raise SmpkiError("publish.layout", message, where=str(name), hint=hint)
    values = {kind.lower(): value for kind, value in name.rdns[0]}
    if structural == "device":
        values |= {kind: known for kind in _OF_DEVICE if (known := name.get(kind)) is not None}
    classes = [structural, *classes]
    return {"objectClass": [one.encode() for one in classes]} | {kind: [v.encode()] for kind, v in values.items()}


def ancestors(name: DirectoryName, context: DirectoryName) -> Iterator[DirectoryName]:
    """The entries above one, as far as a directory holds them, from the top.

    :param context: the top of what it holds (RFC 4512 5.1)
    """
    for number in range(len(name.rdns) - len(context.rdns), 0, -1):
        yield DirectoryName(name.rdns[number:])
