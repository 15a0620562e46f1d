"""What holds for every operation before it is looked at: who asks, what is accepted, how large, and whether it came
before (Idempotency-Key)."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from smpki.errors import ServiceError
from smpki.service.accounts.actor import Actor
from smpki.service.desk.store.idempotency import Idempotency, KeptAnswer
from smpki.service.rest.access import Access

JSON = "application/json"
UPLOADS = ("application/octet-stream", "application/x-pem-file", "application/pkcs7-mime")
PUBLIC, SECRET = "x-public", "x-secret"
"""Marks of operations: nobody is asked who it is; the answer tells a secret, and is not kept."""

_LARGEST_JSON = 16 * 1024
LARGEST_UPLOAD = 1024 * 1024
_KEY = re.compile("[!-~]{1,255}")


@dataclass(frozen=True)
class Setting:
    """What guards need.

    :param access: says who asks
    :param seconds: for a body to come
    """

    access: Access
    idempotency: Idempotency
    seconds: float = 60.0


class GuardedRoute(APIRoute):
    """An operation with its guards; ``app.state.setting`` is a :class:`Setting`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See :class:`APIRoute`."""
        handle = super().get_route_handler()
        extra = self.openapi_extra or {}
        media_types = _media_types(self)
        accepted_bodies = (JSON,) if self.body_field is not None else tuple(_uploads(extra))
        limit = LARGEST_UPLOAD if UPLOADS[0] in accepted_bodies else _LARGEST_JSON

        async def guarded(request: Request) -> Response:
            setting: Setting = request.app.state.setting
            actor = None
            if not extra.get(PUBLIC):
                actor = await run_in_threadpool(setting.access, request)
            request.state.actor = actor
            _check_accept(request, media_types)
            if accepted_bodies:
                _check_media_type(request, accepted_bodies)
            try:
                async with asyncio.timeout(setting.seconds):
                    body = await _read(request, limit)
            except TimeoutError:
                message, hint = f"the body did not come within {setting.seconds:g} seconds", "send it again"
                raise ServiceError("service.rest.slow", message, hint=hint) from None
            key = request.headers.get("idempotency-key")
            if key is None or request.method != "POST":
                return _for_one(await handle(request), actor)
            kept = _Kept(setting.idempotency, _who(request, actor), key, bool(extra.get(SECRET)))
            return _for_one(await kept.once(request, body, handle), actor)

        return guarded


def was_read(request: Request) -> bool:
    """Whether the body of a request, if it has one, was read to its end."""
    has_body = "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
    return not has_body or getattr(request.state, "read", False)


class _Kept:
    """A request with a key: done once, answered as often as it is sent."""

    def __init__(self, idempotency: Idempotency, who: str, key: str, secret: bool) -> None:
        if not _KEY.fullmatch(key):
            message, hint = "this is no Idempotency-Key", "1 to 255 printable ASCII characters, no blanks"
            raise ServiceError("service.rest.key", message, where="Idempotency-Key", hint=hint)
        self._idempotency = idempotency
        self._who = who
        self._key = key
        self._secret = secret

    async def once(self, request: Request, body: bytes, handle: Callable[[Request], Any]) -> Response:
        """Do it, or give the answer of the first time."""
        said = f"{request.method} {request.url.path}?{request.url.query} {request.headers.get('content-type')}\n"
        fingerprint = hashlib.sha256(said.encode() + body).hexdigest()
        before = await run_in_threadpool(self._idempotency.begin, self._who, self._key, fingerprint)
        if before is not None:
            return self._again(before)
        try:
            response: Response = await handle(request)
        except Exception:  # who hangs up gets no answer, but what he asked for may go on
            await run_in_threadpool(self._idempotency.give_up, self._who, self._key)
            raise
        answer = KeptAnswer(
            response.status_code,
            response.headers.get("content-type"),
            response.headers.get("location"),
            None if self._secret else bytes(response.body),
        )
        await run_in_threadpool(self._idempotency.finish, self._who, self._key, answer)
        return response

    def _again(self, before: KeptAnswer) -> Response:
        if before.body is None:
            message, hint = "this was done, and its secret is told only once", "start again with another key"
            raise ServiceError("service.rest.idempotency.told", message, where="Idempotency-Key", hint=hint)
        headers = {"location": before.location} if before.location else {}
        if before.media_type:
            headers["content-type"] = before.media_type
        return Response(before.body, before.status, headers)


def _for_one(response: Response, actor: Actor | None) -> Response:
    """What is for one who asks is kept by no cache, and no browser guesses what it is."""
    response.headers["x-content-type-options"] = "nosniff"
    if actor is not None or response.status_code == 201:
        response.headers["cache-control"] = "no-store"
    return response


def _who(request: Request, actor: Actor | None) -> str:
    if actor is None:
        return f"{request.client.host if request.client else ''} {request.url.path}"
    return actor.who


def _media_types(route: APIRoute) -> list[str]:
    """What an operation answers with when all is well."""
    success = route.responses.get(200) or route.responses.get(201) or {}
    return list(success.get("content") or (JSON,))


def _uploads(extra: dict[str, Any]) -> list[str]:
    return list(extra.get("requestBody", {}).get("content", ()))


def _check_accept(request: Request, media_types: list[str]) -> None:
    """RFC 9110 12.5.1; without Accept everything is accepted, and so are errors in any case."""
    given = request.headers.getlist("accept")
    ranges = [one.strip() for one in ",".join(given).split(",") if one.strip()]
    if not ranges:
        return
    for one in ranges:
        name, *parameters = (part.strip().lower() for part in one.split(";"))
        if any(parameter.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for parameter in parameters):
            continue
        if any(name in ("*/*", media_type, f"{media_type.partition('/')[0]}/*") for media_type in media_types):
            return
    hint = f"accept {' or '.join(media_types)}"
    raise ServiceError("service.rest.accept", "you accept nothing that this answers with", where="Accept", hint=hint)


def _check_media_type(request: Request, accepted: tuple[str, ...]) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in accepted:
        message, hint = "this media type is not taken here", f"send {' or '.join(accepted)}"
        raise ServiceError("service.rest.media_type", message, where="Content-Type", hint=hint)


async def _read(request: Request, limit: int) -> bytes:
    """The body, which FastAPI finds read."""
    too_large = ServiceError(
        "service.rest.size", f"the body has more than {limit // 1024} KiB", hint="a package has a few KiB"
    )
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > limit:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise too_large
    request.state.read = True
    request._body = bytes(body)
    return request._body
