"""The portal as an ASGI application: its routes, and what becomes of each request."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive

from smpki.errors import ServiceError, SmpkiError
from smpki.service.accounts.actor import Actor
from smpki.service.portal.pages import refused
from smpki.service.portal.site import Site
from smpki.service.portal.status import status_of
from smpki.service.portal.visit import LARGEST_BODY, SESSION, Visit, read_form

log = logging.getLogger("smpki.service")

Handler = Callable[[Visit], Response]
"""Answers a visit; runs in a thread, so it may take its time. A ``SmpkiError`` becomes a page that says why."""


@dataclass(frozen=True)
class Page:
    """One place of the portal.

    :param show: answers GET
    :param act: answers POST, once the form is known to be from our own page
    """

    path: str
    show: Handler | None = None
    act: Handler | None = None


def portal(site: Site, pages: Sequence[Page]) -> Starlette:
    """Put the portal together."""
    routes: list[Route | Mount] = []
    for one in pages:
        handlers = _handlers(one)
        routes.append(Route(one.path, _endpoint(site, handlers), methods=list(handlers)))
    static = StaticFiles(packages=[("smpki.service.portal", "static")])
    routes.append(Mount("/static", static))

    async def http_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        response = await run_in_threadpool(_failed, site, request, _HTTP_ERRORS.get(status, _HTTP_ERRORS[500]), status)
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    async def mistake(request: Request, error: Exception) -> Response:
        log.error("portal: %s", request.url.path, exc_info=error)
        return await run_in_threadpool(_failed, site, request, _HTTP_ERRORS[500], 500)

    return Starlette(routes=routes, exception_handlers={HTTPException: http_error, Exception: mistake})


def _endpoint(site: Site, handlers: Mapping[str, Handler]) -> Callable[[Request], object]:
    async def answer(request: Request) -> Response:
        request = Request(request.scope, _limited(request.receive))
        fields: dict[str, str] = {}
        files: dict[str, bytes] = {}
        error = None
        if request.method == "POST":
            try:
                fields, files = await read_form(request)
            except ServiceError as refusal:
                error = refusal
        return await run_in_threadpool(_answer, site, handlers, request, fields, files, error)

    return answer


def _limited(receive: Receive) -> Receive:
    """Stop a body that is larger than any form of ours, before it fills the disk."""
    left = LARGEST_BODY

    async def limited() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, headers={"connection": "close"})
        return message

    return limited


def _answer(
    site: Site,
    handlers: Mapping[str, Handler],
    request: Request,
    fields: dict[str, str],
    files: dict[str, bytes],
    error: SmpkiError | None,
) -> Response:
    visit = Visit(site, request, None, fields, files)
    try:
        visit.actor = _actor(site, request)
        if error is not None:
            raise error
        if any("\0" in text for text in (*visit.form.values(), *visit.query.values(), *visit.path.values())):
            raise _unreadable()  # no text has this, and PostgreSQL takes none that has it
        if request.method == "POST":
            visit.check_form()
        response = handlers["POST" if request.method == "POST" else "GET"](visit)
    except SmpkiError as refusal:
        status = status_of(refusal)
        if refusal.code == "service.portal.login" and request.method != "POST":
            return visit.finish(visit.go(f"/login?to={request.url.path}"))
        response = refused(visit, refusal, status)
    return visit.finish(response)


def _actor(site: Site, request: Request) -> Actor | None:
    secret = request.cookies.get(SESSION)
    return site.desk.accounts.session(secret) if secret else None


def _handlers(page: Page) -> Mapping[str, Handler]:
    return {method: handler for method, handler in (("GET", page.show), ("POST", page.act)) if handler}


def _failed(site: Site, request: Request, error: ServiceError, status: int) -> Response:
    visit = Visit(site, request, None)
    with suppress(SmpkiError):
        visit.actor = _actor(site, request)
    return visit.finish(refused(visit, error, status))


def _unreadable() -> ServiceError:
    return ServiceError("service.portal.request", "the request could not be read", hint="open the page again")


_HTTP_ERRORS = {
    400: _unreadable(),
    404: ServiceError("service.portal.unknown", "there is nothing here", hint="see the menu"),
    405: ServiceError("service.portal.method", "this can't be done here", hint="see the menu"),
    413: ServiceError("service.portal.file", "this is too large", hint="choose a smaller file"),
    500: ServiceError("service.portal.mistake", "something went wrong here", hint="try again, or tell the operator"),
}
