"""The PKI itself, for everybody: the hierarchy as a picture, certificates of CAs, revocation lists."""

from starlette.responses import Response

from smpki.service.portal.application import Page
from smpki.service.portal.hierarchy import HEIGHT, WIDTH, draw, state_of
from smpki.service.portal.pages import page
from smpki.service.portal.visit import Visit


def pages() -> tuple[Page, ...]:
    """The pages of this room."""
    return (
        Page("/hierarchy", show=_hierarchy),
        Page("/crls/{name}", show=_crl),
        Page("/crls", act=_issue_crls),
    )


def _hierarchy(visit: Visit) -> Response:
    desk, now = visit.site.desk, visit.site.clock()
    authorities = desk.certificates.authorities()
    return page(
        visit,
        "hierarchy.html",
        picture=draw(authorities, now),
        box=(WIDTH, HEIGHT),
        authorities=[(one.certificate, state_of(one, now)) for one in authorities],
        series=desk.crls.series(),
    )


def _crl(visit: Visit) -> Response:
    name = visit.path["name"]
    found = visit.site.desk.crls.get(name)
    return Response(found.der, media_type="application/pkix-crl", headers=attachment(name))


def _issue_crls(visit: Visit) -> Response:
    visit.site.desk.crls.issue(visit.need())
    return visit.go("/hierarchy#crls")


def attachment(name: str) -> dict[str, str]:
    """The header that makes a browser keep a file under a name; only what is harmless in it stays."""
    harmless = "".join(one if one.isascii() and (one.isalnum() or one in "._-") else "_" for one in name)
    return {"content-disposition": f'attachment; filename="{harmless}"', "x-content-type-options": "nosniff"}
