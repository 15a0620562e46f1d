"""How somebody gets in: password, passkeys, tokens; whom an operator invites."""

from datetime import timedelta

from starlette.responses import Response

from smpki.errors import ServiceError, SmpkiError
from smpki.service.accounts.actor import Role
from smpki.service.portal.application import Page
from smpki.service.portal.certificates import AT_ONCE
from smpki.service.portal.packages import after_of
from smpki.service.portal.pages import page
from smpki.service.portal.passkeys import can_have_passkeys, passkeys_of
from smpki.service.portal.status import status_of
from smpki.service.portal.visit import SESSION, Visit

INVITED = (Role.PARTICIPANT, Role.AUDITOR)
"""Whom an operator may invite. Who could make an operator alone would be two of them."""


def pages() -> tuple[Page, ...]:
    """The pages of this room."""
    return (
        Page("/account", show=_account),
        Page("/account/password", act=_set_password),
        Page("/account/tokens", act=_new_token),
        Page("/account/tokens/end", act=_end_token),
        Page("/accounts", show=_list, act=_invite),
        Page("/accounts/block", act=_block),
    )


def _account(visit: Visit, error: SmpkiError | None = None, token: str = "") -> Response:
    actor = visit.need()
    tokens = visit.site.desk.accounts.tokens.of(actor.account, limit=AT_ONCE)
    return page(
        visit,
        "account.html",
        status_of(error) if error else 200,
        tokens=tokens,
        token=token,
        passkeys=passkeys_of(visit).of(actor) if can_have_passkeys(visit) else None,
        error=error,
    )


def _set_password(visit: Visit) -> Response:
    """The old password comes along: a browser that was left alone must not be enough to lock its owner out."""
    actor, accounts = visit.need(), visit.site.desk.accounts
    try:
        account = accounts.log_in(actor.name, visit.form.get("old", ""))
        accounts.set_password(account.actor, visit.form.get("new", ""))
    except SmpkiError as error:
        return _account(visit, error)
    visit.cookies[SESSION] = accounts.open_session(account)
    return visit.go("/account?password=1")


def _new_token(visit: Visit) -> Response:
    actor = visit.need()
    days = visit.form.get("days", "")
    lifetime = timedelta(days=int(days)) if days.isascii() and days.isdecimal() and len(days) < 6 else None
    try:
        secret, _ = visit.site.desk.accounts.new_token(actor, visit.form.get("label", "")[:100], lifetime)
    except SmpkiError as error:
        return _account(visit, error)
    return _account(visit, token=secret)


def _end_token(visit: Visit) -> Response:
    actor, number = visit.need(), visit.form.get("token", "")
    if number.isascii() and number.isdecimal() and len(number) < 16:
        visit.site.desk.accounts.tokens.end(int(number), actor.account)
    return visit.go("/account")


def _list(visit: Visit, error: SmpkiError | None = None, invitation: str = "") -> Response:
    visit.need(Role.OPERATOR, Role.AUDITOR)
    found = visit.site.desk.accounts.store.page(after=after_of(visit), limit=AT_ONCE)
    after = found[-1].id if len(found) == AT_ONCE else None
    answer = 200 if error is None else status_of(error)
    return page(
        visit, "accounts.html", answer, rows=found, after=after, roles=INVITED, invitation=invitation, error=error
    )


def _invite(visit: Visit) -> Response:
    actor, role = visit.need(Role.OPERATOR), visit.form.get("role", "")
    if role not in INVITED:
        message, hint = (
            "an operator invites participants and auditors",
            "operators: smpki account invite, at the server",
        )
        return _list(visit, ServiceError("service.portal.operator", message, where="role", hint=hint))
    try:
        invitation = visit.site.desk.accounts.invite(
            visit.form.get("name", "").strip(),
            Role(role),
            by=actor.who,
            common_name=visit.form.get("participant", "").strip() or None,
        )
    except SmpkiError as error:
        return _list(visit, error)
    return _list(visit, invitation=f"{visit.origin}/join?invitation={invitation}")


def _block(visit: Visit) -> Response:
    visit.need(Role.OPERATOR)
    number = visit.form.get("account", "")
    if number.isascii() and number.isdecimal() and len(number) < 16:
        visit.site.desk.accounts.store.block(int(number), "block" in visit.form)
    return visit.go("/accounts")
