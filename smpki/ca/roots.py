"""The root, and what stands beside it: CRL signer, TLS signer, TLS certificate; and the change to the next root."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from smpki.ca.authorities import Authorities
from smpki.ca.issuer import Issuer
from smpki.ca.making import Holder, Maker, contact_of, renamed, with_host
from smpki.ca.permit import Permit
from smpki.ca.profile import crl_signer_name
from smpki.ca.store.records import StoredCertificate
from smpki.errors import IssuingError
from smpki.policy.model import CertificateType, Environment
from smpki.policy.names import DistinguishedName


@dataclass(frozen=True)
class RootHolders:
    """A root and those beside it, each with a key of its own."""

    root: Holder
    crl_signer: Holder
    tls_signer: Holder
    tls: Holder

    @classmethod
    def of(cls, rules: Environment, number: int, generation: str | None) -> "RootHolders":
        """The holders of one generation of the root.

        :param rules: names and contact
        :param number: the root's DN serialNumber
        :param generation: of the keys; ``None``: what the policy says today
        """
        common_name = rules.root_common_name.value
        contact = contact_of(rules.contact_email.value, rules.contact_uri.value)
        name = DistinguishedName.of(
            CN=common_name, O=rules.organization.value, C=rules.country.value, serialNumber=str(number)
        )
        signer_name, tls_name = (renamed(name, f"{common_name}.{part}") for part in ("TLS-S", "TLS"))
        return cls(
            root=Holder(CertificateType.ROOT, name, contact, generation),
            crl_signer=Holder(CertificateType.CRL_SIGNER, crl_signer_name(name), contact, generation, number),
            tls_signer=Holder(CertificateType.TLS_SIGNER, signer_name, contact, generation),
            tls=Holder(CertificateType.ROOT_TLS, tls_name, with_host(contact)),
        )

    def __iter__(self) -> Iterator[Holder]:
        """All of them, in the order in which they are made."""
        return (getattr(self, field.name) for field in fields(self))


class Roots:
    """Makes roots."""

    def __init__(self, maker: Maker, authorities: Authorities) -> None:
        self._maker = maker
        self._authorities = authorities

    def create(self, generation: str | None = None) -> tuple[StoredCertificate, ...]:
        """Make the first root, its CRL signer, its TLS signer and its TLS certificate, together or not at all.

        :param generation: of the keys; ``None``: what the policy says today
        :raises IssuingError: ``issuing.root.exists`` when the PKI has a root, here or elsewhere
        :raises PolicyError: when no window is open, or the generation is not allowed now
        """
        if self._maker.store.of_kinds([CertificateType.ROOT]):
            name = self._maker.rules.root_common_name.value
            raise IssuingError("issuing.root.exists", f"there is a root {name}", where=name, hint="see smpki ca list")
        return self._make("init", RootHolders.of(self._maker.rules, 1, generation), None)

    def renew(self, generation: str | None = None) -> tuple[StoredCertificate, ...]:
        """Make the next root with a new key, the link certificate from the old one, and what stands beside it.

        The link certificate holds the new root's name and key and is signed by the old root's key: who trusts the old
        root comes to trust the new one through it, in this direction only. Old and new root live side by side.

        :param generation: of the new keys; ``None``: what the policy says today
        :return: new root, link certificate, CRL signer, TLS signer, TLS certificate
        :raises IssuingError: ``issuing.issuer.*`` when there is no root, or its key may not sign any more
        :raises PolicyError: as :meth:`create`
        """
        old = self._authorities.root()
        old.check_usable(self._maker.now())
        number = (old.name.serial_number or 0) + 1
        return self._make("root-renew", RootHolders.of(self._maker.rules, number, generation), old)

    def _make(self, action: str, holders: RootHolders, old: Issuer | None) -> tuple[StoredCertificate, ...]:
        with self._maker.new_keys() as new:
            root, issuer = self._maker.self_signed(new, holders.root)
            links = [self._link(old, holders.root, root)] if old else []
            crl_signer, _ = self._maker.below(new, issuer, holders.crl_signer)
            tls_signer, signer = self._maker.below(new, issuer, holders.tls_signer)
            tls, _ = self._maker.below(new, signer, holders.tls)
            return self._maker.issue(action, issuer.name.common_name, [root, *links, crl_signer, tls_signer, tls])

    def _link(self, old: Issuer, new_root: Holder, permit: Permit) -> Permit:
        link = Holder(CertificateType.LINK, new_root.name, new_root.contact, new_root.generation)
        return self._maker.for_key(old, link, permit.plan.public_key)
