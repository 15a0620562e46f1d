"""HTTP/1.1 servers over TLS: an ASGI application behind uvicorn's protocol, at either end of the TLS connection.

A handler finds its peer by :func:`peer_chain`, and the rest of the connection in ``scope["extensions"]["tls"]``, as
ASGI's TLS extension has it; what is called the client there is the HTTP client, whichever end of TLS that is.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import h11
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from smpki.events import LogEvent, Personal
from smpki.tls.connection import Connection
from smpki.tls.endpoint import Endpoint
from smpki.tls.suites import SUITES, Version
from smpki.tls.transport import TIMING, Server, Timing, TlsTransport, connect, serve

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI 3 application."""

log = logging.getLogger("smpki.tls")

_PEER = "smpki.peer"
_HEAD = "smpki.head"
_VERSIONS = {Version.TLS12: 0x0303, Version.TLS13: 0x0304}


def http_protocol(
    application: Application, *, idle: float = 3600.0, patience: float = 60.0, head_limit: int = 16640
) -> Callable[[], asyncio.Protocol]:
    """A factory of protocols that serve the application over the connections they get: TLS, or plain ones.

    Answers have no fields but the application's (REQ.Webservice.HttpServer.160 wants no needless ones). Requests that
    never reach the application get an answer without a body, and the connection is closed.

    :param idle: seconds without a request after which the connection is closed
    :param patience: seconds that a request's head may take from its first octet to its last; slower ones get 408. A
        peer that takes nothing of an answer for so long is cut off.
    :param head_limit: octets of a request's head, its first line included (a gateway has to take 8,500 without that:
        REQ.Webservice.HttpServer.180); longer ones get 431, or 414 when the first line alone is too long
    """
    config = Config(
        application,
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=idle,  # type: ignore[arg-type]
        h11_max_incomplete_event_size=head_limit,
    )
    config.load()
    state = ServerState()
    return lambda: _HttpOverTls(config, state, patience)


async def serve_http(
    application: Application, endpoint: Endpoint, host: str | None, port: int, *, timing: Timing = TIMING
) -> Server:
    """An HTTP server that is the TLS server; see :func:`http_protocol` and :func:`smpki.tls.transport.serve`."""
    return await serve(http_protocol(application), endpoint, host, port, timing=timing)


async def dial_http(
    application: Application,
    endpoint: Endpoint,
    host: str,
    port: int,
    *,
    server_name: str | None = None,
    timing: Timing = TIMING,
) -> TlsTransport:
    """An HTTP server that is the TLS client, as the gateway is on its MANAGEMENT connection.

    It serves until the connection ends (:meth:`TlsTransport.wait_closed`).

    :raises TlsError: see :func:`smpki.tls.transport.connect`
    """
    factory = http_protocol(application)
    transport, _ = await connect(factory, endpoint, host, port, server_name=server_name, timing=timing)
    return transport


async def finish(server: Server, seconds: float) -> None:
    """Close a server of :func:`http_protocol`, but let requests under way be answered first.

    :param seconds: for the answers; what takes longer is cut off
    """
    server.stop_listening()
    transports = server.connections
    for transport in transports:
        protocol = transport.get_protocol()
        if isinstance(protocol, _HttpOverTls) and not transport.is_closing():
            protocol.shutdown()
    if transports:
        ends = [asyncio.ensure_future(transport.wait_closed()) for transport in transports]
        await asyncio.wait(ends, timeout=seconds)
        for end in ends:
            end.cancel()
    await server.close()


def peer_chain(scope: Mapping[str, Any]) -> tuple[x509.Certificate, ...]:
    """The certificates of the peer that sent a request, end entity first; none where it showed none."""
    chain: tuple[x509.Certificate, ...] = scope["extensions"][_PEER]
    return chain


def request_head(scope: Mapping[str, Any]) -> bytes:
    """The head of a request as it came, from its first line to the empty one; ASGI leaves out how it was written."""
    head: bytes = scope["extensions"][_HEAD]
    return head


class _Reader(h11.Connection):
    """h11's parser, which keeps the head of the request that was parsed last."""

    head = b""

    def next_event(self) -> Any:
        waiting = self.trailing_data[0] if self.their_state is h11.IDLE else b""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.head = waiting[: len(waiting) - len(self.trailing_data[0])]
        return event

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and not ended."""
        return self.their_state is h11.IDLE and bool(self.trailing_data[0])


class _HttpOverTls(H11Protocol):
    """uvicorn's protocol, which tells the application who is at the other end and what came from there."""

    conn: _Reader

    def __init__(self, config: Config, state: ServerState, patience: float) -> None:
        super().__init__(config, state, {})
        self.conn = _Reader(h11.SERVER, config.h11_max_incomplete_event_size or 0)
        self._patience = patience
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("tls")
        extensions: dict[str, Any] = _extensions(connection) if connection else {_PEER: ()}
        self._peer_name = extensions.get("tls", {}).get("client_cert_name") or "nobody known"
        application = self.app

        async def with_extensions(scope: Any, receive: Any, send: Any) -> None:
            await application({**scope, "extensions": {**extensions, _HEAD: self.conn.head}}, receive, send)

        self.app = with_extensions
        # a peer that never asks is idle as well
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch_head(False)
        self._end_stall()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_stall(-1)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_stall()

    def handle_events(self) -> None:
        super().handle_events()
        self._watch_head(self.conn.in_head)

    def send_400_response(self, msg: str) -> None:
        """Answer a request that h11 refuses."""
        error = sys.exc_info()[1]
        too_long = isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431
        if not too_long:
            self._refuse(400)
        else:
            self._refuse(431 if b"\n" in self.conn.trailing_data[0] else 414)

    def _watch_head(self, begun: bool) -> None:
        if begun and self._head_timer is None:
            self._head_timer = self.loop.call_later(self._patience, self._refuse, 408)
        elif not begun and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _watch_stall(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting != before:  # slow is not stalled
            self._stall_timer = self.loop.call_later(self._patience, self._watch_stall, waiting)
        else:
            facts = {"peer": Personal(self._peer_name), "seconds": self._patience}
            log.warning(LogEvent("http.stalled", "HTTP: a peer took nothing of an answer", **facts))
            self.transport.abort()

    def _end_stall(self) -> None:
        if self._stall_timer:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _refuse(self, status: int) -> None:
        """Answer without the application, unless it has begun to, and close."""
        facts = {"peer": Personal(self._peer_name), "status": status}
        log.warning(LogEvent("http.refused", "HTTP: what is no whole request was refused", **facts))
        if self.cycle:
            self.cycle.disconnected = True  # so the application hears that it is over
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            fields = [("content-length", "0"), ("connection", "close")]
            for event in (
                h11.Response(status_code=status, headers=fields, reason=STATUS_PHRASES[status]),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _extensions(connection: Connection) -> dict[str, Any]:
    return {
        _PEER: connection.peer_chain,
        "tls": {
            "server_cert": None,
            "client_cert_chain": [one.public_bytes(Encoding.PEM).decode() for one in connection.peer_chain],
            "client_cert_name": connection.peer_chain[0].subject.rfc4514_string() if connection.peer_chain else None,
            "client_cert_error": None,
            "tls_version": _VERSIONS[connection.version],
            "cipher_suite": SUITES[connection.suite].code,
        },
    }
