"""A door of TLS before a directory: LDAPS with the certificates of the SM-PKI, whose curves directories don't know.

Octets go through as they are. The directory sees the door and not who is behind it, so it has to let in nobody only
because of where a connection comes from.
"""

import asyncio
import logging
import os
from typing import cast

from smpki.tls.endpoint import Endpoint
from smpki.tls.transport import TIMING, Server, Timing, serve

log = logging.getLogger("smpki.publishing")

_IDLE, _CONNECT = 300.0, 10.0


async def open_door(
    endpoint: Endpoint,
    listen: tuple[str, int],
    directory: tuple[str, int],
    *,
    idle: float = _IDLE,
    timing: Timing = TIMING,
    most: int = 1000,
) -> Server:
    """Listen for LDAPS clients.

    :param endpoint: of a server; its check says who may come in
    :param listen: address and port; 0: a free one
    :param directory: host and port of a directory that is reached without TLS: on this computer. Not a local socket:
        there the directory would take everybody for the user who runs the door.
    :param idle: seconds in which nothing comes from either side, after which the connection is closed
    :param most: connections at a time
    :raises TlsError: ``tls.transport.listen``
    """
    return await serve(lambda: _Passage(directory, idle).outside, endpoint, *listen, timing=timing, most=most)


class _Side(asyncio.Protocol):
    """One side of a connection that goes through; what it gets goes to the other side."""

    transport: asyncio.Transport | None = None
    other: "_Side"

    def __init__(self, passage: "_Passage") -> None:
        self._passage = passage

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It begins."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand octets on."""
        self._passage.used()
        if self.other.transport:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """This side takes less than the other sends."""
        if self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This side has caught up."""
        if self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Either side ends both."""
        self._passage.close()


class _Outside(_Side):
    """Where the client is; its handshake is done."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing is read before the directory is reached."""
        super().connection_made(transport)
        cast(asyncio.Transport, transport).pause_reading()
        self._passage.begin()


class _Passage:
    """One connection through the door."""

    def __init__(self, directory: tuple[str, int], idle: float) -> None:
        self.outside, self._inside = _Outside(self), _Side(self)
        self.outside.other, self._inside.other = self._inside, self.outside
        self._directory = directory
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._last_used = self._loop.time()

    def begin(self) -> None:
        """Go to the directory."""
        self._connecting = self._loop.create_task(self._connect())
        self._watch()

    def used(self) -> None:
        """Something came through."""
        self._last_used = self._loop.time()

    def close(self) -> None:
        """End both sides, and what is under way."""
        if self._timer:
            self._timer.cancel()
        if self._connecting:
            self._connecting.cancel()
        for side in (self.outside, self._inside):
            if side.transport and not side.transport.is_closing():
                side.transport.close()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(_CONNECT):
                await self._loop.create_connection(lambda: self._inside, *self._directory)
        except OSError as error:  # TimeoutError, too
            why = os.strerror(error.errno) if error.errno else "no answer"
            log.error("the directory at %s port %d can't be reached: %s", *self._directory, why)
            self._connecting = None
            self.close()
            return
        self._connecting = None
        if self.outside.transport:
            self.outside.transport.resume_reading()

    def _watch(self) -> None:
        left = self._last_used + self._idle - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._watch)
        else:
            self.close()
