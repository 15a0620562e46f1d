"""What HTTP servers of gateway, administrator and market participant demand of requests, whatever these are about.

Detailspezifikationen zur TR-03109-1, chapter 6. Below are uvicorn and h11, which know HTTP's syntax
(:mod:`smpki.tls.http_server`); above is a handler, which gets and gives values.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from smpki.errors import SmpkiError
from smpki.gateway.content_coding import decode
from smpki.gateway.http_message import Request, Response
from smpki.gateway.http_refusal import HttpRefusal
from smpki.tls.http_server import Receive, Scope, Send, peer_chain, request_head

Handler = Callable[[Request], Awaitable[Response]]
"""Answers a request. What it raises is answered too: an :class:`HttpRefusal` by its status, all else by 500.

It is cancelled when its time is up or its peer is gone; so what must not be left half done has no ``await`` in it.
"""

Refused = Callable[[str, int, SmpkiError], None]
"""Told of each request that is refused, once: what was asked by whom, the status, and why."""

_VERSION = re.compile(r"1\.[1-9]")
_ABSOLUTE = re.compile(r"https?://[^/?]*", re.IGNORECASE)

log = logging.getLogger("smpki.gateway")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server puts up with. The first two figures and the last are the specification's, the others our own.

    :param line: octets of a header field, its CR LF included (REQ.Webservice.HttpServer.170)
    :param fields: octets of all header fields (REQ.Webservice.HttpServer.180)
    :param address: octets of the URI; RFC 9110 4.1 recommends to take 8,000
    :param body: octets of a body, as it comes and as it is unpacked
    :param patience: seconds for a body to come
    :param answer: seconds for the handler (REQ.Webservice.HttpServer.190)
    """

    line: int = 250
    fields: int = 8500
    address: int = 8000
    body: int = 1 << 20
    patience: float = 60.0
    answer: float = 20.0


def log_refusal(what: str, status: int, error: SmpkiError) -> None:
    """Have it in the operating system's log, by the logger ``smpki.gateway``."""
    log.warning("HTTP: %s refused with %d: %s", what, status, error)


class Service:
    """An ASGI application for :func:`smpki.tls.http_server.serve_http` and ``dial_http``."""

    def __init__(self, handler: Handler, limits: Limits | None = None, refused: Refused = log_refusal) -> None:
        self._handler = handler
        self._limits = limits or Limits()
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let go of it when its connection ends (REQ.Webservice.HttpServer.80)."""
        exchange = _Exchange(scope, receive, send, self._limits, self._refused)
        try:
            request = await exchange.request()
        except HttpRefusal as refusal:
            await exchange.answer(exchange.refused(refusal))
        else:
            if request is not None:
                await self._handle(request, exchange)

    async def _handle(self, request: Request, exchange: "_Exchange") -> None:
        handling = asyncio.ensure_future(self._handler(request))
        gone = asyncio.create_task(exchange.gone())
        try:
            await asyncio.wait({handling, gone}, timeout=self._limits.answer, return_when=asyncio.FIRST_COMPLETED)
            if handling.done():
                await exchange.answer(_outcome(handling, exchange))
            elif not gone.done():
                message = f"there was no answer within {self._limits.answer:g} seconds"
                late = HttpRefusal(503, "http.answer.late", message, hint="try again later")
                await exchange.answer(exchange.refused(late))
        finally:
            for task in (handling, gone):
                task.cancel()
            await asyncio.wait({handling, gone})


def _outcome(handling: "asyncio.Future[Response]", exchange: "_Exchange") -> Response:
    try:
        return handling.result()
    except SmpkiError as error:
        return exchange.refused(error)
    except Exception:
        log.exception("HTTP: %s failed", exchange.name)
        return Response.of_error(HttpRefusal(500, "http.internal", "an error of the program", hint="see its log"))


class _Exchange:
    """A request and its answer as ASGI carries them."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits, refused: Refused) -> None:
        self._scope, self._receive, self._send, self._limits = scope, receive, send, limits
        self._tell_refused = refused
        self._unread = False
        self._peer = peer_chain(scope)
        self._line, *self._lines = request_head(scope).split(b"\n")[:-2]

    @property
    def name(self) -> str:
        """What is asked by whom, for the log."""
        whom = self._peer[0].subject.rfc4514_string() if self._peer else "nobody known"
        return f"{self._scope['method'][:20]} {self._scope['path'][:200]!r} of {whom}"

    async def request(self) -> Request | None:
        """The request; ``None`` when its connection ended before it was all there.

        :raises HttpRefusal: it breaks a rule
        """
        fields: dict[str, str] = {}
        for pair in self._scope["headers"]:
            name, value = (octets.decode("latin-1") for octets in pair)
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        length = int(fields.get("content-length", 0))
        self._unread = length > 0 or "transfer-encoding" in fields
        self._check_head()
        path, mark, query = self._address().partition("?")
        self._check_length(fields, length)
        body = await self._body()
        if body is None:
            return None
        decoded = decode(body, fields.get("content-encoding", ""), self._limits.body)
        return Request(self._scope["method"], path, query if mark else None, fields, decoded, self._peer)

    async def gone(self) -> None:
        """Return when the connection has ended."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(self, response: Response) -> None:
        """Send it, with no more header fields than the peer needs (REQ.Webservice.HttpServer.160)."""
        fields = {"content-length": str(len(response.body))} if response.status != 204 else {}
        if response.content_type:
            fields["content-type"] = str(response.content_type)
        fields |= response.fields
        if self._unread:  # nobody will read it
            fields["connection"] = "close"
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": response.body})

    def refused(self, error: SmpkiError) -> Response:
        """The answer to a refused request, which is told."""
        response = Response.of_error(error)
        self._tell_refused(self.name, response.status, error)
        return response

    async def _body(self) -> bytes | None:
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.patience):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message["body"]
                    if not message["more_body"]:
                        self._unread = False
                        return bytes(body)
        except TimeoutError:
            message = f"the request was not there within {self._limits.patience:g} seconds"
            raise HttpRefusal(408, "http.request.late", message, hint="send it again, faster") from None

    def _check_head(self) -> None:
        limits = self._limits
        if not _VERSION.fullmatch(self._scope["http_version"]):
            message = f"HTTP/{self._scope['http_version']} is not spoken here"
            raise HttpRefusal(505, "http.version", message, hint="use HTTP/1.1")
        sizes = [len(line) + 1 for line in self._lines]
        if max(sizes, default=0) > limits.line:
            hint = f"a header field has at most {limits.line} octets"
            raise HttpRefusal(431, "http.header.line", "a header field is too long", hint=hint)
        if sum(sizes) > limits.fields:
            hint = f"the header has at most {limits.fields} octets"
            raise HttpRefusal(431, "http.header", "the header is too long", hint=hint)

    def _address(self) -> str:
        """Path and query of the request target, whose other forms have no use here (RFC 9112 3.2)."""
        target = self._line.split(b" ")[1].decode("latin-1")
        if len(target) > self._limits.address:
            hint = f"a URI has at most {self._limits.address} octets"
            raise HttpRefusal(414, "http.uri", "the URI is too long", hint=hint)
        if absolute := _ABSOLUTE.match(target):
            target = target[absolute.end() :]
            target = target if target.startswith("/") else f"/{target}"
        if not target.startswith("/"):
            raise HttpRefusal(400, "http.target", "the request target is no absolute path", hint="such as /smgw/")
        return target

    def _check_length(self, fields: dict[str, str], length: int) -> None:
        announced = "content-length" in fields or self._scope["method"] not in ("POST", "PUT")
        if "transfer-encoding" in fields or not announced:
            message = "the length of the body is not told in advance"
            raise HttpRefusal(411, "http.body.length", message, hint="send Content-Length, and no Transfer-Encoding")
        if length > self._limits.body:
            hint = f"a body has at most {self._limits.body} octets"
            raise HttpRefusal(413, "http.body.size", "the body is too large", hint=hint)
