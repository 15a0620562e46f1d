"""Request packages: what is wrong with one and why, handing it in, what became of it; an operator's decision."""

from starlette.responses import Response

from smpki.errors import ServiceError, SmpkiError
from smpki.requests.explain import explain
from smpki.service.accounts.actor import Role
from smpki.service.desk.access import unknown
from smpki.service.desk.store.submissions import SubmissionState
from smpki.service.portal.application import Page
from smpki.service.portal.certificates import AT_ONCE
from smpki.service.portal.pages import page
from smpki.service.portal.status import status_of
from smpki.service.portal.visit import Visit


def pages() -> tuple[Page, ...]:
    """The pages of this room."""
    return (
        Page("/packages/new", show=_ask, act=_take),
        Page("/packages", show=_list),
        Page("/packages/{number}", show=_one, act=_decide),
    )


def number_of(visit: Visit) -> int:
    """The number in the path.

    :raises ServiceError: ``service.desk.unknown``
    """
    text = visit.path["number"]
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise unknown(text[:20])
    return int(text)


def after_of(visit: Visit) -> int:
    """The number behind which a list goes on; 0: from its beginning."""
    text = visit.query.get("after", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0


def _ask(visit: Visit) -> Response:
    visit.need(Role.PARTICIPANT)
    return page(visit, "upload.html", error=None, parts_of=())


def _take(visit: Visit) -> Response:
    """Show what the lint says; hand in what was chosen to be handed in, unless it has errors."""
    actor, desk = visit.need(Role.PARTICIPANT), visit.site.desk
    package = visit.files.get("package")
    try:
        if package is None:
            message, hint = "no package was chosen", "choose the file request.der that `smpki request new` wrote"
            raise ServiceError("service.portal.package", message, hint=hint)
        parts = explain(package, desk.pki.policy).parts
        has_errors = any(finding.severity == "error" for part in parts for finding in part.findings or ())
        if "submit" not in visit.form or has_errors:
            return page(visit, "upload.html", 422 if has_errors else 200, error=None, parts_of=parts)
        result = desk.packages.submit(actor, package)
    except SmpkiError as error:
        return page(visit, "upload.html", status_of(error), error=error, parts_of=())
    return visit.go(f"/packages/{result.submitted.id}")


def _list(visit: Visit) -> Response:
    actor = visit.need()
    state = visit.query.get("state", "")
    chosen = SubmissionState(state) if state in set(SubmissionState) else None
    found = visit.site.desk.packages.page(actor, state=chosen, after=after_of(visit), limit=AT_ONCE)
    after = found[-1].id if len(found) == AT_ONCE else None
    return page(visit, "packages.html", rows=found, after=after, state=state, states=list(SubmissionState))


def _one(visit: Visit, error: SmpkiError | None = None) -> Response:
    actor = visit.need()
    result = visit.site.desk.packages.get(actor, number_of(visit))
    answer = 200 if error is None else status_of(error)
    return page(visit, "package.html", answer, one=result.submitted, certificates=result.certificates, error=error)


def _decide(visit: Visit) -> Response:
    actor, packages, number = visit.need(Role.OPERATOR), visit.site.desk.packages, number_of(visit)
    try:
        if "approve" in visit.form:
            packages.approve(actor, number)
        else:
            packages.refuse(actor, number, visit.form.get("remark", "")[:1000])
    except SmpkiError as error:
        if error.code == "service.desk.unknown":
            raise
        return _one(visit, error)
    return visit.go(f"/packages/{number}")
