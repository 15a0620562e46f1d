"""Passkeys: what the browser's script asks for, and what it brings back."""

import ipaddress
import secrets
from urllib.parse import urlsplit

from starlette.responses import JSONResponse, Response

from smpki.errors import ServiceError
from smpki.service.accounts.passkeys import Ceremony, Passkeys, RelyingParty
from smpki.service.portal.application import Page
from smpki.service.portal.entry import let_in, own_path
from smpki.service.portal.pages import complaint
from smpki.service.portal.status import status_of
from smpki.service.portal.visit import Visit


def pages() -> tuple[Page, ...]:
    """The pages of this room; those for the script answer with JSON."""
    return (
        Page("/passkeys/register/begin", act=_begin_registration),
        Page("/passkeys/register/finish", act=_finish_registration),
        Page("/passkeys/login/begin", act=_begin_login),
        Page("/passkeys/login/finish", act=_finish_login),
        Page("/passkeys/remove", act=_remove),
    )


def can_have_passkeys(visit: Visit) -> bool:
    """Whether browsers do passkeys here: they are bound to a host's name, and an address has none."""
    try:
        ipaddress.ip_address(urlsplit(visit.origin).hostname or "")
    except ValueError:
        return True
    return False


def passkeys_of(visit: Visit) -> Passkeys:
    """Where passkeys are made and used, as this browser knows us."""
    party = RelyingParty(urlsplit(visit.origin).hostname or "", visit.origin)
    return Passkeys(visit.site.desk.pki, party, secrets.token_bytes)


def _begin_registration(visit: Visit) -> Response:
    return _options(passkeys_of(visit).begin_registration(visit.need()))


def _finish_registration(visit: Visit) -> Response:
    answer, label = visit.form.get("credential", ""), visit.form.get("label", "")
    try:
        passkeys_of(visit).finish_registration(visit.need(), visit.form.get("handle", ""), answer, label)
    except ServiceError as error:
        return _complaint(visit, error)
    return JSONResponse({"to": "/account"})


def _begin_login(visit: Visit) -> Response:
    return _options(passkeys_of(visit).begin_log_in())


def _finish_login(visit: Visit) -> Response:
    try:
        account = passkeys_of(visit).finish_log_in(visit.form.get("handle", ""), visit.form.get("credential", ""))
    except ServiceError as error:
        return _complaint(visit, error)
    to = own_path(visit.form.get("to", "/"))
    let_in(visit, account, to)
    return JSONResponse({"to": to})


def _remove(visit: Visit) -> Response:
    passkeys_of(visit).remove(visit.need(), visit.form.get("passkey", ""))
    return visit.go("/account")


def _options(ceremony: Ceremony) -> Response:
    return JSONResponse({"handle": ceremony.handle, "options": ceremony.options})


def _complaint(visit: Visit, error: ServiceError) -> Response:
    return JSONResponse({"error": complaint(visit, error)}, status_code=status_of(error))
