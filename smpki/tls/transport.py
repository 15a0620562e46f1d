"""TLS over TCP for asyncio: connect and serve, for any stock protocol."""

import asyncio
import logging
import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

from smpki.errors import TlsError
from smpki.tls.endpoint import Endpoint
from smpki.tls.layer import Timing, TlsLayer, TlsTransport
from smpki.tls.session import Session

__all__ = ["TIMING", "Server", "Timing", "TlsTransport", "connect", "serve"]

ProtocolFactory = Callable[[], asyncio.Protocol]
OnFailure = Callable[[TlsError, TlsTransport], None]
TIMING = Timing()
"""What holds where nothing else is said."""

log = logging.getLogger("smpki.tls")


async def connect(
    protocol_factory: ProtocolFactory,
    endpoint: Endpoint,
    host: str,
    port: int,
    *,
    server_name: str | None = None,
    resume: Session | None = None,
    timing: Timing = TIMING,
    on_failure: OnFailure | None = None,
) -> tuple[TlsTransport, asyncio.Protocol]:
    """Connect to a TLS server; returns when the handshake is done.

    :param protocol_factory: makes the protocol above TLS; called after the handshake
    :param endpoint: of a client
    :param server_name: the name to ask for (SNI)
    :param resume: a session of this endpoint
    :param on_failure: told what goes wrong with the connection, in its handshake or later
    :raises TlsError: what the connection refuses or is refused; ``tls.transport.unreachable``,
        ``tls.handshake.timeout``. An alert of ours has reached the peer by then.
    """
    loop = asyncio.get_running_loop()
    connection = endpoint.connection(server_name=server_name, resume=resume)
    layer = TlsLayer(connection, protocol_factory, timing, on_failure)
    try:
        async with asyncio.timeout(timing.handshake):
            await loop.create_connection(lambda: layer, host, port)
    except TimeoutError:
        raise _unreachable(host, port, f"no answer within {timing.handshake:g} seconds") from None
    except OSError as error:
        raise _unreachable(host, port, _reason(error)) from None
    try:
        refusal = await asyncio.shield(layer.ready)
        if refusal:
            await layer.transport.wait_closed()
            raise refusal
    except asyncio.CancelledError:
        layer.abort()
        raise
    return layer.transport, layer.transport.get_protocol()


async def serve(
    protocol_factory: ProtocolFactory,
    endpoint: Endpoint,
    host: str | None,
    port: int,
    *,
    timing: Timing = TIMING,
    most: int = 1000,
    on_failure: OnFailure | None = None,
) -> "Server":
    """Listen for TLS clients.

    :param protocol_factory: makes a protocol for each connection whose handshake is done
    :param endpoint: of a server
    :param host: the address to listen at; ``None``: all
    :param port: 0: a free one, see :attr:`Server.port`
    :param most: connections at a time, those in their handshake included; more are cut off at once
    :param on_failure: told of each connection what goes wrong with it, in its handshake or later
    :raises TlsError: ``tls.transport.listen``
    """
    server = Server(lambda: TlsLayer(endpoint.connection(), protocol_factory, timing, on_failure), most)
    await server._listen(host, port)
    return server


class Server:
    """Listens, and knows its connections; an asynchronous context manager. :func:`serve` makes it."""

    _listener: asyncio.Server

    def __init__(self, new_layer: Callable[[], TlsLayer], most: int) -> None:
        self._new_layer = new_layer
        self._most = most
        self._closing = False
        self._layers: set[TlsLayer] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def connections(self) -> tuple[TlsTransport, ...]:
        """The connections there are, those in their handshake included."""
        return tuple(layer.transport for layer in self._layers)

    def stop_listening(self) -> None:
        """Accept no more; the connections that there are go on."""
        self._closing = True
        self._listener.close()

    async def close(self) -> None:
        """Accept no more, close all connections, and wait until they have ended."""
        self.stop_listening()
        for layer in self._layers:
            layer.close()
        if self._layers:
            await asyncio.wait([layer.closed for layer in self._layers])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _listen(self, host: str | None, port: int) -> None:
        try:
            self._listener = await asyncio.get_running_loop().create_server(self._accept, host, port)
        except OSError as error:
            raise TlsError(
                "tls.transport.listen",
                f"can't listen: {_reason(error)}",
                where=f"{host or '*'} port {port}",
                hint="choose a port that is free, and an address of this machine",
            ) from None

    def _accept(self) -> asyncio.Protocol:
        if self._closing:
            return _CutOff()
        if len(self._layers) >= self._most:
            log.warning("TLS: more than %d connections at a time, one was cut off", self._most)
            return _CutOff()
        layer = self._new_layer()
        self._layers.add(layer)
        layer.closed.add_done_callback(lambda _: self._layers.discard(layer))
        return layer


class _CutOff(asyncio.Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.abort()


def _reason(error: OSError) -> str:
    """Without the address, which asyncio puts into its text."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or "no connection"


def _unreachable(host: str, port: int, why: str) -> TlsError:
    return TlsError(
        "tls.transport.unreachable",
        f"can't connect: {why}",
        where=f"{host} port {port}",
        hint="check address and port, and whether the other side listens",
    )
