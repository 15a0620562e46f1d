"""Take certificates back: revoke (Sperrung), suspend (Suspendierung), resume; one row each and an audit entry.

A CRL shows it once it is issued; see :mod:`smpki.ca.crl`. Who asks makes no difference here: the operator's own acts
and those on behalf of an entitled party come by the same way, and the audit says on whose behalf.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.audited import audited
from smpki.ca.store.lists import Lists
from smpki.ca.store.records import AuditEntry, GrantedRequest, StoredCertificate, serial_text
from smpki.ca.store.revocations import Revocation, RevocationChange
from smpki.ca.store.store import Store
from smpki.errors import RevocationError, StoreError
from smpki.policy.model import CertificateType, Policy, Reason
from smpki.policy.reasons import read_reason

Which = str | bytes
"""A certificate: its serial number in hex, of which the first digits are enough, or itself, DER or PEM."""


@dataclass(frozen=True)
class TakenBack:
    """A certificate and what became of it.

    :param revocation: ``None``: it is in force again
    """

    certificate: StoredCertificate
    revocation: Revocation | None


_Against = Callable[[StoredCertificate, Revocation | None], RevocationError | None]


class RevocationDesk:
    """Where certificates are taken back.

    A triple goes together when one of its certificates is named, unless the caller or the policy says otherwise; what
    can't be done to the others, since it was done to them before, is left. All of a call happens or nothing.

    :param clock: the time now, timezone-aware
    """

    def __init__(self, policy: Policy, *, store: Store, clock: Callable[[], datetime]) -> None:
        self._rules = policy.revocation
        self._store = store
        self._clock = clock

    def change(
        self,
        which: Sequence[Which],
        reason: str,
        *,
        triple: bool | None = None,
        requested_by: str | None = None,
        request: GrantedRequest | None = None,
    ) -> tuple[TakenBack, ...]:
        """Revoke, suspend (``certificate_hold``) or resume (``remove_from_crl``), as the reason says.

        :raises RevocationError: as the method that does it
        """
        with audited(self._store, "revoke", _label(which)):
            known = read_reason(reason)
        if known == "certificate_hold":
            return self.suspend(which, triple=triple, requested_by=requested_by, request=request)
        if known == "remove_from_crl":
            return self.resume(which, triple=triple, requested_by=requested_by, request=request)
        return self.revoke(which, reason, triple=triple, requested_by=requested_by, request=request)

    def revoke(
        self,
        which: Sequence[Which],
        reason: str,
        *,
        triple: bool | None = None,
        requested_by: str | None = None,
        request: GrantedRequest | None = None,
    ) -> tuple[TakenBack, ...]:
        """Revoke for good. Of what is suspended the reason is replaced; the date stays that of the suspension (X.509).

        :param reason: a reason of RFC 5280, see :func:`smpki.policy.reasons.read_reason`
        :param triple: whether the rest of a triple goes along; ``None``: what the policy says
        :param requested_by: on whose behalf; ``None`` for the operator's own act
        :param request: the signed request that asks for it, which is remembered so that it is acted upon once
        :return: what was revoked
        :raises RevocationError: ``revocation.reason.*``; ``revocation.certificate.*`` (not ours, expired, a root);
            ``revocation.revoked``: it is revoked already
        :raises StoreError: ``store.serial.*``, or the database failed
        """
        with audited(self._store, "revoke", _label(which)), self._store.revocations.changing(request) as change:
            known = self._reason_to_revoke(reason)
            act = self._act(change, which, triple, _against_revoking)
            suspended = [one.serial for one in act.certificates if one.serial in act.states]
            change.revoke_suspended(suspended, known)
            change.add(Revocation.of(one, known, act.now) for one in act.certificates if one.serial not in act.states)
            return _done(change, "revoke", act.certificates, reason=known, requested_by=requested_by)

    def suspend(
        self,
        which: Sequence[Which],
        *,
        triple: bool | None = None,
        requested_by: str | None = None,
        request: GrantedRequest | None = None,
    ) -> tuple[TakenBack, ...]:
        """Suspend for the policy's longest duration; :meth:`settle` ends it if nobody does before.

        :raises RevocationError: as :meth:`revoke`; ``revocation.suspension.kind``: the policy suspends gateways only;
            ``revocation.suspended``: it is suspended already
        :raises StoreError: as :meth:`revoke`
        """
        with audited(self._store, "suspend", _label(which)), self._store.revocations.changing(request) as change:
            act = self._act(change, which, triple, self._against_suspending)
            until = self._rules.suspension_longest.value.after(act.now)
            change.add(Revocation.of(one, "certificate_hold", act.now, until) for one in act.certificates)
            return _done(change, "suspend", act.certificates, until=until.isoformat(), requested_by=requested_by)

    def resume(
        self,
        which: Sequence[Which],
        *,
        triple: bool | None = None,
        requested_by: str | None = None,
        request: GrantedRequest | None = None,
    ) -> tuple[TakenBack, ...]:
        """End a suspension: the certificates are in force again and leave the CRL.

        :raises RevocationError: as :meth:`revoke`; ``revocation.not_suspended``
        :raises StoreError: as :meth:`revoke`
        """
        with audited(self._store, "resume", _label(which)), self._store.revocations.changing(request) as change:
            act = self._act(change, which, triple, _against_resuming)
            change.remove(one.serial for one in act.certificates)
            return _done(change, "resume", act.certificates, requested_by=requested_by)

    def settle(self) -> tuple[TakenBack, ...]:
        """End the suspensions that have lasted as long as the policy lets them: revoke or resume, as it says.

        :return: what was settled
        :raises StoreError: the database failed
        """
        with self._store.revocations.changing() as change:
            overdue = change.overdue(self._clock())
            if not overdue:
                return ()
            serials = [one.serial for one in overdue]
            certificates = [change.get(serial) for serial in serials]
            if self._rules.suspension_ends_in.value == "resume":
                change.remove(serials)
                return _done(change, "resume", certificates, because="suspension over")
            change.revoke_suspended(serials, "unspecified")
            return _done(change, "revoke", certificates, reason="unspecified", because="suspension over")

    def _reason_to_revoke(self, text: str) -> Reason:
        reason = read_reason(text)
        if reason == "certificate_hold" or reason == "remove_from_crl":
            raise RevocationError(
                "revocation.reason.suspension",
                f"{reason} is about suspension, and revokes nothing",
                where="reason",
                hint="smpki suspend or smpki resume",
            )
        allowed = self._rules.reasons.value
        if reason not in allowed:
            raise RevocationError(
                "revocation.reason.not_allowed",
                f"the policy revokes nothing for {reason}",
                where="reason",
                hint=f"one of {', '.join(allowed)}",
            )
        return reason

    def _act(self, change: RevocationChange, which: Sequence[Which], triple: bool | None, against: _Against) -> "_Act":
        """What is to be done. The clock is read in here, where no one else can write any more (see ``Crls.begin``)."""
        now = self._clock()
        named = {one.serial: one for one in (_find(change, each) for each in which)}
        if self._rules.triple_together.value if triple is None else triple:
            together = [sibling for one in named.values() for sibling in _triple(change, one)]
        else:
            together = list(named.values())
        certificates = {one.serial: one for one in together}
        states = change.among(certificates)
        wanted = []
        for one in certificates.values():
            error = _against_any(one, now) or against(one, states.get(one.serial))
            if error is None:
                wanted.append(one)
            elif one.serial in named:
                raise error
        return _Act(now, wanted, states)

    def _against_suspending(self, one: StoredCertificate, state: Revocation | None) -> RevocationError | None:
        if state is not None and state.suspended_until is not None:
            message = f"it is suspended until {state.suspended_until:%Y-%m-%d}"
            return RevocationError("revocation.suspended", message, where=one.serial, hint="resume or revoke it")
        kinds = self._rules.suspension_types.value
        if one.kind not in kinds:
            return RevocationError(
                "revocation.suspension.kind",
                f"certificates of type {one.kind} are not suspended, only those of {', '.join(kinds)}",
                where=one.serial,
                hint="revoke it, if it must not be used",
            )
        return None if state is None else _revoked(state)


@dataclass(frozen=True)
class _Act:
    """What is to be done.

    :param states: what was revoked or suspended before
    """

    now: datetime
    certificates: Sequence[StoredCertificate]
    states: Mapping[str, Revocation]


def _find(store: Lists, which: Which) -> StoredCertificate:
    if isinstance(which, str):
        return store.find(which)
    certificate = _read(which)
    serial = serial_text(certificate.serial_number)
    try:
        found = store.get(serial)
    except StoreError as error:
        if error.code != "store.serial.unknown":
            raise
        found = None
    if found is None or found.der != certificate.public_bytes(Encoding.DER):
        raise RevocationError(
            "revocation.certificate.foreign",
            "this certificate was not issued here",
            where=serial,
            hint="ask the CA that its issuer names",
        )
    return found


def _read(data: bytes) -> x509.Certificate:
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except ValueError:
        raise RevocationError(
            "revocation.certificate.unreadable",
            "this is no certificate",
            hint="give a certificate in PEM or DER, or its serial number",
        ) from None


def _triple(store: Lists, one: StoredCertificate) -> Sequence[StoredCertificate]:
    """The certificates that were issued together with this one, for the same package."""
    return store.issued_for(one.request_digest) if one.request_digest else [one]


def _against_any(one: StoredCertificate, now: datetime) -> RevocationError | None:
    if one.kind == CertificateType.ROOT:
        return RevocationError(
            "revocation.certificate.root",
            "no CRL can revoke a root, which vouches for itself",
            where=one.serial,
            hint="tell those who trust it to remove it",
        )
    if one.not_after < now:
        return RevocationError(
            "revocation.certificate.expired",
            f"the certificate expired on {one.not_after:%Y-%m-%d}",
            where=one.serial,
            hint="nothing needs to be done: nobody accepts it any more",
        )
    return None


def _revoked(state: Revocation) -> RevocationError:
    message = f"it is revoked since {state.since:%Y-%m-%d} ({state.reason}), for good"
    return RevocationError("revocation.revoked", message, where=state.serial, hint="see smpki show")


def _against_revoking(one: StoredCertificate, state: Revocation | None) -> RevocationError | None:
    return None if state is None or state.suspended_until is not None else _revoked(state)


def _against_resuming(one: StoredCertificate, state: Revocation | None) -> RevocationError | None:
    if state is None:
        return RevocationError(
            "revocation.not_suspended", "it is not suspended", where=one.serial, hint="see smpki show"
        )
    return _revoked(state) if state.suspended_until is None else None


def _done(
    change: RevocationChange, action: str, certificates: Sequence[StoredCertificate], **detail: str | None
) -> tuple[TakenBack, ...]:
    """Add to the audit, an entry for each holder, and say how the certificates stand now."""
    change.record(list(_entries(action, certificates, detail)))
    states = change.among([one.serial for one in certificates])
    return tuple(TakenBack(one, states.get(one.serial)) for one in certificates)


def _entries(
    action: str, certificates: Sequence[StoredCertificate], detail: Mapping[str, str | None]
) -> Iterator[AuditEntry]:
    said = {key: value for key, value in detail.items() if value is not None}
    for holder in dict.fromkeys(one.subject_cn for one in certificates):
        serials = [one.serial for one in certificates if one.subject_cn == holder]
        yield AuditEntry(action=action, outcome="done", subject=holder, detail={"serials": serials, **said})


def _label(which: Sequence[Which]) -> str:
    """What a refusal is about, in the words of who asked."""
    return ", ".join(one if isinstance(one, str) else "a certificate" for one in which)[:200]
