"""Sub-CAs: made, renewed, or certified for somebody who runs one elsewhere."""

import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.ca.authorities import Authorities
from smpki.ca.issuer import Issuer
from smpki.ca.making import Holder, Maker, contact_of, renamed, with_host
from smpki.ca.store.records import StoredCertificate
from smpki.errors import IssuingError
from smpki.policy.model import CertificateType
from smpki.policy.names import CommonName, DistinguishedName


@dataclass(frozen=True)
class SubCaOrder:
    """A Sub-CA to be made.

    :param organisation: the name before ``.CA``
    :param email: contact for its certificates' SubjectAltName; ``None``: that of the certificate before, or (test only)
        one below ``.example``
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
class SubCaKeys:
    """The public keys of a Sub-CA that keeps its private keys itself.

    :param ca: signs certificates and CRLs
    :param tls: for TLS towards the root
    """

    ca: ec.EllipticCurvePublicKey
    tls: ec.EllipticCurvePublicKey


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
        root, tls_signer, holder, tls_name = self._prepare(order)
        names = with_host(holder.contact)
        with self._maker.new_keys() as new:
            sub_ca, issuer = self._maker.below(new, root, holder)
            to_root, _ = self._maker.below(new, tls_signer, Holder(CertificateType.SUB_CA_TLS_ROOT, tls_name, names))
            to_users, _ = self._maker.below(new, issuer, Holder(CertificateType.SUB_CA_TLS, tls_name, names))
            return self._maker.issue("issue-sub-ca", holder.name.common_name, [sub_ca, to_root, to_users])

    def certify(self, order: SubCaOrder, keys: SubCaKeys) -> tuple[StoredCertificate, ...]:
        """Certify a Sub-CA that runs elsewhere, and its TLS key towards the root.

        :raises IssuingError: as :meth:`create`, and ``issuing.lint`` for keys on curves of another generation
        """
        root, tls_signer, holder, tls_name = self._prepare(order)
        tls = Holder(CertificateType.SUB_CA_TLS_ROOT, tls_name, with_host(holder.contact))
        permits = [self._maker.for_key(root, holder, keys.ca), self._maker.for_key(tls_signer, tls, keys.tls)]
        return self._maker.issue("issue-sub-ca", holder.name.common_name, permits)

    def _prepare(self, order: SubCaOrder) -> tuple[Issuer, Issuer, Holder, DistinguishedName]:
        common_name = str(CommonName(order.organisation, "CA"))
        before = self._before(common_name, renew=order.renew)
        root, tls_signer, now = self._authorities.root(), self._authorities.tls_signer(), self._maker.now()
        root.check_usable(now)
        tls_signer.check_usable(now)
        organization = self._maker.policy.environments[self._maker.environment].organization.value
        number = (before.dn_serial or 0) + 1 if before else 1
        name = DistinguishedName.of(CN=common_name, O=organization, C=order.country, serialNumber=str(number))
        contact = contact_of(*self._contact(order, before))
        holder = Holder(CertificateType.SUB_CA, name, contact, order.generation)
        return root, tls_signer, holder, renamed(name, f"{common_name}.TLS")

    def _before(self, common_name: str, *, renew: bool) -> StoredCertificate | None:
        """The Sub-CA's certificate before this one."""
        key = DistinguishedName.of(
            CN=common_name, O=self._maker.policy.environments[self._maker.environment].organization.value
        ).key()
        before = self._maker.store.latest(CertificateType.SUB_CA.value, key, "ca")
        taken = before is not None or self._maker.store.authorities(cn=common_name)
        if renew and before is None:
            hint = "leave --renew out to make it"
            raise IssuingError(
                "issuing.sub_ca.unknown", f"there is no Sub-CA {common_name}", where=common_name, hint=hint
            )
        if taken and not renew:
            hint = "see smpki ca list; its next generation is made with --renew"
            raise IssuingError("issuing.sub_ca.exists", f"there is a CA {common_name}", where=common_name, hint=hint)
        return before

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


def read_requests(pem: bytes, common_name: str) -> SubCaKeys:
    """The keys of a Sub-CA from two PKCS#10 requests (PEM): the CA's, then its TLS key's.

    The form of a Sub-CA's own request is not in the public texts, so the common one is taken (RFC 2986).

    :param common_name: the Sub-CA that must be asking, such as ``ORG.CA``
    :raises IssuingError: ``issuing.sub_ca.request``
    """
    wanted = (common_name, f"{common_name}.TLS")
    blocks = re.findall(rb"-----BEGIN CERTIFICATE REQUEST-----.+?-----END CERTIFICATE REQUEST-----", pem, re.DOTALL)
    if len(blocks) != len(wanted):
        raise _bad_request(f"there are {len(blocks)} requests, not two: the CA's and its TLS key's")
    ca, tls = (_read_request(block, name) for block, name in zip(blocks, wanted, strict=True))
    return SubCaKeys(ca, tls)


def _read_request(pem: bytes, common_name: str) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(pem)
        subject, key, holds = request.subject, request.public_key(), request.is_signature_valid
    except Exception:  # pyca: ValueError, UnsupportedAlgorithm and more
        raise _bad_request(f"the request for {common_name} can't be read") from None
    if not holds:
        raise _bad_request(f"the request for {common_name} is not signed by the key that it brings")
    if DistinguishedName.from_x509(subject).common_name != common_name:
        raise _bad_request(f"the request is for {subject.rfc4514_string()}, not for {common_name}")
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _bad_request(f"the request for {common_name} brings a key that is on no elliptic curve")
    return key


def _bad_request(message: str) -> IssuingError:
    hint = "let the Sub-CA make it: smpki sub-ca request"
    return IssuingError("issuing.sub_ca.request", message, where="request", hint=hint)


def _names(certificate: StoredCertificate) -> tuple[str, str]:
    names = x509.load_der_x509_certificate(certificate.der).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return (
        names.value.get_values_for_type(x509.RFC822Name)[0],
        names.value.get_values_for_type(x509.UniformResourceIdentifier)[0],
    )
