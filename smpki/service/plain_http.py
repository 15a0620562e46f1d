"""An HTTP server for browsers and other strangers to the PKI: without TLS for what is public or stays here, or with TLS
as the web has it; who is slow or idle, or one too many, is cut off."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from smpki.errors import SmpkiError
from smpki.tls.http_server import Application, http_protocol

_IDLE, _PATIENCE, _GRACE = 60.0, 20.0, 10.0
_HANDSHAKE = 10.0


@asynccontextmanager
async def http_server(
    application: Application, host: str, port: int, *, most: int = 1000, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve as long as the context lasts; requests under way are answered in the end.

    :param port: 0: a free one
    :param most: connections at a time; more are cut off at once
    :param tls: ordinary TLS; ``None``: none
    :return: the port
    :raises SmpkiError: ``http.listen``
    """
    new_protocol = http_protocol(application, idle=_IDLE, patience=_PATIENCE)
    connections: set[Any] = new_protocol().connections  # type: ignore[attr-defined]

    def accept() -> asyncio.Protocol:
        return new_protocol() if len(connections) < most else CutOff()

    try:
        patience = _HANDSHAKE if tls else None
        server = await asyncio.get_running_loop().create_server(
            accept, host, port, ssl=tls, ssl_handshake_timeout=patience
        )
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else "no such address"
        hint = "choose a port that is free, and an address of this machine"
        raise SmpkiError("http.listen", f"can't listen: {why}", where=f"{host} port {port}", hint=hint) from None
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for one in list(connections):
            one.shutdown()
        await _wait_for_end(connections)


async def _wait_for_end(connections: set[Any]) -> None:
    end = asyncio.get_running_loop().time() + _GRACE
    while connections and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.02)
    for one in connections:
        one.transport.abort()


class CutOff(asyncio.Protocol):
    """For one connection too many: it ends at once."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Cut it off."""
        transport.abort()
