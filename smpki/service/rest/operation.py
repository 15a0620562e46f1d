"""What operations share: how they are declared, whom they are for, and the pages of lists."""

from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from smpki.service.accounts.actor import Actor
from smpki.service.desk.download import Download
from smpki.service.rest.guard import PUBLIC, SECRET, UPLOADS
from smpki.service.rest.problems import problems

PREFIX = "/api/v1"

_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "the same request with the same key is done once, and answered alike for a day",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_TOKEN_OR_CERTIFICATE: list[dict[str, list[str]]] = [{"token": []}, {"certificate": []}]


def operation(
    *more: int, public: bool = False, secret: bool = False, key: bool = False, upload: bool = False
) -> dict[str, Any]:
    """Keywords of a route.

    :param more: statuses of errors, besides those that every operation may have
    :param public: for everybody
    :param secret: the answer tells a secret
    :param key: Idempotency-Key is heeded
    :param upload: the body is a file
    """
    statuses = {406, 422, 503, *more}
    extra: dict[str, Any] = {"security": []} if public else {"security": _TOKEN_OR_CERTIFICATE}
    if public:
        extra[PUBLIC] = True
    else:
        statuses |= {401, 403, 429}
    if secret:
        extra[SECRET] = True
    if key:
        statuses |= {400, 408, 409, 413}
        extra["parameters"] = [_KEY]
    if upload:
        statuses |= {408, 413, 415}
        extra["requestBody"] = {"required": True, "content": dict.fromkeys(UPLOADS, _BINARY)}
    return {"responses": problems(*sorted(statuses)), "openapi_extra": extra}


def created(kept: dict[str, Any]) -> dict[str, Any]:
    """Keywords of a route that makes something, and says where it is."""
    location = {"description": "where it is", "schema": {"type": "string"}, "required": True}
    made = {201: {"description": "it was made", "headers": {"Location": location}}}
    return {**kept, "status_code": 201, "responses": {**kept["responses"], **made}}


def file(*media_types: str, **keywords: Any) -> dict[str, Any]:
    """Keywords of a route that answers with a file.

    :param keywords: of :func:`operation`
    """
    kept = operation(404, **keywords)
    content = dict.fromkeys(media_types, _BINARY)
    return {**kept, "responses": {**kept["responses"], 200: {"description": "the file", "content": content}}}


def _actor(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor


async def _upload(request: Request) -> bytes:
    return await request.body()


WhoAsks = Annotated[Actor, Depends(_actor)]
Upload = Annotated[bytes, Depends(_upload)]


class Pages(BaseModel):
    """Which page of a list is wanted."""

    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=1, le=200, description="how many at most")] = 50


class NumberedPages(Pages):
    """Which page of a list that goes by number."""

    after: Annotated[int, Field(ge=0, lt=1 << 63, description="`next` of the page before")] = 0


Numbered = Annotated[NumberedPages, Query()]


def download(one: Download) -> Response:
    """A file as an answer."""
    headers = {"content-disposition": f'attachment; filename="{one.name}"'}
    return Response(one.content, media_type=one.media_type, headers=headers)
