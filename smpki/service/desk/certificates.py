"""Certificates as people and scripts see them: theirs, how they stand, what ends; and revocation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from smpki.ca.audited import audited
from smpki.ca.chain import chain_above
from smpki.ca.pki import Pki
from smpki.ca.processing import Processed
from smpki.ca.revocation import TakenBack
from smpki.ca.store.records import ListedCertificate, StoredCertificate
from smpki.ca.store.revocations import Revocation
from smpki.errors import ServiceError, StoreError
from smpki.policy.model import END_USERS, CertificateType
from smpki.policy.names import CommonName
from smpki.policy.reasons import read_reason
from smpki.requests.any_request import read_request as read_signed_request
from smpki.service.accounts.actor import Actor, Role
from smpki.service.desk.access import require, unknown
from smpki.service.desk.packages import Packages
from smpki.service.desk.store.decisions import Decisions
from smpki.service.desk.store.reading import Reading
from smpki.service.desk.store.submissions import Submissions
from smpki.service.web.entitlement import check_signed

AUTHORITIES = tuple(kind for kind in CertificateType if kind not in END_USERS)
"""Certificates of CAs, which everybody may see."""


@dataclass(frozen=True)
class Standing:
    """A certificate and how it stands.

    :param revocation: ``None``: neither revoked nor suspended
    """

    certificate: ListedCertificate
    revocation: Revocation | None


@dataclass(frozen=True)
class RevocationResult:
    """What became of a wish to revoke.

    :param taken_back: what was revoked, suspended or resumed; empty where a second operator has to agree
    """

    taken_back: tuple[TakenBack, ...]

    @property
    def waits(self) -> bool:
        """Whether a second operator has to agree."""
        return not self.taken_back


class Certificates:
    """The certificates, as far as somebody may see them."""

    def __init__(self, pki: Pki, packages: Packages) -> None:
        self._pki = pki
        self._packages = packages
        self._submissions = pki.store.beside(Submissions)
        self._decisions = pki.store.beside(Decisions)
        self._reading = pki.store.beside(Reading)

    def page(
        self,
        actor: Actor,
        *,
        after: str | None = None,
        limit: int = 100,
        kind: CertificateType | None = None,
        common_name: str | None = None,
    ) -> Sequence[Standing]:
        """Certificates in the order in which they were issued: a participant's own, for others all.

        What a participant got for its gateways is with its packages.

        :param after: serial number of the last one of the page before
        :raises ServiceError: ``service.desk.unknown``: there is no certificate of this serial number for ``after``
        """
        if actor.role is Role.PARTICIPANT:
            if common_name not in (None, actor.common_name):
                return ()
            common_name = actor.common_name
        if after is not None:
            self.get(actor, after)
        chosen = kind.value if kind else None
        page = self._pki.store.page(after=after, limit=limit, kind=chosen, cn=common_name)
        return self._standings([one for one in page.certificates if _may_list(actor, one)])

    def newest(self, actor: Actor, limit: int) -> Sequence[Standing]:
        """A participant's own certificates, the last one to be issued first; nothing for others."""
        if actor.common_name is None or actor.subject_key is None:
            return ()
        return self._standings(self._reading.newest(actor.common_name, actor.subject_key, limit))

    def get(self, actor: Actor, serial: str) -> StoredCertificate:
        """A certificate by its whole serial number.

        :raises ServiceError: ``service.desk.unknown``
        """
        try:
            found = self._pki.store.get(serial)
        except StoreError as error:
            if error.code != "store.serial.unknown":
                raise
            raise unknown(serial) from None
        if not self._is_seen(actor, found):
            raise unknown(serial)
        return found

    def standing(self, actor: Actor, serial: str) -> Standing:
        """A certificate and how it stands; see :meth:`get`."""
        (found,) = self._standings([self.get(actor, serial)])
        return found

    def triple(self, actor: Actor, serial: str) -> tuple[StoredCertificate, ...]:
        """The certificates that were issued together with one, itself included: TLS, SIG, ENC."""
        one = self.get(actor, serial)
        return self._pki.store.issued_for(one.request_digest) if one.request_digest else (one,)

    def chain(self, actor: Actor, serial: str) -> tuple[StoredCertificate, ...]:
        """The CAs above a certificate, from the root down to its issuer."""
        return chain_above(self._pki.store, self.get(actor, serial))

    def ending(
        self, actor: Actor, until: datetime, *, after: str | None = None, limit: int = 100
    ) -> Sequence[ListedCertificate]:
        """Certificates that are valid now and end before a moment, the first one to end first.

        :param after: serial number of the last one of the page before
        :raises ServiceError: ``service.desk.unknown``: there is no certificate of this serial number for ``after``
        """
        last = self.get(actor, after) if after is not None else None
        now = self._pki.clock()
        if actor.role is not Role.PARTICIPANT:
            return self._reading.ending(now, until, after, limit)
        if actor.subject_key is None or actor.common_name is None:
            return ()
        kind = CommonName.parse(actor.common_name).scheme.lower()
        held = [one for one in self._pki.store.held(kind, actor.subject_key, now) if one.not_after < until]
        held.sort(key=_end)
        # by key, since the last one may have been taken back in between
        return [one for one in held if last is None or _end(one) > _end(last)][:limit]

    def revoke(self, actor: Actor, serial: str, reason: str) -> RevocationResult:
        """Revoke, suspend (``certificate_hold``) or resume (``remove_from_crl``) a certificate, and its triple.

        Who has a triple may do so without a signed request, since the account is the participant's; gateways' are
        taken back by whom the policy entitles. For some types it takes two operators, who give the same reason.

        :raises ServiceError: ``service.desk.unknown``, ``.forbidden``, ``.second_operator``
        :raises RevocationError: ``revocation.*``
        """
        require(actor, Role.PARTICIPANT, Role.OPERATOR)
        one = self.get(actor, serial)
        kind = CertificateType(one.kind)
        with audited(self._pki.store, "revoke", serial):
            known = read_reason(reason)
            if actor.role is Role.PARTICIPANT and not self._is_entitled(actor, one):
                message, hint = "this participant may not take this certificate back", "see smpki policy show"
                raise ServiceError("service.desk.forbidden", message, where=serial, hint=hint)
            if kind in self._pki.policy.dual_control.revocation.value and not self._decisions.agree(
                "revoke", f"{serial} {known}", actor
            ):
                return RevocationResult(())
        return RevocationResult(self._pki.revocations.change([serial], reason, requested_by=actor.who))

    def process(self, actor: Actor, signed: bytes) -> Processed:
        """Act on a signed revocation request, or UpdateDeviceAdmin, that the participant signed itself.

        :raises ServiceError: ``service.desk.forbidden``, ``service.unauthorised.signer``
        :raises SmpkiError: it is refused
        """
        require(actor, Role.PARTICIPANT)
        with audited(self._pki.store, "process", f"service: {actor.who}"):
            check_signed(read_signed_request(signed), self._packages.sender(actor))
        return self._pki.process(signed, f"service: {actor.who}")

    def authorities(self) -> Sequence[Standing]:
        """The certificates of all CAs, in the order in which they were stored; everybody may see them."""
        return self._standings(self._pki.store.of_kinds(AUTHORITIES))

    def _standings(self, found: Sequence[ListedCertificate]) -> list[Standing]:
        states = self._pki.store.revocations.among([one.serial for one in found])
        return [Standing(one, states.get(one.serial)) for one in found]

    def _is_seen(self, actor: Actor, one: StoredCertificate) -> bool:
        if actor.role is not Role.PARTICIPANT or CertificateType(one.kind) not in END_USERS:
            return True
        return one.subject_key == actor.subject_key or self._is_its_gateway(actor, one)

    def _is_its_gateway(self, actor: Actor, one: StoredCertificate) -> bool:
        """Whether a participant handed the package in, or is the administrator in charge."""
        if actor.subject_key is None or not CertificateType(one.kind).is_gateway:
            return False
        if one.request_digest and self._submissions.find(actor.subject_key, one.request_digest) is not None:
            return True
        return self._pki.store.administrator(one.subject_key) == actor.common_name

    def _is_entitled(self, actor: Actor, one: StoredCertificate) -> bool:
        rule = self._pki.policy.revocation.entitled.get(CertificateType(one.kind))
        if rule is None or actor.subject_key is None or actor.common_name is None:
            return False
        in_charge = self._pki.store.administrator(one.subject_key) == actor.common_name
        made = one.request_digest and self._submissions.find(actor.subject_key, one.request_digest) is not None
        tests = {
            "holder": one.subject_key == actor.subject_key,
            "gwa": CertificateType(one.kind).is_gateway and in_charge,
            "gwh": bool(made) and CommonName.parse(actor.common_name).scheme == "GWH",
        }
        return any(tests[who] for who in rule.value)


def _end(one: ListedCertificate) -> tuple[datetime, str]:
    return one.not_after, one.serial


def _may_list(actor: Actor, one: ListedCertificate) -> bool:
    return actor.role is not Role.PARTICIPANT or one.subject_key == actor.subject_key
