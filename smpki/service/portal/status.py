"""The status of what was refused, and what visitors read of it."""

import logging

from smpki.errors import ServiceError, SmpkiError
from smpki.service.rest import problems

log = logging.getLogger("smpki.service")

_STATUS = {
    "service.portal.request": 400,
    "service.portal.login": 401,
    "service.portal.role": 403,
    "service.portal.operator": 403,
    "service.portal.form": 403,
    "service.portal.unknown": 404,
    "service.portal.file": 413,
    "service.tryout.busy": 503,
}
"""Of what the portal has for itself; everything else is as REST has it."""


def status_of(error: SmpkiError) -> int:
    """The HTTP status that says what a refusal is about."""
    return _STATUS.get(error.code) or problems.status_of(error)


def told(error: SmpkiError) -> SmpkiError:
    """An error as visitors read it: of our own affairs, such as a database that is away, the log alone has more."""
    if isinstance(error, ServiceError) or status_of(error) < 500:
        return error
    log.error("portal: %s: %s", error.code, error)
    message, hint = "the service failed, which is no fault of yours", "try again later"
    return ServiceError(error.code, message, hint=hint)
