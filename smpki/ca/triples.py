"""Issue the triples of end users: package in, TLS, SIG and ENC certificates out, whole or not at all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from cryptography import x509

from smpki.ca.examiner import Examined, Examiner
from smpki.ca.issuer import Issuer
from smpki.ca.permit import Permit, Preparer
from smpki.ca.profile import Plan
from smpki.ca.serials import SerialNumbers
from smpki.ca.store.records import AuditEntry, GrantedRequest, Issued, Participant, Standing, StoredCertificate
from smpki.ca.store.store import Store, StoreView
from smpki.ca.unit import Unit, issue_units
from smpki.errors import IssuingError, RequestError, SmpkiError, TokenError
from smpki.policy.decide import key_use_end, validity
from smpki.policy.model import CertificateType, EnvironmentName, Policy
from smpki.policy.names import DistinguishedName
from smpki.requests.model import CertificateRequest, RequestPackage
from smpki.requests.submission import Submission, read_submission, verify_submission

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Order:
    """A package on the counter.

    :param name: what to call it in reports: a file, a line
    :param data: the package as it came: BER, DER, PEM or base64
    :param role: the certificate type to issue; ``None``: what the subject's CN says
    :param again: issue the next number though the subject has a valid triple
    :param fault: why there is no package, where a list promised one; such an order is refused
    """

    name: str
    data: bytes
    role: CertificateType | None = None
    again: bool = False
    fault: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a package.

    :param state: ``issued`` now, ``known``: the same package was granted before, these are its certificates, or
        ``refused``
    :param certificates: TLS, SIG, ENC; empty when refused
    :param error: why it was refused
    """

    name: str
    state: Literal["issued", "known", "refused"]
    certificates: tuple[StoredCertificate, ...] = ()
    error: SmpkiError | None = None


@dataclass(frozen=True)
class _Grant:
    """A package that may be granted, all but recorded and signed."""

    order: Order
    examined: Examined
    unit: Unit


class TripleDesk:
    """The counter of one Sub-CA, where end users' packages are granted.

    :param issuer: the Sub-CA
    :param store: remembers intents, certificates and the audit chain
    :param serials: gives fresh serial numbers
    :param clock: the time now, timezone-aware
    """

    def __init__(
        self,
        policy: Policy,
        environment: EnvironmentName,
        *,
        issuer: Issuer,
        store: Store,
        preparer: Preparer,
        serials: SerialNumbers,
        clock: Callable[[], datetime],
    ) -> None:
        self._policy = policy
        self._issuer = issuer
        self._store = store
        self._preparer = preparer
        self._serials = serials
        self._clock = clock
        self._examiner = Examiner(policy, environment, store, clock)

    def issue(self, orders: Sequence[Order]) -> list[Outcome]:
        """Grant packages; those of different subjects share two transactions, but each stands and falls alone.

        :return: an outcome for each order, in their order; each refusal is in the audit
        :raises StoreError: the database failed; packages of this call may be unanswered, and can be given again
        :raises AuditError: the audit chain does not hold; likewise
        """
        now = self._clock()
        packages, outcomes = _each(orders, dict(enumerate(orders)), lambda order, _: _read(order))
        for turn in _turns(packages):
            outcomes |= self._answer(orders, turn, now)
        for index, order in enumerate(orders):
            if (why := outcomes[index].error) is not None:
                self._store.record(_refusal(order, why))
        return [outcomes[index] for index in range(len(orders))]

    def _answer(self, orders: Sequence[Order], packages: Mapping[int, Submission], now: datetime) -> dict[int, Outcome]:
        """Packages of different subjects: what was granted before gets its certificates again, the rest is granted.

        Every step is taken for all packages before the next one begins. What a step needs then stays in the processor's
        cache, which saves a tenth of all time that is not spent on signatures.
        """
        known = self._store.issued_for_each({package.digest.hex() for package in packages.values()})
        standings = self._store.standings([_subject_key(package) for package in packages.values()], now)
        outcomes: dict[int, Outcome] = {}
        fresh: dict[int, Submission] = {}
        for index, package in packages.items():
            if certificates := known.get(package.digest.hex()):
                outcomes[index] = _known(orders[index], certificates)
            else:
                fresh[index] = package
        sound, unsound = _each(orders, fresh, lambda order, package: self._examine(order, package, now))
        proven, unproven = _each(orders, sound, _verified)
        grants, ungranted = _each(
            orders, proven, lambda order, examined: self._prepare(order, examined, standings, now)
        )
        return outcomes | unsound | unproven | ungranted | self._issue(grants, now)

    def _issue(self, grants: Mapping[int, _Grant], now: datetime) -> dict[int, Outcome]:
        """All grants at once; where another process was faster, one by one, so that only what it took is refused."""
        if not grants:
            return {}
        try:
            issued = self._sign(list(grants.values()), now)
        except IssuingError as error:
            if len(grants) > 1:
                return {
                    index: one for key, grant in grants.items() for index, one in self._issue({key: grant}, now).items()
                }
            ((index, grant),) = grants.items()
            if certificates := self._store.issued_for(grant.examined.digest):  # it was faster with this very package
                return {index: _known(grant.order, certificates)}
            return {index: _refused(grant.order, error)}
        except TokenError as error:
            return {index: _refused(grant.order, error) for index, grant in grants.items()}
        return {
            index: Outcome(grant.order.name, "issued", result.certificates)
            for (index, grant), result in zip(grants.items(), issued, strict=True)
        }

    def _sign(self, grants: Sequence[_Grant], now: datetime) -> list[Issued]:
        def nobody_was_faster(view: StoreView) -> None:
            standings = view.standings([grant.examined.holder[0] for grant in grants], now)
            signers = {signer.serial for grant in grants for signer in grant.examined.signers}
            for state in view.revoked_among(signers).values():
                raise IssuingError(
                    "issuing.signer.revoked",
                    "the signer's certificate was revoked or suspended while the package was examined",
                    where=state.serial,
                    hint="sign with a key whose certificate is in force",
                )
            for grant in grants:
                self._examiner.number(grant.examined, standings.get(grant.examined.holder, Standing()))
                if self._examiner.superseded(grant.examined, view) != grant.examined.supersedes:
                    raise IssuingError(
                        "issuing.subject.in_progress",
                        "another process issued to this subject while the package was examined",
                        where="subject",
                        hint="try again",
                    )

        return issue_units(self._store, [grant.unit for grant in grants], nobody_was_faster)

    def _examine(self, order: Order, submission: Submission, now: datetime) -> Examined:
        self._issuer.check_usable(now)
        return self._examiner.examine(submission, order.role, again=order.again)

    def _prepare(
        self, order: Order, examined: Examined, standings: Mapping[tuple[str, str], Standing], now: datetime
    ) -> _Grant:
        kind = examined.kind
        standing = standings.get(examined.holder, Standing())
        number = self._examiner.number(examined, standing)
        subject = examined.subject.with_serial_number(number)
        permits = self._permits(examined.package, kind, subject, now)
        detail: dict[str, object] = {
            "role": kind.value,
            "sub_ca": self._issuer.name.common_name,
            "package": examined.digest,
            "serials": [permit.serial for permit in permits],
            "number": number,
        }
        if overrides := list(_overrides(order, examined, standing)):
            detail["override"] = overrides
        if examined.signers:
            detail["signed_by"] = [signer.serial for signer in examined.signers]
        if examined.supersedes:
            detail["supersedes"] = [old.serial for old in examined.supersedes]
        unit = Unit(
            permits,
            AuditEntry(action="issue", outcome="done", subject=subject.common_name, detail=detail),
            GrantedRequest(
                digest=examined.digest,
                received_at=now,
                kind=examined.submission.kind,
                subject_cn=subject.common_name,
                role=kind.value,
                sub_ca=self._issuer.name.common_name,
                dn_serial=number,
                der=order.data,
            ),
            Participant(
                subject_cn=subject.common_name,
                subject_key=examined.holder[0],
                role=kind.value,
                organisation=subject.get("O") or "",
                ou=subject.get("OU"),
                country=subject.get("C"),
            ),
            examined.supersedes,
        )
        return _Grant(order, examined, unit)

    def _permits(
        self, package: RequestPackage, kind: CertificateType, subject: DistinguishedName, now: datetime
    ) -> tuple[Permit, ...]:
        not_before, not_after = validity(self._policy, kind, now, self._issuer.certificate.not_valid_after_utc)
        use_end = key_use_end(self._policy, kind, not_before, not_after)
        plans = [
            Plan(
                kind=kind,
                purpose=request.purpose.value,
                subject=subject,
                public_key=request.public_key,
                serial=self._serials.next(),
                not_before=not_before,
                not_after=not_after,
                key_use_end=use_end,
                alternative_names=_requested_names(request),
            )
            for request in package.requests
        ]
        return tuple(self._preparer.prepare(plan, self._issuer) for plan in plans)


def _read(order: Order) -> Submission:
    if order.fault:
        raise RequestError(
            "batch.line", order.fault, where=order.name, hint="see the schema of issue-batch in the docs"
        )
    return read_submission(order.data)


def _verified(order: Order, examined: Examined) -> Examined:
    verify_submission(examined.submission)
    return examined


def _each(
    orders: Sequence[Order], items: Mapping[int, T], step: Callable[[Order, T], R]
) -> tuple[dict[int, R], dict[int, Outcome]]:
    """Take one step for each order; those that it refuses are answered."""
    done: dict[int, R] = {}
    refused: dict[int, Outcome] = {}
    for index, item in items.items():
        try:
            done[index] = step(orders[index], item)
        except SmpkiError as error:
            refused[index] = _refused(orders[index], error)
    return done, refused


def _turns(packages: Mapping[int, Submission]) -> Iterator[dict[int, Submission]]:
    """Packages of one subject take turns, for what becomes of the second depends on the first."""
    waiting = dict(packages)
    while waiting:
        turn: dict[str, int] = {}
        for index, package in waiting.items():
            turn.setdefault(_subject_key(package) or f"package {index}", index)
        yield {index: waiting.pop(index) for index in turn.values()}


def _overrides(order: Order, examined: Examined, standing: Standing) -> Iterator[str]:
    """What the operator decides against the rule; the audit says so."""
    if order.again and standing.valid_until is not None:
        yield "a further triple for a subject with a valid one"
    yield from examined.overrides


def _requested_names(request: CertificateRequest) -> x509.SubjectAlternativeName | None:
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            return extension.value
    return None


def _subject_key(submission: Submission) -> str:
    try:
        return DistinguishedName.from_x509(submission.package.subject).key()
    except SmpkiError:
        return ""  # the lint refuses it in a moment, with the reason


def _known(order: Order, certificates: tuple[StoredCertificate, ...]) -> Outcome:
    """The package was granted before: the same certificates, if that is the role that is asked for now."""
    granted = certificates[0].kind
    if order.role in (None, granted):
        return Outcome(order.name, "known", certificates)
    message = f"the package was granted before, for a {granted} and not a {order.role}"
    hint = "leave --role out, or bring a package with other keys"
    return _refused(order, IssuingError("issuing.package.other_role", message, where="role", hint=hint))


def _refused(order: Order, error: SmpkiError) -> Outcome:
    return Outcome(order.name, "refused", error=error)


def _refusal(order: Order, error: SmpkiError) -> AuditEntry:
    return AuditEntry(action="issue", outcome="refused", subject=order.name, detail=error.as_dict())
