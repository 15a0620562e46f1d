"""The audit trail, and whether its chain holds."""

from starlette.responses import Response

from smpki.service.accounts.actor import Role
from smpki.service.portal.application import Page
from smpki.service.portal.certificates import AT_ONCE
from smpki.service.portal.pages import page
from smpki.service.portal.visit import Visit


def pages() -> tuple[Page, ...]:
    """The pages of this room."""
    return (Page("/audit", show=_list), Page("/audit/verify", act=_verify))


def _list(visit: Visit) -> Response:
    actor = visit.need(Role.OPERATOR, Role.AUDITOR)
    text = visit.query.get("before", "")
    before = int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None
    found = visit.site.desk.trail.page(actor, before=before, limit=AT_ONCE)
    return page(visit, "audit.html", rows=found, before=found[-1].seq if len(found) == AT_ONCE else None)


def _verify(visit: Visit) -> Response:
    report = visit.site.desk.trail.verify(visit.need(Role.OPERATOR, Role.AUDITOR))
    return page(visit, "verified.html", report=report)
