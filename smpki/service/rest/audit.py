"""The audit trail over REST."""

import dataclasses
from typing import Annotated

from fastapi import FastAPI, Query

from smpki.service.desk.desk import Desk
from smpki.service.rest.models import AuditFindingModel, AuditModel, Page, VerificationModel, page_of
from smpki.service.rest.operation import PREFIX, Pages, WhoAsks, operation

ROOT = f"{PREFIX}/audit"


class _Wanted(Pages):
    before: Annotated[int, Query(ge=1, lt=1 << 63, description="`next` of the page before")] | None = None


def add_to(app: FastAPI, desk: Desk) -> None:
    """Add the operations."""

    @app.get(ROOT, tags=["audit"], **operation())
    def list_audit(actor: WhoAsks, wanted: Annotated[_Wanted, Query()]) -> Page[AuditModel]:
        """The entries of the audit chain, newest first; for operators and auditors."""
        found = desk.trail.page(actor, before=wanted.before, limit=wanted.limit + 1)
        return Page[AuditModel].model_validate(page_of(found, wanted.limit, AuditModel.of, lambda one: one.seq))

    @app.get(f"{ROOT}/verification", tags=["audit"], **operation())
    def verify_audit(actor: WhoAsks) -> VerificationModel:
        """Verify the audit chain: no entry changed, missing or swapped, no tail cut off. It takes its time."""
        report = desk.trail.verify(actor)
        findings = [AuditFindingModel(**dataclasses.asdict(one)) for one in report.findings]
        return VerificationModel(
            holds=report.holds,
            entries=report.entries,
            heads=report.heads,
            signed=report.signed,
            behind=report.behind,
            findings=findings,
        )
