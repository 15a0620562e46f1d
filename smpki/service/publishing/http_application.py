"""Publication over HTTP: an ASGI application that gives out CRLs and certificates of CAs (RFC 5280 4.2.1.13, RFC 2585).

By design without TLS: what is published is public and signed, and who checks a TLS certificate may need the CRL first.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from smpki.errors import StoreError
from smpki.events import LogEvent, Personal, why
from smpki.service.publishing.documents import Document, Documents
from smpki.tls.http_server import Application, Receive, Scope, Send

_PIECE = 262144
_RETRY = "10"

log = logging.getLogger("smpki.publishing")

_Fields = Mapping[str, str]


def application(
    documents: Documents, clock: Callable[[], datetime], longest: timedelta = timedelta(hours=1)
) -> Application:
    """The application, for any ASGI server.

    :param clock: the time now, timezone-aware
    :param longest: how long others may keep a copy without asking; a CRL at most until its nextUpdate, but the next one
        may come earlier
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        method, now = scope["method"], clock()
        if method not in ("GET", "HEAD"):
            await _send(send, now, 405, {"allow": "GET, HEAD"})
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            document = await asyncio.to_thread(documents.find, path)
        except StoreError as error:
            log.error(LogEvent("publish.failed", "a file can't be given out", path=Personal(path), **why(error)))
            await _send(send, now, 503, {"retry-after": _RETRY})
            return
        if document is None:
            await _send(send, now, 404, {})
            return
        fields = _fields(document, now, longest)
        if _has_it(document, {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}):
            await _send(send, now, 304, fields, length=None)
            return
        fields |= {"content-type": document.media_type}
        await _send(send, now, 200, fields, document.content if method == "GET" else b"", len(document.content))

    return answer


def _fields(document: Document, now: datetime, longest: timedelta) -> dict[str, str]:
    keep = int(min(longest, document.ends - now).total_seconds())
    return {
        "etag": f'"{document.digest}"',
        "last-modified": _http_date(min(document.modified, now)),
        "cache-control": f"public, max-age={keep}" if keep > 0 else "no-cache",
    }


def _has_it(document: Document, asked: Mapping[bytes, str]) -> bool:
    """Whether the client has this very document (RFC 9110 13.1.2, 13.1.3)."""
    tags = asked.get(b"if-none-match")
    if tags is not None:
        return any(tag.strip().removeprefix("W/") in ("*", f'"{document.digest}"') for tag in tags.split(","))
    try:
        since = parsedate_to_datetime(asked.get(b"if-modified-since", ""))
    except ValueError:
        return False
    return document.modified <= (since if since.tzinfo else since.replace(tzinfo=UTC))


async def _send(
    send: Send, now: datetime, status: int, fields: _Fields, content: bytes = b"", length: int | None = 0
) -> None:
    """Answer.

    :param length: of the content that a GET would get; ``None`` leaves it out
    """
    every = {"date": _http_date(now), **fields, **({} if length is None else {"content-length": str(length)})}
    headers = [(name.encode(), value.encode("latin-1")) for name, value in every.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    octets = memoryview(content)
    for at in range(0, len(octets), _PIECE):  # so that a slow client does not have it all in memory
        await send({"type": "http.response.body", "body": bytes(octets[at : at + _PIECE]), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)
