"""One TLS connection as httpcore reads and writes it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

import httpcore

from smpki.errors import TlsError
from smpki.tls.layer import TlsTransport

_MOST_WAITING = 262144


class HttpStream(httpcore.AsyncNetworkStream, asyncio.Protocol):
    """The protocol above TLS for an HTTP client."""

    transport: TlsTransport

    def __init__(self) -> None:
        self._received = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: TlsTransport) -> None:  # type: ignore[override]
        """The handshake is done."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what is not read yet, and no more than that."""
        self._received += data
        self._news.set()
        if len(self._received) > _MOST_WAITING:
            self.transport.pause_reading()

    def eof_received(self) -> None:
        """The peer sends no more."""
        self._ended = True
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over, well (``None``) or not."""
        self._error = exc
        self.eof_received()
        self._writable.set()

    def pause_writing(self) -> None:
        """The peer takes less than is written."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._writable.set()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come, or comes next; nothing at the end.

        :raises TlsError: the connection failed
        :raises httpcore.ReadTimeout: nothing came
        """
        async with _within(timeout, httpcore.ReadTimeout):
            while not self._received and not self._ended:
                self._news.clear()
                await self._news.wait()
        if not self._received and self._error:
            raise self._error
        data = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        if len(self._received) <= _MOST_WAITING:
            self.transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send.

        :raises TlsError: the connection failed
        :raises httpcore.WriteError: it was closed
        :raises httpcore.WriteTimeout: the peer takes nothing
        """
        self.transport.write(buffer)
        async with _within(timeout, httpcore.WriteTimeout):
            await self._writable.wait()
        if self._error:
            raise self._error
        if self._ended and buffer:
            raise httpcore.WriteError("the peer has closed the connection")

    async def aclose(self) -> None:
        """Close; does not wait for the peer."""
        self.transport.close()

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks for, and what :class:`TlsTransport` knows, such as ``peer_certificate``."""
        match info:
            case "is_readable":  # on an idle connection: of no use any more
                return self._ended or bool(self._received)
            case "ssl_object":  # so it is HTTP/1.1
                return None
            case "client_addr":
                return self.transport.get_extra_info("sockname")
            case "server_addr":
                return self.transport.get_extra_info("peername")
        return self.transport.get_extra_info(info)


class HttpBackend(httpcore.AsyncNetworkBackend):
    """What makes connections for httpcore: always to the same peer.

    :param connect: makes a connection
    """

    def __init__(self, connect: Callable[[], Awaitable[HttpStream]]) -> None:
        self._connect = connect

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Nothing yet: the connection is made with TLS at once."""
        return _Promise(self._connect)

    async def sleep(self, seconds: float) -> None:
        """Between attempts."""
        await asyncio.sleep(seconds)


class _Promise(httpcore.AsyncNetworkStream):
    def __init__(self, connect: Callable[[], Awaitable[HttpStream]]) -> None:
        self._connect = connect

    async def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        async with _within(timeout, httpcore.ConnectTimeout):
            return await self._connect()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        raise TlsError("tls.http.plain", "there is no HTTP without TLS here", hint="use an address with https://")

    async def aclose(self) -> None:
        pass

    def get_extra_info(self, info: str) -> Any:
        return None


@asynccontextmanager
async def _within(seconds: float | None, error: type[Exception]) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise error(f"not within {seconds:g} seconds") from None
