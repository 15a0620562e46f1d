"""Gateways that are connected on MANAGEMENT."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from cryptography import x509

from smpki.errors import SmpkiError
from smpki.gateway.api import Status
from smpki.gateway.http_client_rules import Caller, Manners, NoAnswer
from smpki.policy.device_id import DeviceId
from smpki.service.administrator.chronicle import Chronicle
from smpki.service.administrator.door import Door
from smpki.service.administrator.management import Management
from smpki.service.administrator.pace import Pace
from smpki.service.administrator.store.gateways import KnownPeer
from smpki.service.administrator.store.store import AdministratorStore
from smpki.tls.http_asker import Asker
from smpki.tls.transport import TlsTransport


class Session:
    """A connection of a gateway, which has said its status over it. One job uses it at a time.

    :ivar certificate: that it was made with
    """

    def __init__(self, gateway: DeviceId, management: Management, status: Status, transport: TlsTransport) -> None:
        self.gateway, self.management, self.status = gateway, management, status
        self.certificate: x509.Certificate = transport.get_extra_info("peer_certificate")
        self._transport = transport
        self._users = 0
        self._used = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether nothing can be asked over it any more."""
        return self._transport.is_closing()

    def end(self) -> None:
        """Close it."""
        self._transport.close()

    @asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Keep it open meanwhile. A request without an answer ends it, for the answer may come when it is too late."""
        self._users += 1
        try:
            yield
        except NoAnswer:
            self.end()
            raise
        finally:
            self._users -= 1
            self._used.set()

    async def linger(self, pace: Pace, seconds: float) -> None:
        """Return when it has ended, or was not used for so long."""
        closed = asyncio.ensure_future(self._transport.wait_closed())
        closed.add_done_callback(lambda _: self._used.set())
        try:
            while not closed.done():
                self._used.clear()
                await pace.wait(self._used, seconds)
                if not self._used.is_set() and not self._users:
                    return
        finally:
            closed.cancel()


class Sessions:
    """The connections there are, one for each gateway: a new one takes the place of an old one.

    :param answer_seconds: how long a gateway may take for its answer
    :param linger_seconds: so long one is kept with nothing to do
    :ivar arrived: told of each new one
    """

    def __init__(
        self,
        store: AdministratorStore,
        door: Door,
        chronicle: Chronicle,
        *,
        pace: Pace,
        answer_seconds: float,
        linger_seconds: float,
    ) -> None:
        self._store, self._door, self._chronicle, self._pace = store, door, chronicle, pace
        self._manners = Manners(answer=answer_seconds, sending=answer_seconds)
        self._linger = linger_seconds
        self._sessions: dict[DeviceId, Session] = {}
        self._arrivals: dict[DeviceId, asyncio.Event] = {}
        self.arrived: Callable[[Session], None] = lambda session: None

    def current(self, gateway: DeviceId) -> Session | None:
        """The gateway's connection, if there is one."""
        session = self._sessions.get(gateway)
        return None if session is None or session.is_over else session

    async def wait(self, gateway: DeviceId, seconds: float) -> Session | None:
        """The gateway's connection, once there is one; ``None`` when there is none for so long."""
        arrival = self._arrivals.setdefault(gateway, asyncio.Event())
        if self.current(gateway) is None:
            arrival.clear()
            await self._pace.wait(arrival, seconds)
        return self.current(gateway)

    async def accept(self, asker: Asker, transport: TlsTransport) -> None:
        """Take a new connection, and keep it until it ends; for :func:`smpki.tls.http_client.accept_clients`.

        The gateway is asked for its status at once: new keys and a new administrator count for it when it was asked
        something.
        """
        peer = self._known(transport.get_extra_info("peer_certificate"))
        if peer is None:
            return
        about = "greeting", peer.gateway
        try:
            session = await self._greet(peer, Management(Caller(asker, self._manners)), transport)
        except SmpkiError as error:
            self._chronicle.trouble(about, error, "it connects, and its status can't be had", peer.gateway)
            return
        self._chronicle.fine(about, "gwa.gateway.answers", "its status can be had again", peer.gateway)
        if former := self.current(peer.gateway):
            former.end()
        self._sessions[peer.gateway] = session
        self.arrived(session)
        if arrival := self._arrivals.pop(peer.gateway, None):
            arrival.set()
        try:
            await session.linger(self._pace, self._linger)
        finally:
            if self._sessions.get(peer.gateway) is session:
                del self._sessions[peer.gateway]

    async def _greet(self, peer: KnownPeer, management: Management, transport: TlsTransport) -> Session:
        status = await management.status()
        if status.gateway != peer.gateway:
            message = f"it says that it is {status.gateway.dns}"
            raise NoAnswer("gwa.gateway.other", message, hint="two gateways have one certificate: suspend both")
        with self._store.work() as work:
            work.gateways.seen(peer.gateway, status, self._pace.now())
        return Session(peer.gateway, management, status, transport)

    def _known(self, certificate: x509.Certificate) -> KnownPeer | None:
        """Who it is now: the registry may have changed since the handshake."""
        with suppress(SmpkiError):
            peer = self._door.peer(certificate)
            return peer if peer is not None and peer.state == "active" else None
        return None
