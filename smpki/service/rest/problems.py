"""Errors as problem details (RFC 9457)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from smpki.errors import SmpkiError
from smpki.requests.check import Checked

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[str, int] = MappingProxyType(
    {
        # who asks
        "service.account.credentials": 401,
        "service.account.passkey": 401,
        "service.account.invitation": 403,
        "service.account.token.machine": 403,
        "service.account.throttled": 429,
        "service.desk.forbidden": 403,
        "service.desk.application.many": 429,
        "service.unauthorised": 403,
        "service.not_accepted": 403,
        "request.entitlement": 403,
        # what is not there, or not theirs
        "service.desk.unknown": 404,
        "service.account.unknown": 404,
        "store.serial": 404,
        "service.rest.method": 405,
        "service.rest.accept": 406,
        "service.rest.slow": 408,
        "service.rest.size": 413,
        "service.rest.media_type": 415,
        # it was well said, but things are not so that it could be done
        "service.desk.decided": 409,
        "service.desk.second_operator": 409,
        "service.desk.application": 409,
        "service.rest.idempotency": 409,
        "revocation": 409,
        "issuing": 409,
        "request.renewal.early": 409,
        # it breaks a rule
        "service": 422,
        "web_service": 422,
        "request": 422,
        "inspect": 422,
        "lint": 422,
        "name": 422,
        "device_id": 422,
        "revocation.reason": 422,
        "tr-03109-4": 422,
        "tr-03116-3": 422,
        "rfc-5280": 422,
        "sm-pki-cp": 422,
        "x-520": 422,
        # our own affair
        "issuing.issuer": 503,
        "issuing.conflict": 503,
        "issuing.permit": 503,
        "issuing.serial": 503,
        "policy.validity": 503,
        "": 503,
    }
)
"""The status of an error, by the beginning of its code; the longest that fits counts."""


class FindingModel(BaseModel):
    """What a rule has to say."""

    model_config = ConfigDict(extra="forbid")
    subject: str = Field(description="the certificate, CRL or request that it is about")
    severity: str = Field(description="error, warning or notice; an error keeps the CA from signing")
    code: str = Field(description="document, clause, field and rule")
    message: str = Field(description="what was found, and what is due")


class Problem(BaseModel):
    """A problem detail (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")
    type: str = Field(description="urn:smpki:problem: and the code")
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(description="what was wrong")
    code: str = Field(description="the rule, stable")
    where: str = Field(default="", description="the place: a field or part of what was sent")
    hint: str = Field(default="", description="what to do about it")
    findings: list[FindingModel] | None = Field(default=None, description="of the lint, where a package was refused")


class RefusedPackage(SmpkiError):
    """A package that was refused, with all that the lint finds in it.

    :param error: why
    """

    def __init__(self, error: SmpkiError, checked: Sequence[Checked]) -> None:
        super().__init__(error.code, error.message, where=error.where, hint=error.hint)
        self.findings = findings_of(checked)


def findings_of(checked: Sequence[Checked]) -> list[FindingModel]:
    """Findings of the lint as REST tells them."""
    return [FindingModel(subject=part.title, **one.as_dict()) for part in checked for one in part.findings]


class ProblemResponse(JSONResponse):
    """A problem detail as an answer."""

    media_type = MEDIA_TYPE


def status_of(error: SmpkiError) -> int:
    """The HTTP status of an error."""
    beginning = error.code
    while beginning not in STATUS:
        beginning = beginning.rpartition(".")[0]
    return STATUS[beginning]


def problem(error: SmpkiError, headers: Mapping[str, str] | None = None) -> ProblemResponse:
    """The answer that an error gets; of our own affairs it tells the code alone."""
    status = status_of(error)
    message, where, hint = error.message, error.where, error.hint
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        message, where, hint = "the service failed, which is no fault of the request", "", "send it again later"
    findings = error.findings if isinstance(error, RefusedPackage) else None
    return _answer(status, error.code, message, where, hint, headers, findings)


def other_problem(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> ProblemResponse:
    """An answer to what never reached the desk.

    :param status: HTTP status
    """
    return _answer(status, code, message, "", "see /api/v1/openapi.json", headers)


def _answer(
    status: int,
    code: str,
    message: str,
    where: str,
    hint: str,
    headers: Mapping[str, str] | None,
    findings: list[FindingModel] | None = None,
) -> ProblemResponse:
    title = HTTPStatus(status).phrase
    kind = f"urn:smpki:problem:{code}"
    value = Problem(
        type=kind, title=title, status=status, detail=message, code=code, where=where, hint=hint, findings=findings
    )
    more = {"cache-control": "no-store", **(headers or {})}
    if status == HTTPStatus.UNAUTHORIZED:
        more["www-authenticate"] = "Bearer"
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        more.setdefault("retry-after", "30")
    return ProblemResponse(value.model_dump(exclude_none=True), status, more)


_MEANINGS = {
    400: "the request can't be read",
    401: "no token or certificate that holds",
    403: "not for this account, or not for this participant",
    404: "not there, or not yours",
    405: "not this method",
    406: "nothing that you accept",
    408: "too slow",
    409: "things are not so that it could be done",
    413: "too large",
    415: "not this media type",
    422: "it breaks a rule",
    429: "too often",
    503: "the service failed; try again later",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Responses of an operation for the OpenAPI document."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {status: {"description": _MEANINGS[status], "content": {MEDIA_TYPE: schema}} for status in statuses}
