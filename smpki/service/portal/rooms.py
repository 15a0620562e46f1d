"""All pages of the portal."""

from starlette.applications import Starlette

from smpki.service.portal import (
    access,
    applications,
    audit,
    authorities,
    certificates,
    entry,
    packages,
    passkeys,
    tryouts,
)
from smpki.service.portal.application import portal
from smpki.service.portal.site import Site

ROOMS = (entry, authorities, certificates, packages, applications, audit, tryouts, access, passkeys)


def whole_portal(site: Site) -> Starlette:
    """The portal with all its pages."""
    return portal(site, [page for room in ROOMS for page in room.pages()])
