"""Registration: somebody applies and sees how it stands; operators decide."""

from starlette.responses import Response

from smpki.errors import SmpkiError
from smpki.policy.model import CertificateType
from smpki.service.accounts.actor import Role
from smpki.service.desk.registrations import ROLES, Form
from smpki.service.desk.store.applications import ApplicationState
from smpki.service.portal.application import Page
from smpki.service.portal.certificates import AT_ONCE
from smpki.service.portal.packages import after_of, number_of
from smpki.service.portal.pages import page
from smpki.service.portal.status import status_of
from smpki.service.portal.visit import Visit


def pages() -> tuple[Page, ...]:
    """The pages of this room."""
    return (
        Page("/register", show=_ask, act=_apply),
        Page("/registered", show=_ask_claim, act=_claimed),
        Page("/applications", show=_list),
        Page("/applications/{number}", show=_one, act=_decide),
    )


def _ask(visit: Visit) -> Response:
    return page(visit, "register.html", form={}, roles=ROLES, error=None)


def _apply(visit: Visit) -> Response:
    form = {name: value.strip() for name, value in visit.form.items()}
    try:
        role = form.get("role", "")
        wanted = Form(
            organisation=form.get("organisation", ""),
            role=CertificateType(role) if role in set(CertificateType) else CertificateType.EMT,
            contact=form.get("contact", ""),
            partner_id=form.get("partner_id") or None,
            extension=form.get("extension") or None,
            callback_url=form.get("callback_url") or None,
        )
        application, claim = visit.site.desk.registrations.apply(wanted)
    except SmpkiError as error:
        return page(visit, "register.html", status_of(error), form=form, roles=ROLES, error=error)
    return page(visit, "applied.html", application=application, claim=claim)


def _ask_claim(visit: Visit) -> Response:
    return page(visit, "claim.html", error=None)


def _claimed(visit: Visit) -> Response:
    """How an application stands. The claim comes in a form, so that it is in no log of addresses."""
    claim = visit.form.get("claim", "").strip()
    try:
        application = visit.site.desk.registrations.claimed(claim)
    except SmpkiError as error:
        return page(visit, "claim.html", status_of(error), error=error)
    return page(visit, "applied.html", application=application, claim=claim)


def _list(visit: Visit) -> Response:
    actor = visit.need(Role.OPERATOR, Role.AUDITOR)
    state = visit.query.get("state", "")
    chosen = ApplicationState(state) if state in set(ApplicationState) else None
    found = visit.site.desk.registrations.page(actor, state=chosen, after=after_of(visit), limit=AT_ONCE)
    after = found[-1].id if len(found) == AT_ONCE else None
    return page(visit, "applications.html", rows=found, after=after, state=state, states=list(ApplicationState))


def _one(visit: Visit, error: SmpkiError | None = None) -> Response:
    actor = visit.need(Role.OPERATOR, Role.AUDITOR)
    application = visit.site.desk.registrations.get(actor, number_of(visit))
    two = application.role in visit.site.desk.pki.policy.dual_control.registration.value
    return page(
        visit, "application.html", 200 if error is None else status_of(error), one=application, two=two, error=error
    )


def _decide(visit: Visit) -> Response:
    actor, registrations, number = visit.need(Role.OPERATOR), visit.site.desk.registrations, number_of(visit)
    try:
        if "approve" in visit.form:
            registrations.approve(actor, number)
        else:
            registrations.refuse(actor, number, visit.form.get("remark", "")[:1000])
    except SmpkiError as error:
        if error.code == "service.desk.unknown":
            raise
        return _one(visit, error)
    return visit.go(f"/applications/{number}")
