"""Coming in: start page, log-in and log-out, invitations, the language."""

import re

from starlette.responses import Response

from smpki.errors import ServiceError
from smpki.service.accounts.store.accounts import Account
from smpki.service.portal.application import Page
from smpki.service.portal.languages import LANGUAGES
from smpki.service.portal.pages import page
from smpki.service.portal.status import status_of
from smpki.service.portal.visit import LANGUAGE, SESSION, VISITOR, Visit

_OWN_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")


def pages() -> tuple[Page, ...]:
    """The pages of this room."""
    return (
        Page("/", show=_start),
        Page("/login", show=_show_login, act=_log_in),
        Page("/logout", act=_log_out),
        Page("/join", show=_show_join, act=_join),
        Page("/language", act=_choose_language),
    )


def let_in(visit: Visit, account: Account, to: str) -> Response:
    """Log somebody in, and send the browser on."""
    visit.cookies[SESSION] = visit.site.desk.accounts.open_session(account)
    visit.cookies[VISITOR] = None
    return visit.go(own_path(to))


def own_path(to: str) -> str:
    """A path of this portal: what is anywhere else is not followed.

    Browsers take a backslash for a slash, and pass over tabs and ends of lines, so paths with such are not ours.
    """
    return to if _OWN_PATH.fullmatch(to) else "/"


def _start(visit: Visit) -> Response:
    if visit.actor is not None:
        return visit.go("/home")
    return page(visit, "start.html")


def _show_login(visit: Visit) -> Response:
    return page(visit, "login.html", to=visit.query.get("to", "/"), name="", error=None)


def _log_in(visit: Visit) -> Response:
    name, to = visit.form.get("name", ""), visit.form.get("to", "/")
    try:
        account = visit.site.desk.accounts.log_in(name, visit.form.get("password", ""))
    except ServiceError as error:
        return page(visit, "login.html", status_of(error), to=to, name=name, error=error)
    return let_in(visit, account, to)


def _log_out(visit: Visit) -> Response:
    if secret := visit.request.cookies.get(SESSION):
        visit.site.desk.accounts.end_session(secret)
    visit.cookies[SESSION] = None
    return visit.go("/")


def _show_join(visit: Visit) -> Response:
    return page(visit, "join.html", invitation=visit.query.get("invitation", ""), error=None)


def _join(visit: Visit) -> Response:
    """Set the password; who comes from the page of its registration is asked for one first."""
    invitation, password = visit.form.get("invitation", ""), visit.form.get("password", "")
    if "password" not in visit.form:
        return page(visit, "join.html", invitation=invitation, error=None)
    try:
        if password != visit.form.get("again", ""):
            message, hint = "the two passwords differ", "type the same one twice"
            raise ServiceError("service.portal.password", message, hint=hint)
        account = visit.site.desk.join(invitation.strip(), password)
    except ServiceError as error:
        return page(visit, "join.html", status_of(error), invitation=invitation, error=error)
    return let_in(visit, account, "/home")


def _choose_language(visit: Visit) -> Response:
    language = visit.form.get("language", "")
    if language in LANGUAGES:
        visit.cookies[LANGUAGE] = language
    return visit.go(own_path(visit.form.get("to", "/")))
