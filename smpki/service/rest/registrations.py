"""Registrations over REST."""

from typing import Annotated

from fastapi import FastAPI, Path, Query, Request, Response

from smpki.policy.model import CertificateType
from smpki.service.desk.desk import Desk
from smpki.service.desk.registrations import Form
from smpki.service.desk.store.applications import ApplicationState
from smpki.service.rest.access import Throttle
from smpki.service.rest.models import ApplicationModel, FormModel, Page, RemarkModel, ToldApplication, page_of
from smpki.service.rest.operation import PREFIX, NumberedPages, WhoAsks, created, operation

ROOT = f"{PREFIX}/registrations"
Number = Annotated[int, Path(ge=1, lt=1 << 63)]


class _Wanted(NumberedPages):
    state: ApplicationState | None = None


def add_to(app: FastAPI, desk: Desk) -> None:
    """Add the operations."""
    throttle: Throttle = app.state.throttle

    @app.post(ROOT, tags=["registrations"], **created(operation(415, 429, public=True, secret=True, key=True)))
    def apply_for_registration(form: FormModel, request: Request, response: Response) -> ToldApplication:
        """Apply to be a participant; nobody has to log in. Keep the claim: it is your invitation once an operator has
        approved."""
        throttle.count(request)
        values = form.model_dump() | {"role": CertificateType(form.role)}
        application, claim = desk.registrations.apply(Form(**values))
        response.headers["location"] = f"{ROOT}/{application.id}"
        return ToldApplication(**ApplicationModel.of(application).model_dump(), claim=claim)

    @app.get(ROOT, tags=["registrations"], **operation())
    def list_registrations(actor: WhoAsks, wanted: Annotated[_Wanted, Query()]) -> Page[ApplicationModel]:
        """Applications in the order in which they came: your own, or all."""
        found = desk.registrations.page(actor, state=wanted.state, after=wanted.after, limit=wanted.limit + 1)
        page = page_of(found, wanted.limit, ApplicationModel.of, lambda one: one.id)
        return Page[ApplicationModel].model_validate(page)

    @app.get(f"{ROOT}/{{number}}", tags=["registrations"], **operation(404))
    def get_registration(actor: WhoAsks, number: Number) -> ApplicationModel:
        """One application."""
        return ApplicationModel.of(desk.registrations.get(actor, number))

    @app.post(f"{ROOT}/{{number}}/approval", tags=["registrations"], **operation(404, 409, key=True))
    def approve_registration(actor: WhoAsks, number: Number) -> ApplicationModel:
        """Approve, as an operator. Where the policy wants two, it stays `applied` until another one does so too."""
        return ApplicationModel.of(desk.registrations.approve(actor, number))

    @app.post(f"{ROOT}/{{number}}/refusal", tags=["registrations"], **operation(404, 409, 415, key=True))
    def refuse_registration(actor: WhoAsks, number: Number, why: RemarkModel) -> ApplicationModel:
        """Refuse, as an operator."""
        return ApplicationModel.of(desk.registrations.refuse(actor, number, why.remark))
