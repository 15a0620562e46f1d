"""HTTP/1.1 servers over TLS: an ASGI application behind uvicorn's protocol, at either end of the TLS connection.

A handler finds its peer by :func:`peer_chain`, and the rest of the connection in ``scope["extensions"]["tls"]``, as
ASGI's TLS extension has it; what is called the client there is the HTTP client, whichever end of TLS that is.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import h11
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from smpki.tls.connection import Connection
from smpki.tls.endpoint import Endpoint
from smpki.tls.suites import SUITES, Version
from smpki.tls.transport import TIMING, Server, Timing, TlsTransport, connect, serve

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI 3 application."""

_PEER = "smpki.peer"
_VERSIONS = {Version.TLS12: 0x0303, Version.TLS13: 0x0304}


def http_protocol(
    application: Application, *, idle: float = 3600.0, header_limit: int = 16384
) -> Callable[[], asyncio.Protocol]:
    """A factory of protocols that serve the application over the TLS connections they get.

    Answers have no fields but the application's (REQ.Webservice.HttpServer.160 wants no needless ones).

    :param idle: seconds without a request after which the connection is closed
    :param header_limit: octets of a request's head (a gateway has to take 8,500: REQ.Webservice.HttpServer.180);
        longer ones get 431
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
        h11_max_incomplete_event_size=header_limit,
    )
    config.load()
    state = ServerState()
    return lambda: _HttpOverTls(config, state, {})


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


def peer_chain(scope: Mapping[str, Any]) -> tuple[x509.Certificate, ...]:
    """The certificates of the peer that sent a request, end entity first; none where it showed none."""
    chain: tuple[x509.Certificate, ...] = scope["extensions"][_PEER]
    return chain


class _HttpOverTls(H11Protocol):
    """uvicorn's protocol, which tells the application who is at the other end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        extensions = _extensions(transport.get_extra_info("tls"))
        application = self.app

        async def with_extensions(scope: Any, receive: Any, send: Any) -> None:
            await application({**scope, "extensions": extensions}, receive, send)

        self.app = with_extensions
        # a peer that never asks is idle as well
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def send_400_response(self, msg: str) -> None:
        """Answer a request that h11 refuses by the status that h11 suggests: 400, 431 or 501."""
        error = sys.exc_info()[1]
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        body = msg.encode()
        fields = [("content-type", "text/plain"), ("content-length", str(len(body))), ("connection", "close")]
        head = h11.Response(status_code=status, headers=fields, reason=STATUS_PHRASES.get(status, b""))
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
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
