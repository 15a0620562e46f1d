"""What REST reads and writes, as pydantic models: the OpenAPI document is made of them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from smpki.ca.crl_series import CrlSeries
from smpki.ca.revocation import TakenBack
from smpki.ca.store.records import ListedCertificate
from smpki.ca.store.revocations import Revocation
from smpki.policy.model import CertificateType
from smpki.requests.check import Checked
from smpki.service.accounts.actor import Actor, Role
from smpki.service.accounts.store.credentials import Token
from smpki.service.desk.certificates import Standing
from smpki.service.desk.packages import Result
from smpki.service.desk.store.applications import Application, ApplicationState
from smpki.service.desk.store.reading import AuditLine
from smpki.service.desk.store.submissions import SubmissionState, Submitted
from smpki.service.rest.problems import FindingModel, findings_of

T = TypeVar("T")
I = TypeVar("I", bound=BaseModel)  # noqa: E741 - an item

PRINTED = r"^[^\x00-\x1f\x7f]*$"
Line = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=PRINTED)]
"""Text without control characters."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=PRINTED)]
Secret = Annotated[str, StringConstraints(min_length=20, max_length=100, pattern="^[A-Za-z0-9_-]+$")]
ParticipantRole = Literal["emt", "gwa", "gwh"]


class Given(BaseModel):
    """What is sent to us; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Told(BaseModel):
    """What we answer."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class Page(Told, Generic[I]):
    """One page of a list."""

    items: list[I]
    next: str | None = Field(description="give it as `after` (in the audit trail: `before`); null on the last page")


class FormModel(Given):
    """An application for registration."""

    organisation: Name = Field(description="the name before its role in the CN", examples=["Beispielwerke"])
    role: ParticipantRole
    contact: Annotated[str, StringConstraints(max_length=254, pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,189}$")]
    partner_id: Annotated[str, StringConstraints(pattern="^[0-9]{13}$")] | None = Field(
        default=None, description="the market partner's id, the OU of its names"
    )
    extension: Annotated[str, StringConstraints(min_length=1, max_length=20, pattern="^[A-Za-z0-9-]+$")] | None = Field(
        default=None, description="behind its role in the CN, such as MAK in Company.EMT.MAK"
    )
    callback_url: Annotated[str, StringConstraints(max_length=500, pattern="^https://[^ ]+$")] | None = Field(
        default=None, description="where its web service takes results"
    )


class RemarkModel(Given):
    """Why an operator refuses."""

    remark: Line = Field(description="what the applicant or participant is told")


class InvitationModel(Given):
    """An invitation to be used up for a token."""

    invitation: Secret
    label: Line = "invitation"


class NewTokenModel(Given):
    """A wish for a token."""

    label: Line
    days: Annotated[int, Field(ge=1, le=365)] = 365


class RevocationModel(Given):
    """A wish to revoke, suspend (certificate_hold) or resume (remove_from_crl)."""

    reason: Literal[
        "unspecified",
        "key_compromise",
        "ca_compromise",
        "affiliation_changed",
        "superseded",
        "cessation_of_operation",
        "certificate_hold",
        "privilege_withdrawn",
        "remove_from_crl",
    ]


class ActorModel(Told):
    """Who you are."""

    account: int = Field(description="0 for who came with a certificate")
    name: str
    role: Role
    common_name: str | None = Field(description="the participant that you act for")

    @classmethod
    def of(cls, one: Actor) -> "ActorModel":
        """As REST tells it."""
        return cls.model_validate(one)


class TokenModel(Told):
    """A token, without its secret."""

    id: int
    label: str
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, one: Token) -> "TokenModel":
        """As REST tells it."""
        return cls.model_validate(one)


class ToldToken(TokenModel):
    """A new token."""

    token: str = Field(description="told this once: Authorization: Bearer TOKEN")


class ApplicationModel(Told):
    """An application for registration."""

    id: int
    state: ApplicationState
    organisation: str
    role: str
    common_name: str
    partner_id: str | None
    contact: str
    callback_url: str | None
    applied_at: datetime
    decided_at: datetime | None
    remark: str

    @classmethod
    def of(cls, one: Application) -> "ApplicationModel":
        """As REST tells it."""
        return cls.model_validate(one)


class ToldApplication(ApplicationModel):
    """A new application."""

    claim: str = Field(description="told this once; an invitation as soon as an operator has approved")


class RevocationState(Told):
    """Since when and why a certificate is revoked or suspended."""

    reason: str
    since: datetime
    suspended_until: datetime | None

    @classmethod
    def of(cls, one: Revocation | None) -> "RevocationState | None":
        """As REST tells it."""
        return None if one is None else cls.model_validate(one)


class CertificateModel(Told):
    """A certificate."""

    serial: str = Field(description="its serial number, hexadecimal")
    issuer_serial: str | None
    kind: CertificateType
    purpose: str = Field(description="tls, sig, enc, or empty for CAs")
    common_name: str
    number: int | None = Field(description="serialNumber in the subject's name")
    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, one: ListedCertificate) -> "CertificateModel":
        """As REST tells it."""
        return cls(**_certificate(one))


class StandingModel(CertificateModel):
    """A certificate and how it stands."""

    revocation: RevocationState | None = Field(description="null: neither revoked nor suspended")

    @classmethod
    def standing(cls, one: Standing) -> "StandingModel":
        """As REST tells it."""
        return cls(**_certificate(one.certificate), revocation=RevocationState.of(one.revocation))


class PackageModel(Told):
    """A request package that was handed in."""

    id: int
    state: SubmissionState
    kind: str = Field(description="initial, renewal or authorised")
    certificate_type: str
    holder: str = Field(description="CN of who is to hold the certificates")
    common_name: str = Field(description="CN of who handed it in")
    digest: str
    received_at: datetime
    decided_at: datetime | None
    remark: str

    @classmethod
    def of(cls, one: Submitted) -> "PackageModel":
        """As REST tells it."""
        return cls.model_validate(one)


class ResultModel(PackageModel):
    """A package and what came of it."""

    certificates: list[CertificateModel] = Field(description="TLS, SIG, ENC; empty unless issued")

    @classmethod
    def result(cls, one: Result) -> "ResultModel":
        """As REST tells it."""
        values = PackageModel.of(one.submitted).model_dump()
        return cls(**values, certificates=[CertificateModel.of(each) for each in one.certificates])


class CheckedModel(Told):
    """What the lint says of a file."""

    passed: bool = Field(description="whether no finding is an error")
    subjects: list[str] = Field(description="the certificates, CRLs and requests that it holds")
    findings: list[FindingModel]

    @classmethod
    def of(cls, checked: Sequence[Checked]) -> "CheckedModel":
        """As REST tells it."""
        passed = all(part.passed for part in checked)
        return cls(passed=passed, subjects=[part.title for part in checked], findings=findings_of(checked))


class TakenBackModel(Told):
    """What became of a wish to revoke."""

    waits: bool = Field(description="whether a second operator has to say the same")
    certificates: list[StandingModel]

    @classmethod
    def of(cls, found: Sequence[TakenBack]) -> "TakenBackModel":
        """As REST tells it."""
        standings = [StandingModel.standing(Standing(one.certificate, one.revocation)) for one in found]
        return cls(waits=not found, certificates=standings)


class ProcessedModel(Told):
    """What came of a signed request."""

    sender: str
    known: bool = Field(description="the same request was acted upon before; nothing was done again")
    certificates: list[StandingModel]
    handed_over: list[str] = Field(description="CNs of gateways that got another administrator")
    new_admin: str


class CrlModel(Told):
    """The CRL in force of one CA."""

    name: str = Field(description="of the file: /api/v1/crls/NAME")
    issuer: str
    addresses: list[str] = Field(description="as certificates name it")
    number: int | None
    this_update: datetime | None
    next_update: datetime | None
    entries: int | None

    @classmethod
    def of(cls, one: CrlSeries) -> "CrlModel":
        """As REST tells it."""
        newest = one.newest
        return cls(
            name=one.file_name,
            issuer=str(one.name),
            addresses=list(one.addresses),
            number=newest.number if newest else None,
            this_update=newest.this_update if newest else None,
            next_update=newest.next_update if newest else None,
            entries=newest.entries if newest else None,
        )


class AuditModel(Told):
    """An entry of the audit chain."""

    seq: int
    at: datetime
    action: str
    outcome: str
    subject: str
    detail: Mapping[str, Any]

    @classmethod
    def of(cls, one: AuditLine) -> "AuditModel":
        """As REST tells it."""
        return cls.model_validate({name: getattr(one, name) for name in cls.model_fields})


class AuditFindingModel(Told):
    """Something in the audit chain that does not hold."""

    code: str
    where: str
    message: str


class VerificationModel(Told):
    """What a verification of the audit chain found."""

    holds: bool
    entries: int
    heads: int
    signed: int
    behind: int
    findings: list[AuditFindingModel]


def page_of(found: Sequence[T], limit: int, model: Callable[[T], I], key: Callable[[T], object]) -> dict[str, object]:
    """One page of what was asked for with one more than fits.

    :param key: what the next page begins behind
    """
    items = [model(one) for one in found[:limit]]
    return {"items": items, "next": str(key(found[limit - 1])) if len(found) > limit else None}


def _certificate(one: ListedCertificate) -> dict[str, Any]:
    return {
        "serial": one.serial,
        "issuer_serial": one.issuer_serial,
        "kind": one.kind,
        "purpose": one.purpose,
        "common_name": one.subject_cn,
        "number": one.dn_serial,
        "not_before": one.not_before,
        "not_after": one.not_after,
    }
