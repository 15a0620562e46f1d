"""May this package be granted? Who asks, in which role, with whose signature (TR-03109-4 annex C)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from smpki.ca.signers import Signers
from smpki.ca.store.lists import Lists
from smpki.ca.store.records import Standing, StoredCertificate
from smpki.ca.store.store import Store
from smpki.errors import IssuingError, RequestError
from smpki.policy.lint.classify import default_kind
from smpki.policy.lint.finding import Severity
from smpki.policy.lint.request import lint_request
from smpki.policy.model import CertificateType, EnvironmentName, Policy
from smpki.policy.names import DistinguishedName
from smpki.requests.model import RequestPackage
from smpki.requests.signature import Layer
from smpki.requests.submission import Submission, read_submission

_AUTHORISERS = {CertificateType.SMGW_G: CertificateType.GWH, CertificateType.SMGW_W: CertificateType.GWA}


@dataclass(frozen=True)
class Examined:
    """A package that nothing speaks against but, perhaps, another triple of its subject.

    :param follows: it may be granted though the subject has a valid triple
    :param signers: the certificates whose signatures it stands on; none of them may be revoked before it is granted
    :param supersedes: certificates that it takes the place of, and that are revoked with it
    :param overrides: what the operator decides against the rule
    """

    submission: Submission
    kind: CertificateType
    subject: DistinguishedName
    follows: bool = False
    signers: tuple[StoredCertificate, ...] = ()
    supersedes: tuple[StoredCertificate, ...] = ()
    overrides: tuple[str, ...] = ()

    @property
    def package(self) -> RequestPackage:
        """The three requests."""
        return self.submission.package

    @property
    def digest(self) -> str:
        """What identifies the package, hexadecimal."""
        return self.submission.digest.hex()

    @property
    def holder(self) -> tuple[str, str]:
        """The subject's identity, and the type of its certificates."""
        return self.subject.key(), self.kind.value


class Examiner:
    """Looks at packages before the CA prepares their certificates.

    :param clock: the time now, timezone-aware
    """

    def __init__(
        self, policy: Policy, environment: EnvironmentName, store: Store, clock: Callable[[], datetime]
    ) -> None:
        self._policy = policy
        self._environment = environment
        self._store = store
        self._signers = Signers(store, clock)

    def examine(self, submission: Submission, role: CertificateType | None, *, again: bool) -> Examined:
        """See who asks, whether names and keys are within the policy, and whether the signatures are those of the
        entitled.

        The signatures are not verified here: :func:`~smpki.requests.submission.verify_submission` is the dearer half,
        and comes when nothing else speaks against the package.

        :param role: the certificate type to issue; ``None``: what the subject's CN says
        :param again: the operator wants a further triple
        :raises RequestError: what the lint finds; ``request.role.unknown``; ``request.renewal.*``;
            ``request.outer_signature.signer.*``, ``request.authorisation.*``
        """
        kind = self._kind(submission, role)
        subject = self._lint(submission.package, kind)
        examined = Examined(submission, kind, subject, follows=again)
        if submission.renewal is not None:
            examined = self._renewal(examined, submission.renewal.signer)
        if submission.authorisation is not None:
            examined = self._authorised(examined, submission.authorisation.signer)
        elif kind.is_gateway:
            examined = self._unauthorised(examined)
        examined = replace(examined, supersedes=self.superseded(examined, self._store))
        self._check_manufacturer(examined)
        return examined

    def _kind(self, submission: Submission, role: CertificateType | None) -> CertificateType:
        kind = role or default_kind(submission.package.subject)
        if kind is None or not kind.is_end_user:
            raise RequestError(
                "request.role.unknown",
                "the subject's CN does not say which role it asks for",
                where="subject",
                hint="name it: --role emt, gwa, gwh, smgw-g or smgw-w",
            )
        return kind

    def _lint(self, package: RequestPackage, kind: CertificateType) -> DistinguishedName:
        seen: x509.Name | None = None
        for request in package.requests:
            found = lint_request(
                None if request.subject is seen else request.subject,
                request.public_key,
                request.extensions,
                request.hash,
                kind,
                request.purpose.value,
                self._policy,
                self._environment,
            )
            for finding in found:
                if finding.severity is Severity.ERROR:
                    hint = f"see what a {kind} may ask for: smpki policy show {kind}"
                    raise RequestError(finding.code, finding.message, where=request.place, hint=hint)
            seen = request.subject
        return DistinguishedName.from_x509(package.subject)

    def _renewal(self, examined: Examined, signer: x509.Certificate) -> Examined:
        """A renewal comes from the holder of the previous triple, inside the window, and follows it."""
        previous = self._signers.find(signer, Layer.OUTER)
        if (previous.subject_key, previous.kind) != examined.holder:
            raise RequestError(
                "request.renewal.subject",
                f"the package is signed by {previous.subject_cn} ({previous.kind}), not by its subject's previous key",
                where="outer signature",
                hint="sign with the SIG key of the previous triple of the same subject",
            )
        newest = self._store.latest(previous.kind, previous.subject_key, previous.purpose)
        if newest is None or newest.serial != previous.serial:
            raise RequestError(
                "request.renewal.superseded",
                "the package is signed by the key of an older triple; there is a newer one",
                where="outer signature",
                hint="sign with the SIG key of the newest triple",
            )
        window = self._policy.renewal.opens_before_end.value
        if window.after(self._signers.now()) < previous.not_after:
            raise RequestError(
                "request.renewal.early",
                f"the triple is valid until {previous.not_after:%Y-%m-%d}; it is renewed in its last {window}",
                where="outer signature",
                hint="send the renewal when the window has opened",
            )
        return _extended(examined, previous, follows=True)

    def _authorised(self, examined: Examined, signer: x509.Certificate) -> Examined:
        """The manufacturer authorises a Guetesiegel, the administrator in charge a Wirk triple."""
        wanted = _AUTHORISERS.get(examined.kind)
        by = self._signers.find(signer, Layer.AUTHORISATION)
        if wanted is None:
            raise _unauthorised("kind", f"a package of a {examined.kind} needs no authorisation", "send it without")
        if by.kind != wanted:
            message = f"{by.subject_cn} is a {by.kind}; a {examined.kind} is authorised by a {wanted}"
            raise _unauthorised("role", message, "let the manufacturer (Guetesiegel) or the administrator (Wirk) sign")
        if examined.kind is CertificateType.SMGW_G:
            return _extended(examined, by, follows=True)
        return self._administered(_extended(examined, by))

    def _check_manufacturer(self, examined: Examined) -> None:
        """A new Guetesiegel takes the place of the old one: nobody gets rid of another manufacturer's that way."""
        if examined.submission.authorisation is None:
            return
        by = examined.signers[-1]
        for held in examined.supersedes:
            maker = self._authoriser(held)
            if maker is not None and maker.key() != by.subject_key:
                message = f"{maker.common_name} authorised the gateway's Guetesiegel, {by.subject_cn} this package"
                hint = "let that manufacturer revoke it first, or the operator: smpki revoke"
                raise _unauthorised("manufacturer", message, hint)

    def _authoriser(self, held: StoredCertificate) -> DistinguishedName | None:
        package = self._store.package(held.request_digest) if held.request_digest else None
        authorisation = read_submission(package).authorisation if package else None
        return DistinguishedName.from_x509(authorisation.signer.subject) if authorisation else None

    def superseded(self, examined: Examined, store: Lists) -> tuple[StoredCertificate, ...]:
        """What a package takes the place of now: a new Guetesiegel that of the old ones, whoever asks for it, since all
        have number 0."""
        rule = self._policy.revocation.new_guetesiegel_supersedes
        if examined.kind is not CertificateType.SMGW_G or not rule.value:
            return ()
        key, kind = examined.holder
        return store.held(kind, key, self._signers.now())

    def _administered(self, examined: Examined) -> Examined:
        """The administrator signs for gateways in its charge only; its CN is the OU of the certificates."""
        administrator = examined.signers[-1].subject_cn
        if examined.subject.get("OU") != administrator:
            message = f"the OU is {examined.subject.get('OU')!r}, and {administrator} signed"
            raise _unauthorised("administrator", message, "the OU of a Wirk certificate is the CN of its administrator")
        key, kind = examined.holder
        in_charge = self._store.administrator(key)
        if in_charge not in (None, administrator):
            message = f"the gateway is in the charge of {in_charge}, not of {administrator}"
            raise _unauthorised(
                "administrator", message, "let the administrator in charge hand it over: UpdateDeviceAdmin"
            )
        newest = self._store.latest(kind, key, "sig")
        handed_over = newest is not None and _unit(newest) != administrator
        return _extended(examined, follows=examined.follows or handed_over)

    def _unauthorised(self, examined: Examined) -> Examined:
        if self._policy.issuing.unauthorised_gateway_package.value == "refuse":
            message = "a gateway's package needs the authorisation of its manufacturer or administrator"
            raise _unauthorised("missing", message, "let the GWH (Guetesiegel) or the GWA (Wirk) authorise the package")
        return _extended(examined, overrides=(*examined.overrides, "a gateway's package without authorisation"))

    def number(self, examined: Examined, standing: Standing) -> int | None:
        """The DN serialNumber that the CA sets (TR-03109-4): first, next, or always 0 for a Guetesiegel.

        :raises IssuingError: ``issuing.subject.in_progress``, ``issuing.subject.has_triple``
        """
        if standing.pending:
            raise IssuingError(
                "issuing.subject.in_progress",
                "another process is issuing to this subject right now",
                where="subject",
                hint="try again when it is done",
            )
        if standing.valid_until is not None and not examined.follows:
            raise IssuingError(
                "issuing.subject.has_triple",
                f"the subject has a triple that is valid until {standing.valid_until:%Y-%m-%d}",
                where="subject",
                hint="let the holder renew it, or issue the next number with --again",
            )
        first = self._policy.certificates[examined.kind].name.first_serial_number.value
        if first == 0 or standing.highest is None:
            return first
        return standing.highest + 1


def _extended(
    examined: Examined,
    signer: StoredCertificate | None = None,
    *,
    follows: bool | None = None,
    overrides: tuple[str, ...] = (),
) -> Examined:
    return replace(
        examined,
        follows=examined.follows if follows is None else follows,
        signers=examined.signers if signer is None else (*examined.signers, signer),
        overrides=overrides or examined.overrides,
    )


def _unit(certificate: StoredCertificate) -> str | None:
    subject = x509.load_der_x509_certificate(certificate.der).subject
    return DistinguishedName.from_x509(subject).get("OU")


def _unauthorised(rule: str, message: str, hint: str) -> RequestError:
    return RequestError(f"request.authorisation.{rule}", message, where="authorisation", hint=hint)
