"""The desk over REST, put together."""

import json
import logging
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Route

from smpki import __version__
from smpki.errors import SmpkiError
from smpki.events import LogEvent, Personal, why
from smpki.service.desk.desk import Desk
from smpki.service.desk.store.idempotency import Idempotency
from smpki.service.rest import audit, certificates, own_account, packages, public, registrations
from smpki.service.rest.access import Access, Throttle
from smpki.service.rest.guard import GuardedRoute, Setting, was_read
from smpki.service.rest.operation import PREFIX
from smpki.service.rest.problems import Problem, other_problem, problem, status_of

log = logging.getLogger("smpki.service")

_TITLE = "smpki: test certificates of the Smart Metering PKI"
_ABOUT = """Register, hand in request packages, get certificates, renew, revoke.

Errors are problem details (RFC 9457). Lists go by key: `next` of a page is `after` of the next one. A POST with an
Idempotency-Key is done once."""
_ROOMS = (registrations, packages, certificates, public, own_account, audit)


def rest_application(desk: Desk, access: Access, throttle: Throttle | None = None) -> FastAPI:
    """The operations below ``/api/v1``, as an ASGI application.

    :param access: says who asks
    :param throttle: how often somebody may apply, who needs no account for it
    """
    app = FastAPI(title=_TITLE, version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.route_class = GuardedRoute
    app.router.redirect_slashes = False
    app.state.setting = Setting(access, desk.pki.store.beside(Idempotency))
    app.state.throttle = throttle or Throttle(desk.pki.clock)
    for room in _ROOMS:
        room.add_to(app, desk)
    _add_document(app)
    _add_errors(app)
    return app


def _add_document(app: FastAPI) -> None:
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(get_openapi(title=_TITLE, version=__version__, description=_ABOUT, routes=app.routes))
            components = document["components"]
            reference = "#/components/schemas/{model}"
            components["schemas"]["Problem"] = Problem.model_json_schema(ref_template=reference)
            components["schemas"]["Problem"].pop("$defs", None)
            token = {"type": "http", "scheme": "bearer", "description": "on the people's port"}
            certificate = {"type": "mutualTLS", "description": "on the port of the web service"}
            components["securitySchemes"] = {"token": token, "certificate": certificate}
        return document

    app.openapi = openapi  # type: ignore[method-assign]

    async def serve(_: Request) -> Response:
        return Response(json.dumps(openapi()), media_type="application/json")

    app.router.add_route(f"{PREFIX}/openapi.json", serve, methods=["GET"], include_in_schema=False)


def _facts(request: Request) -> dict[str, object]:
    return {"method": request.method, "path": Personal(request.url.path)}


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(SmpkiError)
    async def refused(request: Request, error: SmpkiError) -> Response:
        if status_of(error) >= 500:
            log.error(LogEvent("rest.failed", "REST: a request could not be answered", **_facts(request), **why(error)))
        # a body that nobody read is in the way of the next request
        return problem(error, None if was_read(request) else {"connection": "close"})

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        wrong = SmpkiError("service.rest.schema", str(first["msg"])[:300], where=place[:200], hint="see the schema")
        return problem(wrong)

    @app.exception_handler(StarletteHTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        code = {404: "path", 405: "method"}.get(error.status_code, "request")
        headers = {"allow": ", ".join(_methods(app, request.url.path))} if error.status_code == 405 else error.headers
        return other_problem(error.status_code, f"service.rest.{code}", str(error.detail), headers)

    @app.exception_handler(Exception)
    async def mistake(request: Request, error: Exception) -> Response:
        log.error(LogEvent("rest.mistake", "REST: a request failed", **_facts(request)), exc_info=error)
        return other_problem(500, "service.rest.mistake", "the service failed, which is no fault of the request")


def _methods(app: FastAPI, path: str) -> list[str]:
    """What may be done at a path; the framework names the methods of one operation there, not of all."""
    routes = (route for route in app.routes if isinstance(route, Route) and route.path_regex.match(path))
    return sorted({method for route in routes for method in route.methods or ()})
