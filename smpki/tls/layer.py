"""TLS between two stock pieces of asyncio: any stream transport below, any stream protocol above."""

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from smpki.errors import TlsError
from smpki.events import LogEvent, Personal, why
from smpki.tls.connection import Closed, Connection, Data, Established, Event

log = logging.getLogger("smpki.tls")

_PIECE = 65536
_GLANCE = 60.0


@dataclass(frozen=True)
class Timing:
    """How long a connection waits for its peer, in seconds.

    :param handshake: from the first octet to the last of the handshake, and of the way to the peer before it
    :param close: from close_notify, sent or received, to the end of the transport; at most 20 (REQ.TA.TLS.Close.80,
        REQ.TA.TLS.Close.90)
    :param drain: after an error, between the alert and the end: closing at once would make TCP drop the alert
    """

    handshake: float = 20.0
    close: float = 10.0
    drain: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.close <= 20 and 0 < self.drain <= 20 and self.handshake > 0):
            raise TlsError(
                "tls.timing",
                "a transport has to end within 20 seconds of close_notify",
                hint="REQ.TA.TLS.Close.80 and .90 of the Detailspezifikationen zur TR-03109-1",
            )


class _State(enum.Enum):
    NEW = enum.auto()
    HANDSHAKE = enum.auto()
    OPEN = enum.auto()
    CLOSING = enum.auto()
    """close_notify is sent: what is written goes out, then the peer has a while to end it from its side."""
    FAILED = enum.auto()
    """The alert is sent: what comes is thrown away until the peer has had a chance to read it."""
    OVER = enum.auto()


class TlsTransport(asyncio.Transport):
    """What the protocol above gets. Like every transport of asyncio, but that nothing is written half-closed.

    ``get_extra_info`` knows ``peer_certificate``, ``peer_chain`` and ``tls`` (the :class:`Connection`, for version,
    suite and so on); ``sslcontext`` is set, by which stock protocols recognise TLS; all else is the transport's below.
    """

    def __init__(self, layer: "TlsLayer") -> None:
        super().__init__()
        self._layer = layer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Facts about the connection, see above."""
        connection = self._layer.connection
        match name:
            case "peer_certificate":
                return connection.peer_certificate
            case "peer_chain":
                return connection.peer_chain
            case "tls" | "sslcontext":
                return connection
        return self._layer.below.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send; after the end of the connection it goes nowhere."""
        self._layer.write(data)

    def close(self) -> None:
        """Send what is written and close_notify, and end the connection; nothing more is received."""
        self._layer.close()

    def abort(self) -> None:
        """End the connection at once, without close_notify."""
        self._layer.abort()

    def is_closing(self) -> bool:
        """Whether the connection is ending or has ended."""
        return self._layer.is_closing

    async def wait_closed(self) -> None:
        """Wait until the transport below has ended."""
        await asyncio.shield(self._layer.closed)

    def pause_reading(self) -> None:
        """Receive no more; the peer will have to wait, too."""
        self._layer.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        self._layer.resume_reading()

    def is_reading(self) -> bool:
        """Whether the protocol gets what arrives."""
        return self._layer.is_reading

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the protocol is asked to stop writing, and to go on; in octets of ciphertext."""
        self._layer.below.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The limits ``(low, high)``."""
        return self._layer.below.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        """Octets of ciphertext that are not sent yet."""
        return self._layer.below.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """No: a TLS connection ends for both sides."""
        return False

    def set_protocol(self, protocol: asyncio.Protocol) -> None:  # type: ignore[override]
        """Give the connection to another protocol."""
        self._layer.protocol = protocol

    def get_protocol(self) -> asyncio.Protocol:
        """The protocol above; the layer itself before the handshake is done."""
        return self._layer.protocol or self._layer


class TlsLayer(asyncio.Protocol):
    """The protocol that the transport below gets; makes the protocol above once the handshake is done.

    Whatever goes wrong is logged once, by the logger ``smpki.tls``, and ends the protocol above (if there is one yet)
    with ``connection_lost(TlsError)``.

    :param connection: new, from :meth:`smpki.tls.endpoint.Endpoint.connection`
    :param protocol_factory: makes the protocol above
    :param on_failure: told what goes wrong, once (REQ.TA.TLS.Close.20)
    :ivar protocol: the one above, once there is one
    :ivar ready: done after the handshake: ``None``, or why it failed; not to be cancelled
    :ivar closed: done when the transport below has ended; not to be cancelled
    """

    below: asyncio.Transport

    def __init__(
        self,
        connection: Connection,
        protocol_factory: Callable[[], asyncio.Protocol],
        timing: Timing,
        on_failure: Callable[[TlsError, TlsTransport], None] | None = None,
    ) -> None:
        self.connection = connection
        self.transport = TlsTransport(self)
        self.protocol: asyncio.Protocol | None = None
        self._factory = protocol_factory
        self._timing = timing
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._state = _State.NEW
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[Event] = deque()
        self._paused = False
        self._ended = False
        self.ready: asyncio.Future[TlsError | None] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()

    # called by the transport below

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the handshake."""
        self.below = transport
        if self._state is not _State.NEW:  # closed before it began
            transport.abort()
            return
        self._state = _State.HANDSHAKE
        self._wait(self._timing.handshake, self._handshake_too_long)
        with self._failing():
            self.connection.start()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take octets from the peer."""
        if self._state in (_State.FAILED, _State.OVER):
            return
        events: list[Event] = []
        with self._failing():
            events = self.connection.receive(data)
        self._flush()
        for event in events:
            if self._paused:
                self._waiting.append(event)
            else:
                self._take(event)

    def eof_received(self) -> bool:
        """The peer's transport sends no more; the way to it is closed, too, as soon as all is written."""
        if self._state in (_State.HANDSHAKE, _State.OPEN):
            with self._failing():
                self.connection.receive_eof()
        return False

    def pause_writing(self) -> None:
        """The peer takes less than is written."""
        if self.protocol and not self._ended:
            self.protocol.pause_writing()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        if self.protocol and not self._ended:
            self.protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport below has ended."""
        if self._state in (_State.HANDSHAKE, _State.OPEN):
            message = "the transport connection broke" if exc else "the transport connection ended"
            self._report(TlsError("tls.transport.lost", message, hint="see the log of the other side"))
        else:
            self._end_protocol(None)
        self._state = _State.OVER
        self._wait(None)
        self.closed.set_result(None)

    # called by the transport above

    @property
    def is_closing(self) -> bool:
        """Whether the connection is ending or has ended."""
        return self._state not in (_State.NEW, _State.HANDSHAKE, _State.OPEN)

    @property
    def is_reading(self) -> bool:
        """Whether the protocol above gets what arrives."""
        return self._state is _State.OPEN and not self._paused

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send, piece by piece."""
        octets = memoryview(data).cast("B")
        for at in range(0, len(octets), _PIECE):
            if self._state is not _State.OPEN:
                return
            with self._failing():
                self.connection.send(octets[at : at + _PIECE])
            self._flush()

    def pause_reading(self) -> None:
        """Let the peer wait."""
        if self._state is _State.OPEN:
            self._paused = True
            self.below.pause_reading()

    def resume_reading(self) -> None:
        """Go on, first with what has been decrypted already."""
        if self._state is _State.OPEN and self._paused:
            self._paused = False
            self._loop.call_soon(self._catch_up)

    def close(self) -> None:
        """Send close_notify and wait for the peer's end of the transport, but not for long."""
        if self._state is _State.OPEN:
            self.connection.close()
            self._finish(_State.CLOSING, self._timing.close)
        elif not self.is_closing:
            self.abort()

    def abort(self) -> None:
        """End the transport at once."""
        begun = self._state is not _State.NEW
        if not self.is_closing:
            self._state = _State.CLOSING
        if begun:
            self.below.abort()

    # its own doings

    def _take(self, event: Event) -> None:
        match event:
            case Established():
                self._established()
            case Data(data) if self._state is _State.OPEN and self.protocol:
                self.protocol.data_received(data)
            case Closed() if self._state is _State.OPEN and self.protocol:
                self.protocol.eof_received()
                self.close()
                self.below.close()  # the peer has said all
            case Closed():
                self.below.close()

    def _catch_up(self) -> None:
        while self._waiting and not self._paused:
            self._take(self._waiting.popleft())
        if not self._paused and self._state is _State.OPEN:
            self.below.resume_reading()

    def _established(self) -> None:
        self._state = _State.OPEN
        self._look_at_the_limit()
        if self._state is _State.OPEN:
            self.protocol = self._factory()  # first: where it fails, nobody is told that all is well
            self.ready.set_result(None)
            self.protocol.connection_made(self.transport)

    def _look_at_the_limit(self) -> None:
        # again and again, for the clock may be set meanwhile
        self._wait(min(self.connection.remaining.total_seconds(), _GLANCE), self._look_at_the_limit)
        with self._failing():
            self.connection.enforce_limit()

    def _handshake_too_long(self) -> None:
        self._fail(
            TlsError(
                "tls.handshake.timeout",
                f"the handshake was not done within {self._timing.handshake:g} seconds",
                hint="does the other side speak TLS here?",
            )
        )

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except TlsError as error:
            self._fail(error)

    def _fail(self, error: TlsError) -> None:
        self._report(error)
        self._finish(_State.FAILED, self._timing.drain)

    def _report(self, error: TlsError) -> None:
        """Tell whoever waits, and the log."""
        peer = Personal(_name(self.below.get_extra_info("peername")))
        log.warning(LogEvent("tls.failed", "a TLS connection failed", peer=peer, **why(error)))
        if self._on_failure:
            self._on_failure(error, self.transport)
        if not self.ready.done():
            self.ready.set_result(error)
        self._end_protocol(error)

    def _end_protocol(self, error: TlsError | None) -> None:
        if self.protocol and not self._ended:
            self._ended = True
            self._loop.call_soon(self.protocol.connection_lost, error)

    def _finish(self, state: _State, seconds: float) -> None:
        """Send what is ready, close the way out, and leave the peer some time for the way in."""
        self._state = state
        self._waiting.clear()
        self._flush()
        if self.below.can_write_eof() and not self.below.is_closing():
            with suppress(OSError):  # the peer may have broken off a moment ago; the transport will say so
                self.below.write_eof()
        if self._paused:
            self._paused = False
            self.below.resume_reading()
        self._wait(seconds, self.below.abort)

    def _flush(self) -> None:
        data = self.connection.data_to_send()
        if data and not self.below.is_closing():
            self.below.write(data)

    def _wait(self, seconds: float | None, then: Callable[[], None] | None = None) -> None:
        """Set the only timer there is."""
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, then) if seconds is not None and then else None


def _name(address: Any) -> str:
    return f"{address[0]} port {address[1]}" if isinstance(address, tuple) else "a peer"
