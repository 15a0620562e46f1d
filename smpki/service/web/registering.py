"""The operator's desk: who may use the web service, with the first package, which comes out of band."""

from dataclasses import dataclass, replace

from smpki.ca.audited import audited
from smpki.ca.pki import Pki
from smpki.ca.store.records import StoredCertificate
from smpki.ca.triples import Order
from smpki.errors import PolicyError, ServiceError
from smpki.participant.exchange import Address
from smpki.policy.lint.classify import default_kind
from smpki.policy.model import CertificateType
from smpki.policy.names import CommonName, DistinguishedName
from smpki.requests.submission import read_submission
from smpki.service.web.store.registry import Registration, Registry


@dataclass(frozen=True)
class Applicant:
    """What the operator knows of a participant from its papers.

    :param organisation: the name before its role in the CN
    :param role: ``emt``, ``gwa`` or ``gwh``
    :param partner_id: the market partner's id, which is the OU of its names; ``None``: it has none
    :param contact: a mail address, for people
    :param callback_url: where its web service takes results; ``None``: it has none
    """

    organisation: str
    role: CertificateType
    partner_id: str | None
    contact: str
    callback_url: str | None = None


class RegistrationDesk:
    """Registers participants."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self._registry = pki.store.beside(Registry)

    def register(
        self, applicant: Applicant, package: bytes, sub_ca: str, name: str
    ) -> tuple[Registration, tuple[StoredCertificate, ...]]:
        """Grant a participant's first package and register it; the same once more changes nothing.

        :param sub_ca: CN of the Sub-CA that issues
        :param name: what the audit calls the package
        :return: the registration, and TLS, SIG and ENC certificates
        :raises ServiceError: ``service.registration.*``, ``web_service.url``
        :raises SmpkiError: the package is refused; nothing is registered then
        """
        with audited(self._pki.store, "register", applicant.organisation):
            subject = DistinguishedName.from_x509(read_submission(package).package.subject)
            _compare(applicant, subject)
        (outcome,) = self._pki.issue([Order(name, package, applicant.role)], sub_ca)
        if outcome.error is not None:
            raise outcome.error
        return self._registry.put(self._registration(applicant, subject)), outcome.certificates

    def register_sub_ca(self, common_name: str, contact: str, callback_url: str | None) -> Registration:
        """Register a Sub-CA that runs elsewhere, and has its certificates.

        :raises ServiceError: ``service.registration.unknown``, ``web_service.url``
        """
        with audited(self._pki.store, "register", common_name):
            if callback_url is not None:
                Address.parse(callback_url)
            kind = CertificateType.SUB_CA_TLS_ROOT
            page = self._pki.store.page(kind=kind.value, cn=f"{common_name}.TLS")
            if not page.certificates:
                message, hint = f"{common_name} was not certified here", "certify it first: smpki issue-sub-ca"
                raise ServiceError("service.registration.unknown", message, where=common_name, hint=hint)
        holder = page.certificates[-1]
        return self._registry.put(
            Registration(
                subject_key=holder.subject_key,
                role=kind.value,
                subject_cn=holder.subject_cn,
                organisation=CommonName.parse(common_name).stem,
                partner_id=None,
                contact=contact,
                callback_url=callback_url,
                registered_at=self._pki.clock(),
            )
        )

    def change(
        self,
        common_name: str,
        *,
        contact: str | None = None,
        callback_url: str | None = None,
        blocked: bool | None = None,
    ) -> Registration:
        """Change what is registered; ``None`` leaves it as it is, an empty URL removes it.

        :raises ServiceError: ``service.registration.unknown``, ``web_service.url``
        """
        with audited(self._pki.store, "register", common_name):
            if callback_url:
                Address.parse(callback_url)
            before = self._registry.named(common_name)
        changed = replace(
            before,
            contact=before.contact if contact is None else contact,
            callback_url=before.callback_url if callback_url is None else callback_url or None,
            blocked=before.blocked if blocked is None else blocked,
        )
        return self._registry.put(changed)

    def _registration(self, applicant: Applicant, subject: DistinguishedName) -> Registration:
        return Registration(
            subject_key=subject.key(),
            role=applicant.role.value,
            subject_cn=subject.common_name,
            organisation=applicant.organisation,
            partner_id=applicant.partner_id,
            contact=applicant.contact,
            callback_url=applicant.callback_url,
            registered_at=self._pki.clock(),
        )


def _compare(applicant: Applicant, subject: DistinguishedName) -> None:
    """See that the package is that of whom the papers are about."""
    if applicant.callback_url is not None:
        Address.parse(applicant.callback_url)
    try:
        stem = CommonName.parse(subject.common_name).stem
    except PolicyError as error:
        raise _other(f"its CN follows no name scheme: {error.message}", subject) from None
    kind = default_kind(subject.to_x509())
    if kind is not applicant.role:
        raise _other(f"it asks for certificates of a {kind}, not of a {applicant.role}", subject)
    if stem != applicant.organisation:
        raise _other(f"it is for {stem!r}, not for {applicant.organisation!r}", subject)
    if applicant.partner_id is not None and subject.get("OU") != applicant.partner_id:
        raise _other(f"its OU is {subject.get('OU')!r}, not {applicant.partner_id!r}", subject)


def _other(message: str, subject: DistinguishedName) -> ServiceError:
    hint = "compare the package with the papers, and ask who sent it"
    return ServiceError("service.registration.other", f"the package: {message}", where=str(subject), hint=hint)
