"""The web service over HTTP: SOAP 1.1 messages by POST, the WSDL at ``?wsdl`` (an ASGI application)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from cryptography import x509

from smpki.errors import SmpkiError
from smpki.policy.text import visible
from smpki.soap.codes import refusal
from smpki.soap.envelope import CONTENT_TYPE, MAX_SIZE
from smpki.soap.faults import Fault, FaultCode, FaultError, SyntaxFailure
from smpki.soap.messages import Answer, Operation, Request
from smpki.soap.read import read_request
from smpki.soap.schema import wsdl
from smpki.soap.write import write_answer, write_fault
from smpki.tls.http_server import Receive, Scope, Send, peer_chain

Answering = Callable[[Request, x509.Certificate], Awaitable[Answer]]
"""Answers a message of whoever holds a TLS certificate; raises why not."""

log = logging.getLogger("smpki.service")


@dataclass(frozen=True)
class Limits:
    """What the service puts up with.

    :param octets: of a message
    :param seconds: for a message to come
    """

    octets: int = MAX_SIZE
    seconds: float = 60.0


class SoapApplication:
    """Takes messages of senders that TLS has let in.

    :param operations: what is offered
    :param limits: what it puts up with
    """

    def __init__(self, answering: Answering, operations: Collection[Operation], limits: Limits) -> None:
        self._answering = answering
        self._operations = operations
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        exchange = _Exchange(scope, receive, send)
        if scope["method"] == "GET" and scope["query_string"].lower() == b"wsdl":
            await exchange.answer(200, wsdl(exchange.address))
        elif scope["method"] != "POST":
            await exchange.answer(405, fields={"allow": "POST"})
        elif exchange.field("content-type").partition(";")[0].strip().lower() != "text/xml":
            await exchange.answer(415)  # SOAP 1.1 section 6
        elif int(exchange.field("content-length") or 0) > self._limits.octets:
            await exchange.answer(413)
        else:
            await self._take(exchange)

    async def _take(self, exchange: "_Exchange") -> None:
        try:
            async with asyncio.timeout(self._limits.seconds):
                body = await exchange.body(self._limits.octets)
        except TimeoutError:
            await exchange.answer(408)
            return
        if body is None:
            return
        if len(body) > self._limits.octets:
            await exchange.answer(413)
            return
        status, message = await self._answer(body, peer_chain(exchange.scope)[0])
        await exchange.answer(status, message)

    async def _answer(self, body: bytes, certificate: x509.Certificate) -> tuple[int, bytes]:
        name = visible(certificate.subject.rfc4514_string())
        try:
            request = await asyncio.to_thread(read_request, body, self._limits.octets)
            if request.operation not in self._operations:
                offered = ", ".join(sorted(self._operations))
                raise FaultError(
                    FaultCode.CLIENT,
                    "operation",
                    f"this CA does not offer {request.operation}",
                    where="body",
                    hint=f"it offers {offered} (TR-03129-4 section 2.4)",
                )
        except FaultError as error:
            log.warning("web service: %s: Fault: %s", name, error)
            return 500, write_fault(error.fault)
        except SyntaxFailure as error:
            return 200, self._refused(error.operation, error, name)
        except Exception:
            log.exception("web service: reading what %s sent failed", name)
            return 500, write_fault(Fault(FaultCode.SERVER, "the service failed: send it again later"))
        try:
            answer = await self._answering(request, certificate)
            message = write_answer(request.operation, answer)
        except Exception as error:
            return 200, self._refused(request.operation, error, name)
        log.info("web service: %s: %s: %s", name, request.operation, answer.code)
        return 200, message

    def _refused(self, operation: Operation, error: Exception, name: str) -> bytes:
        answer = refusal(error, operation)
        if isinstance(error, SmpkiError):
            log.warning("web service: %s: %s: %s: %s", name, operation, answer.code, error)
        else:
            log.error("web service: %s: %s failed", name, operation, exc_info=error)
        return write_answer(operation, answer)


class _Exchange:
    """An HTTP request and its answer as ASGI carries them."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._fields = dict(scope["headers"])
        self._read = not {b"content-length", b"transfer-encoding"} & self._fields.keys()

    def field(self, name: str) -> str:
        """A header field; empty where there is none."""
        octets: bytes = self._fields.get(name.encode(), b"")
        return octets.decode("latin-1")

    @property
    def address(self) -> str:
        """Where the service is, as whoever asks sees it."""
        return f"https://{self.field('host')}{self.scope['path']}"

    async def body(self, limit: int) -> bytes | None:
        """The body, or its beginning where it has more than ``limit`` octets; ``None`` when the peer has gone."""
        body = bytearray()
        while len(body) <= limit:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            body += message["body"]
            if not message["more_body"]:
                self._read = True
                break
        return bytes(body)

    async def answer(self, status: int, body: bytes = b"", fields: dict[str, str] | None = None) -> None:
        """Send the answer; where the request was not read to its end, the connection ends with it."""
        values = {"content-length": str(len(body)), **(fields or {})}
        if body:
            values["content-type"] = CONTENT_TYPE
        if not self._read:
            values["connection"] = "close"
        headers = [(name.encode(), value.encode("latin-1")) for name, value in values.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
