"""Registration: somebody applies, operators decide, and the applicant becomes an account's owner."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from smpki.ca.audited import audited
from smpki.ca.pki import Pki
from smpki.errors import ServiceError
from smpki.participant.exchange import Address
from smpki.policy.model import CertificateType
from smpki.policy.names import CommonName, DistinguishedName
from smpki.service.accounts.actor import Actor, Role
from smpki.service.accounts.secret import Random, digest_of, new_secret
from smpki.service.desk.access import require, unknown
from smpki.service.desk.store.applications import Application, Applications, ApplicationState, NewApplication

ROLES = (CertificateType.EMT, CertificateType.GWA, CertificateType.GWH)
"""Who may register."""

_PARTNER_ID = re.compile("[0-9]{13}")
_CONTACT = re.compile(r"[^@\s<>\"',;:\\]{1,64}@[A-Za-z0-9.-]{1,189}")
_LONGEST_URL = 500


@dataclass(frozen=True)
class Form:
    """What an applicant fills in.

    :param organisation: the name before its role in the CN
    :param role: ``emt``, ``gwa`` or ``gwh``
    :param contact: a mail address, for people
    :param partner_id: the market partner's id of 13 digits, which becomes the OU of its names
    :param extension: behind its role in the CN, such as ``MAK`` in ``Company.EMT.MAK``
    :param callback_url: where its web service takes results
    """

    organisation: str
    role: CertificateType
    contact: str
    partner_id: str | None = None
    extension: str | None = None
    callback_url: str | None = None


class Registrations:
    """Where participants register.

    :param invitation: how long an applicant has, from the approval on, to become the account's owner
    :param random: gives that many random octets
    """

    def __init__(self, pki: Pki, invitation: timedelta, random: Random) -> None:
        self._pki = pki
        self._invitation = invitation
        self._random = random
        self._store = pki.store.beside(Applications)

    def apply(self, form: Form) -> tuple[Application, str]:
        """Apply, as anybody may.

        :return: the application, and the claim: a secret told this once, which is the applicant's invitation as soon
            as an operator has approved
        :raises ServiceError: ``service.desk.form.*``, ``web_service.url``, ``service.desk.application.many``
        :raises PolicyError: ``name.*``: there can be no such name
        """
        name = self._check(form)
        application = NewApplication(
            organisation=form.organisation,
            role=form.role.value,
            subject_key=name.key(),
            common_name=name.common_name,
            partner_id=form.partner_id,
            contact=form.contact,
            callback_url=form.callback_url,
        )
        claim = new_secret("invitation", self._random)
        return self._store.put(application, digest_of(claim)), claim

    def claimed(self, claim: str) -> Application:
        """How an application stands, for who has its claim.

        :raises ServiceError: ``service.desk.unknown``
        """
        return self._store.claimed(digest_of(claim))

    def explain(self, claim: str) -> None:
        """Say why a claim is no invitation, where it is one of an application that was not approved.

        :raises ServiceError: ``service.desk.application.waiting``, ``.refused``
        """
        try:
            found = self.claimed(claim)
        except ServiceError:
            return
        if found.state is ApplicationState.APPLIED:
            message, hint = "an operator has to approve of the registration first", "come back with the same claim"
            raise ServiceError("service.desk.application.waiting", message, hint=hint)
        if found.state is ApplicationState.REFUSED:
            message, hint = f"the registration was refused: {found.remark}", "apply again"
            raise ServiceError("service.desk.application.refused", message, hint=hint)

    def get(self, actor: Actor, number: int) -> Application:
        """An application.

        :raises ServiceError: ``service.desk.unknown``
        """
        found = self._store.get(number)
        if actor.role is Role.PARTICIPANT and not _is_own(actor, found):
            raise unknown(number)
        return found

    def page(
        self, actor: Actor, *, state: ApplicationState | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Application]:
        """The applications that somebody may see, in the order in which they came; see :meth:`get`."""
        if actor.role is not Role.PARTICIPANT:
            return self._store.page(state=state, after=after, limit=limit)
        own = ApplicationState.APPROVED
        if state not in (None, own):
            return ()
        return self._store.page(subject_key=actor.subject_key, state=own, after=after, limit=limit)

    def approve(self, actor: Actor, number: int) -> Application:
        """An operator approves; nothing is issued by that. Where the policy wants two, it stays applied at first.

        :raises ServiceError: ``service.desk.forbidden``, ``.unknown``, ``.decided``, ``.second_operator``,
            ``.application.taken``
        """
        require(actor, Role.OPERATOR)
        with audited(self._pki.store, "register", f"application {number}"):
            two = self._store.get(number).role in self._pki.policy.dual_control.registration.value
            return self._store.approve(number, actor, two=two, invitation=self._invitation)

    def refuse(self, actor: Actor, number: int, remark: str) -> Application:
        """An operator refuses.

        :param remark: what the applicant is told
        :raises ServiceError: ``service.desk.forbidden``, ``.unknown``, ``.decided``
        """
        require(actor, Role.OPERATOR)
        with audited(self._pki.store, "refuse-registration", f"application {number}"):
            return self._store.refuse(number, actor, remark)

    def _check(self, form: Form) -> DistinguishedName:
        if form.role not in ROLES:
            raise _wrong("role", f"a {form.role} does not register", f"one of {', '.join(ROLES)}")
        if form.partner_id is not None and not _PARTNER_ID.fullmatch(form.partner_id):
            raise _wrong("partner_id", "this is no market partner id", "it has 13 digits")
        if not _CONTACT.fullmatch(form.contact):
            raise _wrong("contact", "this is no mail address", "such as post@firma.example")
        if form.callback_url is not None:
            if len(form.callback_url) > _LONGEST_URL:
                raise _wrong("callback_url", "the address is too long", f"up to {_LONGEST_URL} characters")
            Address.parse(form.callback_url)
        common_name = str(CommonName(form.organisation, form.role.name, form.extension))
        longest = self._pki.policy.names.attribute_max_length.value
        if not common_name.isprintable() or len(common_name) > longest:
            message = "the name has characters that are not printed, or too many"
            raise _wrong("organisation", message, f"the CN, {form.role.name} included, has up to {longest} characters")
        organization = self._pki.policy.environments[self._pki.environment].organization.value
        name = DistinguishedName.of(CN=common_name, O=organization)
        name.to_x509()  # what X.520 forbids is said now
        return name


def _is_own(actor: Actor, one: Application) -> bool:
    """Anybody may apply under a participant's name: its own application is the one that was approved."""
    return one.subject_key == actor.subject_key and one.state is ApplicationState.APPROVED


def _wrong(field: str, message: str, hint: str) -> ServiceError:
    return ServiceError(f"service.desk.form.{field}", message, where=field, hint=hint)
