"""Somebody tries a TLS client against ours: a port of its own for a while, and what came of each connection."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from smpki.errors import ServiceError, TlsError
from smpki.service.plain_http import CutOff
from smpki.service.tryout.client_hello import read_client_hello
from smpki.service.tryout.finding import Finding
from smpki.service.tryout.tls_rules import judge
from smpki.tls.connection import Connection
from smpki.tls.endpoint import Endpoint
from smpki.tls.layer import Timing, TlsLayer, TlsTransport
from smpki.tls.peers import PeerCheck, describe

_KEPT = 10
"""Attempts of a trial that are shown, the last ones."""

_AT_ONCE = 20
"""Connections of a trial; more are cut off at once."""

_ANSWER = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True)
class Agreed:
    """What both sides agreed on, by registered names."""

    version: str
    suite: str
    group: str


@dataclass(frozen=True)
class Refusal:
    """Why a handshake failed.

    :param alert: its name, where one went over the wire
    :param by_client: whether the client sent it
    """

    code: str
    message: str
    hint: str
    alert: str | None
    by_client: bool


@dataclass(frozen=True)
class Attempt:
    """One connection.

    :param at: when it began
    :param server_name: the name that the client asked for
    :param findings: what its ClientHello is like; empty where none came
    :param agreed: ``None`` where the handshake failed, and :attr:`refusal` says why
    :param certificate: what the client showed, accepted or not
    """

    at: datetime
    server_name: str | None
    findings: tuple[Finding, ...]
    agreed: Agreed | None
    refusal: Refusal | None
    certificate: x509.Certificate | None


class Trial:
    """A port where a participant tries its client; :meth:`Trials.begin` opens it.

    :ivar until: when it closes
    :ivar connections: those that are open
    """

    def __init__(self, until: datetime) -> None:
        self.until = until
        self.connections: set[_Observed] = set()
        self._attempts: deque[Attempt] = deque(maxlen=_KEPT)
        self._server: asyncio.Server | None = None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What came of the last connections, the newest first."""
        return tuple(self._attempts)

    @property
    def port(self) -> int | None:
        """Where it listens; ``None`` once it is over."""
        if self._server is None or not self._server.is_serving():
            return None
        return int(self._server.sockets[0].getsockname()[1])

    def note(self, attempt: Attempt) -> None:
        """Keep what came of a connection."""
        self._attempts.appendleft(attempt)

    def end(self) -> None:
        """Listen no more, and end what is open; what was noted can be looked at still."""
        if self._server is not None:
            self._server.close()
        for one in tuple(self.connections):
            one.abort()


class Trials:
    """The trials of all who try, one each at a time.

    :param endpoint: makes a server's endpoint with a check of the peer
    :param check: who may connect to the service itself
    :ivar host: the address where it listens
    :param ports: where to listen, such as those that a firewall lets through; ``(0,)``: free ones
    :param span: how long a trial lasts
    :param most: trials at a time
    """

    def __init__(
        self,
        endpoint: Callable[[PeerCheck], Endpoint],
        check: PeerCheck,
        clock: Callable[[], datetime],
        *,
        host: str = "127.0.0.1",
        ports: tuple[int, ...] = (0,),
        span: timedelta = timedelta(minutes=5),
        most: int = 20,
        timing: Timing | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._check = check
        self._clock = clock
        self.host = host
        self._ports = ports
        self._span = span
        self._most = most
        self._timing = timing or Timing()
        self._trials: dict[int, Trial] = {}
        self._turn = asyncio.Lock()

    async def begin(self, account: int) -> Trial:
        """Open a port for an account; the one it had before closes.

        :raises ServiceError: ``service.tryout.busy``: too many try at the moment
        """
        async with self._turn:  # who asks twice at once gets one port
            return await self._begin(account)

    async def _begin(self, account: int) -> Trial:
        self.end(account)
        self._forget()
        if sum(trial.port is not None for trial in self._trials.values()) >= self._most:
            raise _busy()
        trial = Trial(self._clock() + self._span)
        loop = asyncio.get_running_loop()
        for port in self._ports:
            try:
                trial._server = await loop.create_server(lambda: self._connection(trial), self.host, port)
            except OSError:
                continue
            loop.call_later(self._span.total_seconds(), trial.end)
            self._trials[account] = trial
            return trial
        raise _busy()

    def find(self, account: int) -> Trial | None:
        """The trial that an account began last."""
        return self._trials.get(account)

    def end(self, account: int) -> None:
        """Close an account's port, if there is one."""
        if trial := self._trials.pop(account, None):
            trial.end()

    def close(self) -> None:
        """Close all ports."""
        for account in tuple(self._trials):
            self.end(account)

    def _forget(self) -> None:
        """Let go of what was over an hour ago."""
        old = self._clock() - timedelta(hours=1)
        for account, trial in tuple(self._trials.items()):
            if trial.until < old:
                self.end(account)

    def _connection(self, trial: Trial) -> asyncio.Protocol:
        if len(trial.connections) >= _AT_ONCE:
            return CutOff()
        return _Observed(self._endpoint, self._check, self._clock(), self._timing, trial)


class _Observed(asyncio.Protocol):
    """Between the transport and the TLS layer: keeps a copy of the ClientHello, and notes how it ended."""

    def __init__(
        self,
        endpoint: Callable[[PeerCheck], Endpoint],
        check: PeerCheck,
        now: datetime,
        timing: Timing,
        trial: Trial,
    ) -> None:
        self._check = check
        self._now = now
        self._trial = trial
        self._hello: bytes | None = b""
        self._findings: tuple[Finding, ...] = ()
        self._server_name: str | None = None
        self._certificate: x509.Certificate | None = None
        self._noted = False
        connection = endpoint(self._look).connection()
        self._layer = TlsLayer(connection, lambda: _Answer(self._succeeded), timing, self._failed)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._trial.connections.add(self)
        self._layer.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._hello is not None:
            self._hello += data
            try:
                hello = read_client_hello(self._hello)
            except ServiceError:
                self._hello = None  # the TLS layer will refuse it, too
            else:
                if hello is not None:
                    self._hello = None
                    self._findings, self._server_name = judge(hello), hello.server_name
        self._layer.data_received(data)

    def eof_received(self) -> bool:
        return self._layer.eof_received()

    def pause_writing(self) -> None:
        self._layer.pause_writing()

    def resume_writing(self) -> None:
        self._layer.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._trial.connections.discard(self)
        self._layer.connection_lost(exc)

    def abort(self) -> None:
        self._layer.abort()

    def _look(self, chain: tuple[x509.Certificate, ...]) -> None:
        self._certificate = chain[0]
        self._check(chain)

    def _succeeded(self, connection: Connection) -> None:
        agreed = Agreed(connection.version.value.replace("v", " "), connection.suite, connection.group or "")
        self._finish(agreed, None)

    def _failed(self, error: TlsError, _: TlsTransport) -> None:
        alert = getattr(error, "alert", None)
        name = None if alert is None else describe(alert)
        self._finish(None, Refusal(error.code, error.message, error.hint, name, getattr(error, "received", False)))

    def _finish(self, agreed: Agreed | None, refusal: Refusal | None) -> None:
        if not self._noted:
            self._noted = True
            attempt = Attempt(self._now, self._server_name, self._findings, agreed, refusal, self._certificate)
            self._trial.note(attempt)


class _Answer(asyncio.Protocol):
    """Above TLS: answers whatever comes, so that a client of HTTP ends well."""

    def __init__(self, established: Callable[[Connection], None]) -> None:
        self._established = established

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._established(transport.get_extra_info("tls"))

    def data_received(self, data: bytes) -> None:
        self._transport.write(_ANSWER)
        self._transport.close()


def _busy() -> ServiceError:
    message = "too many try their TLS clients at the moment"
    return ServiceError("service.tryout.busy", message, hint="try again in some minutes")
