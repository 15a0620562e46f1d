"""Certificates: one's own, all of them, one in plain words, as files; what ends when; taking them back."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

from starlette.responses import Response

from smpki.ca.store.records import ListedCertificate
from smpki.errors import SmpkiError
from smpki.policy.model import CertificateType, Revocation
from smpki.requests.explain import explain
from smpki.service.accounts.actor import Actor, Role
from smpki.service.desk.access import unknown
from smpki.service.desk.certificates import Certificates, Standing
from smpki.service.desk.download import Download, der, p12, pem, pem_chain, zip_file
from smpki.service.desk.store.applications import ApplicationState
from smpki.service.desk.store.submissions import SubmissionState
from smpki.service.portal.application import Page
from smpki.service.portal.authorities import attachment
from smpki.service.portal.hierarchy import SOON, state_of
from smpki.service.portal.pages import page
from smpki.service.portal.status import status_of
from smpki.service.portal.visit import Visit

AT_ONCE = 50
"""Rows of a list; the next ones are on a page of their own."""

FORMS = ("pem", "der", "chain", "p12", "zip")
"""What a certificate can be had as."""

_NEWEST = 3 * 16
"""Certificates of a participant's first page: whole triples."""

_HORIZON = timedelta(days=400)
_EVERYBODY = Actor(0, "", Role.PARTICIPANT)
"""Who sees what everybody sees."""


def pages() -> tuple[Page, ...]:
    """The pages of this room."""
    return (
        Page("/home", show=_home),
        Page("/certificates", show=_list),
        Page("/certificates/{serial}", show=_one),
        Page("/certificates/{serial}/file", show=_file),
        Page("/certificates/{serial}/revoke", show=_ask_revoke, act=_revoke),
        Page("/calendar", show=_calendar),
    )


def _home(visit: Visit) -> Response:
    actor, now = visit.need(), visit.site.clock()
    if actor.role is not Role.PARTICIPANT:
        return page(visit, "overview.html", **_work(visit, actor))
    found = visit.site.desk.certificates.newest(actor, limit=_NEWEST)
    triples = [(one, state_of(one, now)) for one in reversed(found)]
    return page(visit, "home.html", triples=_by_number(triples), more=len(found) == _NEWEST)


def _work(visit: Visit, actor: Actor) -> dict[str, object]:
    """What waits for the operators."""
    desk = visit.site.desk
    return {
        "applications": desk.registrations.page(actor, state=ApplicationState.APPLIED, limit=AT_ONCE),
        "packages": desk.packages.page(actor, state=SubmissionState.HELD, limit=AT_ONCE),
        "ending": desk.certificates.ending(actor, visit.site.clock() + SOON, limit=10),
        "series": desk.crls.series(),
    }


def _by_number(found: Sequence[tuple[Standing, str]]) -> list[tuple[int | None, list[tuple[Standing, str]]]]:
    """One's certificates triple by triple, the newest first."""
    ordered = sorted(found, key=lambda one: -(one[0].certificate.dn_serial or 0))
    return [(number, list(those)) for number, those in groupby(ordered, lambda one: one[0].certificate.dn_serial)]


def _list(visit: Visit) -> Response:
    actor = visit.need(Role.OPERATOR, Role.AUDITOR)
    kind, name = visit.query.get("kind") or None, visit.query.get("cn") or None
    chosen = CertificateType(kind) if kind in set(CertificateType) else None
    found = visit.site.desk.certificates.page(
        actor, after=visit.query.get("after"), limit=AT_ONCE, kind=chosen, common_name=name
    )
    now = visit.site.clock()
    return page(
        visit,
        "certificates.html",
        rows=[(one.certificate, state_of(one, now)) for one in found],
        after=found[-1].certificate.serial if len(found) == AT_ONCE else None,
        kinds=list(CertificateType),
        kind=kind or "",
        cn=name or "",
    )


def _one(visit: Visit) -> Response:
    desk, serial = visit.site.desk, visit.path["serial"]
    actor = visit.actor or _EVERYBODY
    one = desk.certificates.get(actor, serial)
    standing = desk.certificates.standing(actor, serial)
    (part,) = explain(one.der, desk.pki.policy).parts
    return page(
        visit,
        "certificate.html",
        one=one,
        standing=standing,
        state=state_of(standing, visit.site.clock()),
        part=part,
        triple=desk.certificates.triple(actor, serial),
        chain=desk.certificates.chain(actor, serial),
        forms=FORMS,
        may_revoke=visit.actor is not None and _may_revoke(visit.actor, one),
    )


def _may_revoke(actor: Actor, one: ListedCertificate) -> bool:
    """Whether the page offers it; the desk decides."""
    kind = CertificateType(one.kind)
    return kind is not CertificateType.ROOT and (
        actor.role is Role.OPERATOR or (actor.role is Role.PARTICIPANT and kind.is_end_user)
    )


def _file(visit: Visit) -> Response:
    actor, serial = visit.actor or _EVERYBODY, visit.path["serial"]
    form = visit.query.get("form", "")
    if form not in FORMS:
        raise unknown(form[:20])
    file = _download(visit.site.desk.certificates, actor, serial, form)
    return Response(file.content, media_type=file.media_type, headers=attachment(file.name))


def _download(certificates: Certificates, actor: Actor, serial: str, form: str) -> Download:
    one, chain = certificates.get(actor, serial), certificates.chain(actor, serial)
    match form:
        case "pem":
            return pem(one)
        case "der":
            return der(one)
        case "chain":
            return pem_chain(one, chain)
        case "p12":
            return p12(one, chain)
    return zip_file(certificates.triple(actor, serial), chain)


def _ask_revoke(visit: Visit, error: SmpkiError | None = None) -> Response:
    actor = visit.need(Role.PARTICIPANT, Role.OPERATOR)
    certificates, serial = visit.site.desk.certificates, visit.path["serial"]
    one = certificates.get(actor, serial)
    choices = _choices(visit.site.desk.pki.policy.revocation, actor, certificates.standing(actor, serial))
    triple = certificates.triple(actor, serial)
    answer = 200 if error is None else status_of(error)
    return page(visit, "revoke.html", answer, one=one, triple=triple, choices=choices, error=error)


def _choices(rules: Revocation, actor: Actor, standing: Standing) -> list[str]:
    """The reasons that somebody can give for this certificate."""
    kind, revocation = CertificateType(standing.certificate.kind), standing.revocation
    others = {"certificate_hold"}
    if kind.is_end_user:
        others.add("ca_compromise")
    if actor.role is Role.PARTICIPANT:
        others.add("privilege_withdrawn")
    reasons: list[str] = [reason for reason in rules.reasons.value if reason not in others]
    if revocation is not None and revocation.suspended_until is not None:
        return ["remove_from_crl", *reasons]
    return [*reasons, "certificate_hold"] if kind in rules.suspension_types.value else reasons


def _revoke(visit: Visit) -> Response:
    actor, serial = visit.need(Role.PARTICIPANT, Role.OPERATOR), visit.path["serial"]
    try:
        result = visit.site.desk.certificates.revoke(actor, serial, visit.form.get("reason", ""))
    except SmpkiError as error:
        if error.code.startswith("revocation."):
            return _ask_revoke(visit, error)
        raise
    return visit.go(f"/certificates/{serial}?{'waits' if result.waits else 'done'}=1")


def _calendar(visit: Visit) -> Response:
    """What ends in the next thirteen months, month by month."""
    actor, now = visit.need(), visit.site.clock()
    after = visit.query.get("after")
    found = visit.site.desk.certificates.ending(actor, now + _HORIZON, after=after, limit=AT_ONCE)
    months = [(month, list(those)) for month, those in groupby(found, lambda one: _month(one.not_after))]
    return page(
        visit,
        "calendar.html",
        months=months,
        soon=now + SOON,
        after=found[-1].serial if len(found) == AT_ONCE else None,
    )


def _month(moment: datetime) -> datetime:
    return datetime(moment.year, moment.month, 1, tzinfo=moment.tzinfo)
