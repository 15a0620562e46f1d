"""The root, and what stands beside it: CRL signer, TLS signer, TLS certificate; and the change to the next root."""

from smpki.ca.authorities import Authorities
from smpki.ca.issuer import Issuer
from smpki.ca.making import Holder, Maker, contact_of, renamed, with_host
from smpki.ca.permit import Permit
from smpki.ca.profile import crl_signer_name
from smpki.ca.store.records import StoredCertificate
from smpki.errors import IssuingError
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName


class Roots:
    """Makes roots."""

    def __init__(self, maker: Maker, authorities: Authorities) -> None:
        self._maker = maker
        self._authorities = authorities

    def create(self, generation: str | None = None) -> tuple[StoredCertificate, ...]:
        """Make the first root, its CRL signer, its TLS signer and its TLS certificate, together or not at all.

        :param generation: of the keys; ``None``: what the policy says today
        :raises IssuingError: ``issuing.root.exists`` when the PKI has a root
        :raises PolicyError: when no window is open, or the generation is not allowed now
        """
        rules = self._maker.policy.environments[self._maker.environment]
        common_name = rules.root_common_name.value
        if self._maker.store.authorities(kind=CertificateType.ROOT.value):
            raise IssuingError(
                "issuing.root.exists", f"there is a root {common_name}", where=common_name, hint="see smpki ca list"
            )
        name = DistinguishedName.of(CN=common_name, O=rules.organization.value, C=rules.country.value, serialNumber="1")
        return self._make("init", name, generation, None)

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
        name = old.name.with_serial_number((old.name.serial_number or 0) + 1)
        return self._make("root-renew", name, generation, old)

    def _make(
        self, action: str, name: DistinguishedName, generation: str | None, old: Issuer | None
    ) -> tuple[StoredCertificate, ...]:
        rules = self._maker.policy.environments[self._maker.environment]
        contact = contact_of(rules.contact_email.value, rules.contact_uri.value)
        number = name.serial_number or 1
        signer_name, tls_name = (renamed(name, f"{name.common_name}.{part}") for part in ("TLS-S", "TLS"))
        with self._maker.new_keys() as new:
            holder = Holder(CertificateType.ROOT, name, contact, generation)
            root, issuer = self._maker.self_signed(new, holder)
            links = [self._link(old, holder, root)] if old else []
            crl_signer, _ = self._maker.below(
                new,
                issuer,
                Holder(CertificateType.CRL_SIGNER, crl_signer_name(name), contact, generation, number),
            )
            tls_signer, signer = self._maker.below(
                new, issuer, Holder(CertificateType.TLS_SIGNER, signer_name, contact, generation)
            )
            tls, _ = self._maker.below(new, signer, Holder(CertificateType.ROOT_TLS, tls_name, with_host(contact)))
            return self._maker.issue(action, name.common_name, [root, *links, crl_signer, tls_signer, tls])

    def _link(self, old: Issuer, new_root: Holder, permit: Permit) -> Permit:
        link = Holder(CertificateType.LINK, new_root.name, new_root.contact, new_root.generation)
        return self._maker.for_key(old, link, permit.plan.public_key)
