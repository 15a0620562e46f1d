"""The web service over HTTP: SOAP 1.1 messages by POST, the WSDL at ``?wsdl`` (an ASGI application)."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

from cryptography import x509

from smpki.ca.store.records import serial_text
from smpki.errors import SmpkiError
from smpki.events import LogEvent, Personal, why
from smpki.policy.lint.classify import classify
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

Observe = Callable[["Answered"], None]
"""Is told of each answer."""

_FAULT = "Fault"

log = logging.getLogger("smpki.service")


@dataclass(frozen=True)
class Limits:
    """What the service puts up with.

    :param octets: of a message
    :param seconds: for a message to come
    """

    octets: int = MAX_SIZE
    seconds: float = 60.0


@dataclass(frozen=True)
class Answered:
    """A message and what became of it.

    :param operation: ``""`` where it can't be told
    :param code: the return code; ``Fault`` for a SOAP Fault
    :param error: the code of what was in the way; ``""``: nothing
    :param seconds: from the last octet of the message to the answer
    """

    operation: str
    code: str
    error: str
    seconds: float


class SoapApplication:
    """Takes messages of senders that TLS has let in.

    :param operations: what is offered
    :param limits: what it puts up with
    """

    def __init__(
        self,
        answering: Answering,
        operations: Collection[Operation],
        limits: Limits,
        observe: Observe = lambda answered: None,
    ) -> None:
        self._answering = answering
        self._operations = operations
        self._limits = limits
        self._observe = observe

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
        begun = time.perf_counter()
        certificate = peer_chain(exchange.scope)[0]
        status, message, operation, code, error = await self._answer(body, certificate)
        rule = "" if error is None else error.code if isinstance(error, SmpkiError) else type(error).__name__
        answered = Answered(operation, code, rule, time.perf_counter() - begun)
        self._observe(answered)
        _log(answered, certificate, error)
        await exchange.answer(status, message)

    async def _answer(self, body: bytes, certificate: x509.Certificate) -> "_Outcome":
        try:
            request = await asyncio.to_thread(read_request, body, self._limits.octets)
            if request.operation not in self._operations:
                offered = ", ".join(sorted(self._operations))
                raise FaultError(
                    FaultCode.CLIENT,
                    "operation",
                    f"this service does not offer {request.operation}",
                    where="body",
                    hint=f"it offers {offered} (TR-03129-4 section 2.4)",
                )
        except FaultError as error:
            return _Outcome(500, write_fault(error.fault), "", _FAULT, error)
        except SyntaxFailure as error:
            return _refused(error.operation, error)
        except Exception as error:
            fault = Fault(FaultCode.SERVER, "the service failed: send it again later")
            return _Outcome(500, write_fault(fault), "", _FAULT, error)
        try:
            answer = await self._answering(request, certificate)
            message = write_answer(request.operation, answer)
        except Exception as error:
            return _refused(request.operation, error)
        return _Outcome(200, message, request.operation, answer.code, None)


class _Outcome(NamedTuple):
    status: int
    message: bytes
    operation: str
    code: str
    error: Exception | None


def _refused(operation: Operation, error: Exception) -> _Outcome:
    answer = refusal(error, operation)
    return _Outcome(200, write_answer(operation, answer), operation, answer.code, error)


def _log(answered: Answered, certificate: x509.Certificate, error: Exception | None) -> None:
    """Who sent it is told by role and serial number: operators can look that up, others can't."""
    role = classify(certificate)
    facts: dict[str, object] = {
        "operation": answered.operation,
        "code": answered.code,
        "seconds": round(answered.seconds, 4),
        "role": role[0] if role else "",
        "serial": serial_text(certificate.serial_number),
        "sender": Personal(visible(certificate.subject.rfc4514_string())),
    }
    if error is None:
        log.info(LogEvent("web.answered", "web service: a message was answered", **facts))
    elif isinstance(error, SmpkiError):
        log.warning(LogEvent("web.refused", "web service: a message was refused", **facts, **why(error)))
    else:
        event = LogEvent("web.failed", "web service: a message could not be seen to", **facts, **why(error))
        log.error(event, exc_info=error)


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
