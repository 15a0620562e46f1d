"""Sub-CAs: made, renewed, or certified for somebody who runs one elsewhere."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from cryptography import x509

from smpki.ca.authorities import Authorities
from smpki.ca.issuer import Issuer
from smpki.ca.making import Holder, Maker, contact_of, renamed, with_host
from smpki.ca.permit import key_hash
from smpki.ca.store.records import AuditEntry, StoredCertificate
from smpki.ca.sub_ca_requests import SubCaRequests, build_request
from smpki.errors import IssuingError
from smpki.policy.model import CertificateType
from smpki.policy.names import CommonName, DistinguishedName


@dataclass(frozen=True)
class SubCaOrder:
    """A Sub-CA to be made.

    :param organisation: the name before ``.CA``
    :param email: contact for its certificates' SubjectAltName; ``None``: that of the request, else of the certificate
        before, or (test only) one below ``.example``
    :param uri: likewise; its certificates name it as their certification practice statement
    :param generation: of its key; ``None``: what the policy says today
    :param renew: make the next generation of a Sub-CA that exists
    """

    organisation: str
    country: str = "DE"
    email: str | None = None
    uri: str | None = None
    generation: str | None = None
    renew: bool = False


@dataclass(frozen=True)
class SubCaHolders:
    """A Sub-CA and its two TLS certificates: towards the root, towards end users."""

    sub_ca: Holder
    tls_to_root: Holder
    tls: Holder

    @classmethod
    def of(
        cls, name: DistinguishedName, contact: x509.SubjectAlternativeName, generation: str | None = None
    ) -> "SubCaHolders":
        """The holders of one generation of a Sub-CA.

        :param name: the Sub-CA's, see :func:`sub_ca_name`
        :param generation: of its key; ``None``: what the policy says today
        """
        tls_name, tls_contact = renamed(name, f"{name.common_name}.TLS"), with_host(contact)
        return cls(
            sub_ca=Holder(CertificateType.SUB_CA, name, contact, generation),
            tls_to_root=Holder(CertificateType.SUB_CA_TLS_ROOT, tls_name, tls_contact),
            tls=Holder(CertificateType.SUB_CA_TLS, tls_name, tls_contact),
        )

    def __iter__(self) -> Iterator[Holder]:
        """All of them, in the order in which they are made."""
        return (getattr(self, field.name) for field in fields(self))


class SubCas:
    """Makes Sub-CAs below the newest root."""

    def __init__(self, maker: Maker, authorities: Authorities) -> None:
        self._maker = maker
        self._authorities = authorities

    def create(self, order: SubCaOrder) -> tuple[StoredCertificate, ...]:
        """Make a Sub-CA and its two TLS certificates (towards the root, towards end users), together or not at all.

        :raises IssuingError: ``issuing.sub_ca.exists``, ``.unknown`` (to be renewed), ``.contact``,
            ``issuing.issuer.*``
        :raises PolicyError: ``name.*`` for a name the scheme forbids, ``policy.*`` for its generation
        """
        holders = self._holders(order, self._before(order))
        root, tls_signer = self._above()
        with self._maker.new_keys() as new:
            sub_ca, issuer = self._maker.below(new, root, holders.sub_ca)
            to_root, _ = self._maker.below(new, tls_signer, holders.tls_to_root)
            to_users, _ = self._maker.below(new, issuer, holders.tls)
            return self._maker.issue("issue-sub-ca", issuer.name.common_name, [sub_ca, to_root, to_users])

    def certify(self, order: SubCaOrder, requests: SubCaRequests) -> tuple[StoredCertificate, ...]:
        """Certify a Sub-CA that runs elsewhere, and its TLS key towards the root.

        The same keys get the same certificates, as a package gets the same triple.

        :raises IssuingError: as :meth:`create`, and ``issuing.sub_ca.request`` for requests that ask for something else
        """
        common_name = _common_name(order)
        if known := self._certified(common_name, requests):
            return known
        email, uri = requests.ca.contact
        order = replace(order, email=order.email or email, uri=order.uri or uri)
        holders = self._holders(order, self._before(order))
        wanted = ((holders.sub_ca, requests.ca), (holders.tls_to_root, requests.tls))
        for holder, request in wanted:
            request.check(holder.name, self._maker.window(holder).curve)
        permits = [
            self._maker.for_key(issuer, holder, request.public_key)
            for issuer, (holder, request) in zip(self._above(), wanted, strict=True)
        ]
        return self._maker.issue("issue-sub-ca", common_name, permits)

    def request(self, order: SubCaOrder, number: int | None = None) -> bytes:
        """Make the keys of a Sub-CA whose root is elsewhere, and the requests for them; a second time: the same keys.

        :param number: the DN serialNumber that the root will give; ``None``: the next one
        :return: two PKCS#10 requests, see :func:`smpki.ca.sub_ca_requests.read_requests`
        :raises IssuingError: as :meth:`create`
        :raises PolicyError: likewise
        """
        holders = self._holders(order, self._before(order), number)
        wanted = (holders.sub_ca, holders.tls_to_root)
        with self._maker.new_keys() as new:
            windows = [self._maker.window(holder) for holder in wanted]
            keys = [self._maker.key(new, holder, window) for holder, window in zip(wanted, windows, strict=True)]
            requests = [
                build_request(holder.name, holder.contact, key, window.hash)
                for holder, key, window in zip(wanted, keys, windows, strict=True)
            ]
        common_name = holders.sub_ca.name.common_name
        detail = {"keys": [key_hash(key.public_key()) for key in keys], "name": str(holders.sub_ca.name)}
        self._maker.store.record(
            AuditEntry(action="sub-ca-request", outcome="done", subject=common_name, detail=detail)
        )
        return b"".join(requests)

    def _above(self) -> tuple[Issuer, Issuer]:
        """Root and TLS signer, both fit to sign."""
        issuers = self._authorities.root(), self._authorities.tls_signer()
        for issuer in issuers:
            issuer.check_usable(self._maker.now())
        return issuers

    def _holders(self, order: SubCaOrder, before: StoredCertificate | None, number: int | None = None) -> SubCaHolders:
        number = number or (before.dn_serial or 0 if before else 0) + 1
        name = sub_ca_name(order, self._organization, number)
        return SubCaHolders.of(name, contact_of(*self._contact(order, before)), order.generation)

    @property
    def _organization(self) -> str:
        return self._maker.rules.organization.value

    def _before(self, order: SubCaOrder) -> StoredCertificate | None:
        """The Sub-CA's certificate before this one."""
        common_name = _common_name(order)
        key = DistinguishedName.of(CN=common_name, O=self._organization).key()
        before = self._maker.store.latest(CertificateType.SUB_CA.value, key, "ca")
        taken = before is not None or self._maker.store.authorities(cn=common_name)
        if order.renew and before is None:
            hint = "leave --renew out to make it"
            raise IssuingError(
                "issuing.sub_ca.unknown", f"there is no Sub-CA {common_name}", where=common_name, hint=hint
            )
        if taken and not order.renew:
            hint = "see smpki ca list; its next generation is made with --renew"
            raise IssuingError("issuing.sub_ca.exists", f"there is a CA {common_name}", where=common_name, hint=hint)
        return before

    def _certified(self, common_name: str, requests: SubCaRequests) -> tuple[StoredCertificate, ...]:
        """The certificates that were issued for these keys."""
        kinds = (CertificateType.SUB_CA, CertificateType.SUB_CA_TLS_ROOT)
        hashes = {key_hash(requests.ca.public_key), key_hash(requests.tls.public_key)}
        found = tuple(
            one
            for one in self._maker.store.of_kinds(kinds)
            if one.key_hash in hashes and one.subject_cn in (common_name, f"{common_name}.TLS")
        )
        return found if len(found) == len(kinds) else ()

    def _contact(self, order: SubCaOrder, before: StoredCertificate | None) -> tuple[str, str]:
        email, uri = order.email, order.uri
        if before is not None:
            known = _names(before)
            email, uri = email or known[0], uri or known[1]
        if self._maker.environment == "production" and not (email and uri):
            raise IssuingError(
                "issuing.sub_ca.contact",
                "a Sub-CA's certificate names its mail address and URI",
                where=order.organisation,
                hint="give --email and --uri",
            )
        host = re.sub("[^a-z0-9]+", "-", order.organisation.lower()).strip("-") or "sub-ca"
        return email or f"ca@{host}.example", uri or f"https://{host}.example/"


def sub_ca_name(order: SubCaOrder, organization: str, number: int) -> DistinguishedName:
    """The name that a Sub-CA is going to have.

    :param organization: the PKI's O
    :param number: its DN serialNumber
    :raises PolicyError: ``name.*``
    """
    return DistinguishedName.of(CN=_common_name(order), O=organization, C=order.country, serialNumber=str(number))


def _common_name(order: SubCaOrder) -> str:
    return str(CommonName(order.organisation, "CA"))


def _names(certificate: StoredCertificate) -> tuple[str, str]:
    names = x509.load_der_x509_certificate(certificate.der).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return (
        names.value.get_values_for_type(x509.RFC822Name)[0],
        names.value.get_values_for_type(x509.UniformResourceIdentifier)[0],
    )
