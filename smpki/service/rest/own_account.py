"""Accounts over REST: who you are, your tokens, an invitation turned into one."""

from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, Query, Response

from smpki.service.desk.access import unknown
from smpki.service.desk.desk import Desk
from smpki.service.rest.models import (
    ActorModel,
    InvitationModel,
    NewTokenModel,
    Page,
    TokenModel,
    ToldToken,
    page_of,
)
from smpki.service.rest.operation import PREFIX, NumberedPages, WhoAsks, created, operation
from smpki.service.rest.registrations import Number

ROOT = f"{PREFIX}/tokens"


def add_to(app: FastAPI, desk: Desk) -> None:
    """Add the operations."""
    accounts = desk.accounts

    @app.get(f"{PREFIX}/me", tags=["account"], **operation())
    def who_am_i(actor: WhoAsks) -> ActorModel:
        """Who you are here."""
        return ActorModel.of(actor)

    @app.post(
        f"{PREFIX}/invitations", tags=["account"], **created(operation(403, 415, public=True, secret=True, key=True))
    )
    def use_invitation(given: InvitationModel, response: Response) -> ToldToken:
        """Use an invitation up for a token, as a script does; people use it in the portal for a password."""
        secret, token = accounts.new_token(desk.join(given.invitation).actor, given.label)
        response.headers["location"] = f"{ROOT}/{token.id}"
        return ToldToken(**TokenModel.of(token).model_dump(), token=secret)

    @app.get(ROOT, tags=["account"], **operation())
    def list_tokens(actor: WhoAsks, wanted: Annotated[NumberedPages, Query()]) -> Page[TokenModel]:
        """Your tokens that hold."""
        found = accounts.tokens.of(actor.account, after=wanted.after, limit=wanted.limit + 1)
        return Page[TokenModel].model_validate(page_of(found, wanted.limit, TokenModel.of, lambda one: one.id))

    @app.post(ROOT, tags=["account"], **created(operation(415, secret=True, key=True)))
    def make_token(actor: WhoAsks, wish: NewTokenModel, response: Response) -> ToldToken:
        """A further token for your account."""
        secret, token = accounts.new_token(actor, wish.label, timedelta(days=wish.days))
        response.headers["location"] = f"{ROOT}/{token.id}"
        return ToldToken(**TokenModel.of(token).model_dump(), token=secret)

    @app.delete(f"{ROOT}/{{number}}", tags=["account"], status_code=204, **operation(404))
    def end_token(actor: WhoAsks, number: Number) -> None:
        """End a token of yours."""
        if not accounts.tokens.end(number, actor.account):
            raise unknown(number)
