"""Which CRLs there are: who signs each, what it is about, where it is found, and when the next one is due.

====================  =============  ===============================================================================
signed by             policy         about
====================  =============  ===============================================================================
a Sub-CA              ``sub_ca``     what the Sub-CA issued
a root's CRL signer   ``crl_signer`` what the root and its TLS signer issued, but for CRL signers: an indirect CRL
a root                ``root``       what the root issued: first of all the CRL signer, whose own CRL can't vouch for it
====================  =============  ===============================================================================

The root's own CRL is complete though the CRL signer alone would do: a CRL without IssuingDistributionPoint speaks for
everything that its issuer issued (RFC 5280 5.2.5), and readers such as OpenSSL believe it sooner than an indirect one.
With an IssuingDistributionPoint it would leave them without a CRL for the link certificate, which names none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from smpki.ca.issuer import crl_addresses
from smpki.ca.profile import crl_signer_name
from smpki.ca.published_authorities import file_name
from smpki.ca.store.crls import CrlRecord, CrlScope
from smpki.ca.store.records import StoredCertificate
from smpki.ca.store.revocations import Revocation
from smpki.ca.store.store import Store
from smpki.ca.unit import load
from smpki.policy.model import CertificateType, CrlRules, EnvironmentName, Policy
from smpki.policy.names import DistinguishedName


@dataclass(frozen=True)
class CrlSeries:
    """The CRLs of one scope, one after the other.

    :param kind: of the certificate whose key signs: ``sub-ca``, ``root`` or ``crl-signer``
    :param authority: the CA that the CRLs are about
    :param name: the CRLs' issuer
    :param addresses: HTTP and LDAP URI, as the CRLDistributionPoints of the certificates have them
    :param newest: the CRL in force
    :param last_scheduled: the newest one that was due when it was issued
    :param revocation: of the CA's own certificate
    """

    kind: CertificateType
    authority: StoredCertificate
    name: DistinguishedName
    addresses: tuple[str, str]
    rules: CrlRules
    newest: CrlRecord | None
    last_scheduled: CrlRecord | None
    revocation: Revocation | None

    @property
    def scope(self) -> CrlScope:
        """How the store calls it."""
        return CrlScope(self.authority.serial, self.kind.value)

    @property
    def file_name(self) -> str:
        """The file at the HTTP address."""
        return file_name(self.addresses[0])

    @property
    def due(self) -> datetime:
        """When the next CRL has to appear; unscheduled ones between don't put it off."""
        if self.last_scheduled is None:
            return self.authority.not_before
        return self.rules.every.value.after(self.last_scheduled.this_update)

    def is_open(self, now: datetime) -> bool:
        """Whether there will be further CRLs: the CA's certificate is valid, and not revoked."""
        return self.revocation is None and self.authority.not_before <= now <= self.authority.not_after


def crl_series(store: Store, policy: Policy, environment: EnvironmentName) -> tuple[CrlSeries, ...]:
    """All series of CRLs of this PKI, those of roots first; no token is needed."""
    return tuple(_series(store, policy, environment))


def _series(store: Store, policy: Policy, environment: EnvironmentName) -> Iterator[CrlSeries]:
    roots = store.authorities(kind=CertificateType.ROOT.value)
    sub_cas = store.authorities(kind=CertificateType.SUB_CA.value)
    revoked = store.revocations.among([one.serial for one in sub_cas])
    found = [
        *((root, CertificateType.ROOT, policy.crl.root) for root in roots),
        *((root, CertificateType.CRL_SIGNER, policy.crl.crl_signer) for root in roots),
        *((sub_ca, CertificateType.SUB_CA, policy.crl.sub_ca) for sub_ca in sub_cas),
    ]
    for authority, kind, rules in found:
        own_name = DistinguishedName.from_x509(load(authority).subject)
        name = crl_signer_name(own_name) if kind is CertificateType.CRL_SIGNER else own_name
        scope = CrlScope(authority.serial, kind.value)
        yield CrlSeries(
            kind=kind,
            authority=authority,
            name=name,
            addresses=crl_addresses(policy.environments[environment], name, own_name.serial_number or 0),
            rules=rules,
            newest=store.crls.newest(scope),
            last_scheduled=store.crls.newest(scope, scheduled=True),
            revocation=revoked.get(authority.serial),
        )
