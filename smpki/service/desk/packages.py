"""Request packages by people and scripts: what the lint says, granted at once or held for an operator, what came of
them."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from smpki.ca.audited import audited
from smpki.ca.pki import Pki
from smpki.ca.store.records import StoredCertificate
from smpki.ca.triples import Order
from smpki.errors import ServiceError
from smpki.policy.model import CertificateType
from smpki.policy.names import CommonName, DistinguishedName
from smpki.requests.check import Checked, check
from smpki.requests.submission import Submission, read_submission
from smpki.service.accounts.actor import Actor, Role
from smpki.service.desk.access import decided, require, sees, unknown
from smpki.service.desk.store.submissions import NewSubmitted, Submissions, SubmissionState, Submitted
from smpki.service.web.entitlement import check_package
from smpki.service.web.granting import IN_PROGRESS, PAUSES
from smpki.service.web.senders import Sender
from smpki.service.web.store.registry import Registry


@dataclass(frozen=True)
class Result:
    """A package and what came of it.

    :param certificates: TLS, SIG, ENC; empty unless issued
    """

    submitted: Submitted
    certificates: tuple[StoredCertificate, ...] = ()


class Packages:
    """Where participants hand in packages, first ones and renewals alike.

    :param sub_ca: CN of the Sub-CA that issues
    :param wait: waits so many seconds, while another issues to the same subject
    """

    def __init__(self, pki: Pki, sub_ca: str, wait: Callable[[float], None] = time.sleep) -> None:
        self._pki = pki
        self._wait = wait
        self._turn = threading.Lock()
        self._sub_ca = sub_ca
        self._store = pki.store.beside(Submissions)
        self._registry = pki.store.beside(Registry)

    def check(self, package: bytes) -> tuple[Checked, ...]:
        """What the lint says of a package, a certificate or a CRL; nothing is kept, and nobody asked for anything.

        :raises RequestError: it can't be read
        """
        return check(package, self._pki.policy)

    def submit(self, actor: Actor, package: bytes) -> Result:
        """Hand in a package: granted at once, or held for an operator where the policy says so. The same package again
        gets the same result.

        :raises ServiceError: ``service.desk.forbidden``, ``service.unauthorised.*``, ``service.not_accepted.blocked``
        :raises SmpkiError: the package is refused
        """
        require(actor, Role.PARTICIPANT)
        sender = self.sender(actor)
        with audited(self._pki.store, "issue", _name(actor)):
            if sender.registration is not None and sender.registration.blocked:
                message, hint = "the participant is registered, but blocked", "ask the operator"
                raise ServiceError("service.not_accepted.blocked", message, hint=hint)
            submission = read_submission(package)
            kind = check_package(submission, None, sender)
            _check_partner_id(submission, sender)
        digest = submission.digest.hex()
        known = self._store.find(sender.key, digest)
        if known is not None:
            return self._result(known)
        granted = bool(self._pki.store.issued_for(digest))
        state = SubmissionState.HELD
        if granted or kind not in self._pki.policy.issuing.manual_approval.value:
            with self._turn:  # what comes twice at once is granted once, and the second finds it
                self._issue(package, kind, _name(actor))
            state = SubmissionState.ISSUED
        return self._result(self._store.put(self._submitted(submission, sender, kind, state), package, actor))

    def get(self, actor: Actor, number: int) -> Result:
        """A package and what came of it.

        :raises ServiceError: ``service.desk.unknown``
        """
        found = self._store.get(number)
        if not sees(actor, found.subject_key):
            raise unknown(number)
        return self._result(found)

    def page(
        self, actor: Actor, *, state: SubmissionState | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Submitted]:
        """The packages that somebody may see, in the order in which they came."""
        mine = actor.subject_key if actor.role is Role.PARTICIPANT else None
        return self._store.page(subject_key=mine, state=state, after=after, limit=limit)

    def approve(self, actor: Actor, number: int) -> Result:
        """An operator approves of a held package: it is granted now. Where a rule speaks against it, it stays held.

        :raises ServiceError: ``service.desk.forbidden``, ``.unknown``, ``.decided``
        :raises SmpkiError: it can't be granted
        """
        require(actor, Role.OPERATOR)
        with self._turn:
            one = self._store.get(number)
            if one.state is not SubmissionState.HELD:
                raise decided(number, one.state)
            self._issue(self._store.package(number), CertificateType(one.certificate_type), _name(actor))
            return self._result(self._store.settle(number, SubmissionState.ISSUED, actor))

    def refuse(self, actor: Actor, number: int, remark: str) -> Result:
        """An operator refuses a held package.

        :param remark: what the participant is told
        :raises ServiceError: ``service.desk.forbidden``, ``.unknown``, ``.decided``
        """
        require(actor, Role.OPERATOR)
        with self._turn:  # not while another operator's approval is carried out
            return self._result(self._store.settle(number, SubmissionState.REFUSED, actor, remark))

    def sender(self, actor: Actor) -> Sender:
        """A participant as the web service knows its senders."""
        if actor.common_name is None:
            raise ValueError("only participants are senders")
        organization = self._pki.policy.environments[self._pki.environment].organization.value
        name = DistinguishedName.of(CN=actor.common_name, O=organization)
        kind = CertificateType(CommonName.parse(actor.common_name).scheme.lower())
        return Sender(name, kind, self._registry.find(name.key(), kind.value))

    def _issue(self, package: bytes, kind: CertificateType, name: str) -> None:
        order = Order(name, package, kind)
        (outcome,) = self._pki.issue([order], self._sub_ca)
        for pause in PAUSES:
            if outcome.error is None or outcome.error.code not in IN_PROGRESS:
                break
            self._pki.store.recover()  # the other process may be dead
            self._wait(pause)
            (outcome,) = self._pki.issue([order], self._sub_ca)
        if outcome.error is not None:
            raise outcome.error

    def _submitted(
        self, submission: Submission, sender: Sender, kind: CertificateType, state: SubmissionState
    ) -> NewSubmitted:
        return NewSubmitted(
            subject_key=sender.key,
            common_name=sender.name.common_name,
            digest=submission.digest.hex(),
            kind=submission.kind,
            certificate_type=kind.value,
            holder=DistinguishedName.from_x509(submission.package.subject).common_name,
            authority=self._sub_ca,
            state=state,
        )

    def _result(self, one: Submitted) -> Result:
        if one.state is not SubmissionState.ISSUED:
            return Result(one)
        return Result(one, self._pki.store.issued_for(one.digest))


def _check_partner_id(submission: Submission, sender: Sender) -> None:
    """See that a participant names itself by the market partner's id that it is registered with.

    :raises ServiceError: ``service.registration.other``
    """
    subject = DistinguishedName.from_x509(submission.package.subject)
    registered = sender.registration.partner_id if sender.registration else None
    if registered is not None and subject.key() == sender.key and subject.get("OU") != registered:
        message = f"the package's OU is {subject.get('OU')!r}, but you are registered as {registered!r}"
        hint = "make a package with this OU, or ask the operator to register another id"
        raise ServiceError("service.registration.other", message, where="subject", hint=hint)


def _name(actor: Actor) -> str:
    """What the audit calls the package."""
    return f"service: {actor.who}"
