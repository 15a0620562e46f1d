"""HTTP clients over TLS: httpx on connections of our own; and those that ask as TLS servers.

What TLS refuses comes as :class:`~smpki.errors.TlsError`, all else as the errors of httpx.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable

import httpcore
import httpx
from cryptography import x509

from smpki.tls.endpoint import Endpoint
from smpki.tls.http_asker import Asker, asker_over
from smpki.tls.http_stream import HttpBackend, HttpStream
from smpki.tls.transport import TIMING, Server, Timing, TlsTransport, connect, serve

ANSWER_SECONDS = 20.0
"""How long an HTTP server may take for its answer (REQ.Webservice.HttpServer.190)."""

log = logging.getLogger("smpki.tls")


def client(
    endpoint: Endpoint,
    host: str,
    port: int,
    *,
    server_name: str | None = None,
    timeout: float = ANSWER_SECONDS,
    timing: Timing = TIMING,
) -> httpx.AsyncClient:
    """An HTTP client that is the TLS client.

    It connects for the first request and keeps its one connection as long as both sides let it; requests go one after
    another. Addresses need no host: ``await client.get("/")``.

    :param server_name: the name to ask for (SNI)
    :param timeout: seconds to wait for anything
    """

    async def reach() -> HttpStream:
        stream = HttpStream()
        await connect(lambda: stream, endpoint, host, port, server_name=server_name, timing=timing)
        return stream

    name = server_name or host
    return _client(reach, f"https://{f'[{name}]' if ':' in name else name}:{port}", timeout)


async def accept_clients(
    callback: Callable[[Asker, TlsTransport], Awaitable[None]],
    endpoint: Endpoint,
    host: str | None,
    port: int,
    *,
    timing: Timing = TIMING,
    most: int = 1000,
) -> Server:
    """HTTP clients that are TLS servers, as the administrator is on its gateways' MANAGEMENT connections.

    :param callback: called for each connection with a client that asks over just this one, and its transport; when it
        returns, the connection is closed
    :param most: connections at a time, see :func:`smpki.tls.transport.serve`
    :raises TlsError: see there
    """
    tasks = set()

    def accept() -> HttpStream:
        stream = HttpStream()
        task = asyncio.create_task(_ask(stream, callback))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return stream

    return await serve(accept, endpoint, host, port, timing=timing, most=most)


def peer_certificate(response: httpx.Response) -> x509.Certificate | None:
    """The certificate of whoever sent this answer."""
    certificate: x509.Certificate | None = response.extensions["network_stream"].get_extra_info("peer_certificate")
    return certificate


async def _ask(stream: HttpStream, callback: Callable[[Asker, TlsTransport], Awaitable[None]]) -> None:
    try:
        await callback(asker_over(stream), stream.transport)
    except Exception:
        log.exception("what was to be asked over an accepted connection failed")
    finally:
        stream.transport.close()


def _client(connect: Callable[[], Awaitable[HttpStream]], base_url: str, timeout: float) -> httpx.AsyncClient:
    unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpx would read the system's authorities otherwise
    transport = httpx.AsyncHTTPTransport(verify=unused)
    # the only way to give httpx 0.28 a backend of its own
    transport._pool = httpcore.AsyncConnectionPool(
        ssl_context=unused, max_connections=1, keepalive_expiry=None, network_backend=HttpBackend(connect)
    )
    return httpx.AsyncClient(transport=transport, base_url=base_url, timeout=timeout, trust_env=False)
