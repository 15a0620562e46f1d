"""NTP inside TLS, both ends: messages of 48 octets follow one another in the stream, nothing stands between them.

The protocols here run above :mod:`smpki.tls.transport`, as above any asyncio transport.
"""

import asyncio
import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

from cryptography import x509

from smpki.gateway.ntp import LENGTH
from smpki.gateway.ntp_client import LONGEST_DELAY, Dropped, NtpClient, Reason
from smpki.gateway.ntp_server import answer
from smpki.gateway.rate_limit import RateLimit
from smpki.gateway.time_keeper import Standing, TimeKeeper, TimeSet
from smpki.tls.endpoint import Endpoint
from smpki.tls.peers import PeerCheck, exact_match
from smpki.tls.transport import TIMING, Timing, connect

_STRAY_ANSWERS = 8  # of earlier requests, that came too late


class _Pieces:
    """Cuts a stream into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterable[bytes]:
        data = self._rest + data
        whole = len(data) - len(data) % LENGTH
        self._rest = data[whole:]
        return (data[at : at + LENGTH] for at in range(0, whole, LENGTH))

    @property
    def is_incomplete(self) -> bool:
        return bool(self._rest)


def time_server_check(certificates: Iterable[x509.Certificate], keeper: TimeKeeper) -> PeerCheck:
    """Who may tell the time: exactly these certificates. For the connection to a time server only.

    Their dates count once there is a time to compare them with; a gateway that does not know the time has to get it
    first (REQ.TA.TLS.Handshake.160).
    """
    known = tuple(certificates)

    def check(chain: tuple[x509.Certificate, ...]) -> None:
        now = keeper.now()
        exact_match(known, now=None if now is None else lambda: now)(chain)

    return check


class NtpClientProtocol(asyncio.Protocol):
    """A connection to a time server.

    :param client: what it knows outlives the connection
    """

    def __init__(self, client: NtpClient) -> None:
        self._client = client
        self._pieces = _Pieces()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[TimeSet | Dropped] | None = None
        self._strays = 0

    async def ask(self) -> TimeSet | Dropped:
        """Ask for the time, once at a time, and set the clock by the answer. Without one in time the connection ends.

        :raises GatewayError: ``ntp.too_soon``
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return Dropped(Reason.NO_ANSWER)
        request = self._client.request()
        waiting: asyncio.Future[TimeSet | Dropped] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        transport.write(request)
        try:
            async with asyncio.timeout(LONGEST_DELAY):
                return await waiting
        except TimeoutError:
            transport.close()
            return Dropped(Reason.NO_ANSWER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take answers; what answers nothing is ignored a few times."""
        for message in self._pieces.feed(data):
            result = self._client.receive(message)
            if isinstance(result, Dropped) and result.reason in (Reason.ORIGIN, Reason.NOT_ASKED):
                self._strays += 1
                if self._strays > _STRAY_ANSWERS:
                    self._end()
                    return
            else:
                self._resolve(result)

    def connection_lost(self, exc: Exception | None) -> None:
        """No answer will come."""
        self._transport = None
        self._resolve(Dropped(Reason.NO_ANSWER))

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._resolve(Dropped(Reason.NO_ANSWER))

    def _resolve(self, result: TimeSet | Dropped) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(result)


async def synchronise(
    client: NtpClient,
    endpoint: Endpoint,
    host: str,
    port: int,
    *,
    server_name: str | None = None,
    timing: Timing = TIMING,
) -> TimeSet | Dropped:
    """Connect to a time server, ask once, and close the connection.

    :param endpoint: of a TLS client, whose check is that of :func:`time_server_check`
    :param server_name: as :func:`smpki.tls.transport.connect` takes it, like ``timing``
    :raises TlsError: there is no connection
    :raises GatewayError: ``ntp.too_soon``
    """
    protocol = NtpClientProtocol(client)
    transport, _ = await connect(lambda: protocol, endpoint, host, port, server_name=server_name, timing=timing)
    try:
        return await protocol.ask()
    finally:
        transport.close()


class Complaint(enum.StrEnum):
    """Why a server ends a connection, for its log."""

    INCOMPLETE = "incomplete"
    """A request was begun and not finished."""
    IGNORED = "ignored"
    """Too much came that is no request, or too many requests."""
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a client may do; chosen here, no text has figures.

    :param answers: a second
    :param burst: answers at once
    :param ignored: messages of one connection that get no answer, before it is ended
    :param incomplete: seconds that a request may take to come
    :param idle: seconds without a request; longer than a client's pause between two
    """

    answers: float = 1.0
    burst: int = 8
    ignored: int = 8
    incomplete: float = 9.0
    idle: float = 300.0


class NtpServerProtocol(asyncio.Protocol):
    """A connection of a client.

    :param clock: what is told, see :func:`smpki.gateway.ntp_server.answer`
    :param log: called at most once, when this side ends the connection
    :param monotonic: seconds, such as ``time.monotonic``
    """

    def __init__(
        self,
        clock: Callable[[], Standing],
        *,
        log: Callable[[Complaint], None],
        monotonic: Callable[[], float],
        limits: ServerLimits | None = None,
    ) -> None:
        self._clock, self._log = clock, log
        self._limits = limits or ServerLimits()
        self._answers = RateLimit(self._limits.answers, self._limits.burst, monotonic)
        self._pieces = _Pieces()
        self._ignored = 0
        self._is_slow = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done."""
        self._transport = cast(asyncio.Transport, transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Answer whole requests; ignore what is none."""
        transport = self._transport
        if transport is None:
            return
        was_incomplete = self._pieces.is_incomplete
        messages = list(self._pieces.feed(data))
        for message in messages:
            reply = answer(message, self._clock) if self._answers.take() and not self._is_slow else None
            if reply is not None:
                transport.write(reply)
                continue
            self._ignored += 1
            if self._ignored > self._limits.ignored:
                self._end(Complaint.IGNORED)
                return
        if messages or not was_incomplete:  # a trickle of octets does not begin the time anew
            self._wait()

    def pause_writing(self) -> None:
        """The client does not read: it gets no more answers."""
        self._is_slow = True

    def resume_writing(self) -> None:
        """The client reads again."""
        self._is_slow = False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._forget()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        begun = self._pieces.is_incomplete
        seconds = self._limits.incomplete if begun else self._limits.idle
        complaint = Complaint.INCOMPLETE if begun else Complaint.IDLE
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end, complaint)

    def _end(self, complaint: Complaint) -> None:
        transport = self._transport
        self._forget()
        if transport is not None:
            self._log(complaint)
            transport.close()

    def _forget(self) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
