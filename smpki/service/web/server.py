"""A CA's web service: its parts put together, and running."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from cryptography import x509
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from smpki.ca.issuer import Issuer
from smpki.ca.pki import Pki
from smpki.errors import SmpkiError, TlsError, TokenError
from smpki.events import LogEvent, why
from smpki.hsm.timed import TimedKeys
from smpki.policy.model import CertificateType
from smpki.service.desk.desk import Desk
from smpki.service.operation.deadlines import pki_deadlines
from smpki.service.operation.metrics import days_left, own_deadline
from smpki.service.people import beside, rest_by_certificate
from smpki.service.tryout.tls_trial import Trials
from smpki.service.web.application import Limits, SoapApplication
from smpki.service.web.counter import Counter
from smpki.service.web.granting import Granting, RootGranting, SubCaGranting
from smpki.service.web.metrics import CountedCallbacks, CountedGranting, WebMetrics, queue_lengths
from smpki.service.web.operations import Operations, Patience
from smpki.service.web.own import own_identity
from smpki.service.web.peers import CLIENTS_OF_ROOT, CLIENTS_OF_SUB_CA, Peers
from smpki.service.web.runner import Pace, Runner
from smpki.service.web.senders import Senders
from smpki.service.web.store.queue import RequestQueue
from smpki.soap.messages import OFFERED_BY_ROOT, OFFERED_BY_SUB_CA, Answer, Request
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_server import Application, finish, http_protocol
from smpki.tls.identity import Identity
from smpki.tls.profile import WAN_CLIENT, WAN_SERVER
from smpki.tls.session import steady
from smpki.tls.transport import Server, Timing, serve

ROOT = "root"
"""What the root is called where a CA is chosen."""

log = logging.getLogger("smpki.service")


@dataclass(frozen=True)
class Settings:
    """How a web service is run.

    :param ca: CN of a Sub-CA, or ``root``
    :param host: address to listen at
    :param port: 0: a free one
    :param crls: folder of revocation lists of a root that is elsewhere
    :param connections: at a time
    :param refresh: seconds after which a revocation is noticed in handshakes; operations notice at once
    :param end: seconds for answers under way when the service ends
    """

    ca: str
    host: str
    port: int
    crls: Path | None = None
    connections: int = 1000
    refresh: float = 2.0
    end: float = 20.0
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)
    pace: Pace = field(default_factory=Pace)
    timing: Timing = field(default_factory=Timing)


@asynccontextmanager
async def web_service(
    pki: Pki, settings: Settings, identity: Identity | None = None, metrics: WebMetrics | None = None
) -> AsyncIterator[Server]:
    """Serve as long as the context lasts; in the end what is under way is answered. See :func:`prepare`."""
    async with prepare(pki, settings, identity).running(metrics or WebMetrics(CollectorRegistry())) as server:
        yield server


def prepare(pki: Pki, settings: Settings, identity: Identity | None = None) -> "WebService":
    """Find all that a web service needs, without serving yet.

    :param identity: certificate and key of the server; ``None``: the CA's own
    :raises SmpkiError: it can't start: ``issuing.issuer.unknown``, ``service.*``, ``store.*``, ``tls.*``
    """
    authorities, is_root = pki.authorities, settings.ca == ROOT
    issuer = authorities.root if is_root else partial(authorities.sub_ca, settings.ca)
    authority = issuer().name.common_name
    own = CertificateType.ROOT_TLS if is_root else CertificateType.SUB_CA_TLS
    identity = identity or own_identity(pki, authority, own)
    peers = Peers(pki, settings.crls)
    check = peers.check(*(CLIENTS_OF_ROOT if is_root else CLIENTS_OF_SUB_CA))
    clock = steady(pki.clock, time.monotonic)
    endpoint = Endpoint(WAN_SERVER, identity, check, clock=clock, trusted_authorities=peers.authorities)
    return WebService(pki, settings, authority, issuer, identity, peers, clock, endpoint)


@dataclass(frozen=True)
class WebService:
    """A web service that has all it needs; :func:`prepare` makes it.

    :param authority: CN of the CA
    :param issuer: the CA as it is now
    :param clock: of TLS, which nobody can set back
    """

    pki: Pki
    settings: Settings
    authority: str
    issuer: Callable[[], Issuer]
    identity: Identity
    peers: Peers
    clock: Callable[[], datetime]
    endpoint: Endpoint

    def check(self) -> None:
        """See that the CA could issue now: its certificate, its key, token and database; and that TLS has its key.

        :raises SmpkiError: it can't; of the TLS key: ``token.tls_key``
        """
        self.issuer().check_usable(self.pki.clock())
        client = Endpoint(WAN_CLIENT, None, lambda _: None, clock=self.clock).connection()
        client.start()
        try:
            self.endpoint.connection().receive(client.data_to_send())  # the server's first flight is signed
        except TlsError as error:
            raise TokenError(
                "token.tls_key",
                f"the key of the server's TLS certificate can't be used: {error.message}",
                where=self.authority,
                hint="see that its token is there",
            ) from None

    def figures(self) -> Iterator[Metric]:
        """What is looked up for metrics: days to ends, and the queue.

        :raises StoreError: the database failed
        """
        pki, now = self.pki, self.pki.clock()
        found = pki_deadlines(pki.store, pki.policy, pki.environment, now)
        yield from days_left([*found, own_deadline(self.identity.certificates[0])], now)
        yield from queue_lengths(pki.store.beside(RequestQueue), self.authority)

    def trials(self, ports: tuple[int, ...] = (0,)) -> Trials:
        """Ports where participants try their TLS clients, against this server's certificate and check of peers.

        :param ports: where to listen; ``(0,)``: free ones
        """
        return Trials(
            lambda check: Endpoint(
                WAN_SERVER, self.identity, check, clock=self.clock, trusted_authorities=self.peers.authorities
            ),
            self.peers.check(*CLIENTS_OF_SUB_CA),
            self.pki.clock,
            host=self.settings.host,
            ports=ports,
        )

    @asynccontextmanager
    async def running(self, metrics: WebMetrics) -> AsyncIterator[Server]:
        """Serve as long as the context lasts; in the end what is under way is answered.

        :raises SmpkiError: it can't listen: ``tls.transport.listen``
        """
        settings = self.settings
        pki = replace(self.pki, keys=TimedKeys(self.pki.keys, metrics.signed, time.perf_counter))
        async with AsyncExitStack() as stack:
            granting: Granting = RootGranting(pki)
            if settings.ca != ROOT:
                counter = stack.enter_context(Counter(partial(pki.desk, settings.ca)))
                granting = SubCaGranting(pki, counter)
            granting = CountedGranting(granting, metrics)
            operations = Operations(pki, self.authority, granting, settings.patience, issuer=self.issuer)
            senders = Senders(pki)

            async def answer(request: Request, certificate: x509.Certificate) -> Answer:
                sender = await asyncio.to_thread(senders.find, certificate)
                return await operations.answer(request, sender)

            callbacks = CountedCallbacks(self.identity, self.peers, self.clock, metrics)
            runner = Runner(pki, self.authority, granting, callbacks, settings.pace)
            runs = [runner.run() for _ in range(settings.pace.abreast)]
            for work in (*runs, _refresh(self.peers, settings.refresh)):
                stack.push_async_callback(_end, asyncio.create_task(work))
            offered = OFFERED_BY_ROOT if settings.ca == ROOT else OFFERED_BY_SUB_CA
            application: Application = SoapApplication(answer, offered, settings.limits, metrics.answered)
            if settings.ca != ROOT:
                application = beside(rest_by_certificate(Desk(pki, settings.ca)), application)
            server = await serve(
                http_protocol(application, patience=settings.limits.seconds),
                self.endpoint,
                settings.host,
                settings.port,
                timing=settings.timing,
                most=settings.connections,
            )
            stack.push_async_callback(finish, server, settings.end)
            metrics.watch(lambda: granting.waiting, lambda: len(server.connections))
            yield server


async def _refresh(peers: Peers, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(peers.refresh)
        except SmpkiError as error:
            log.error(LogEvent("peers.old", "web service: what was known of peers goes on to count", **why(error)))
        except Exception:  # whatever it is, the next look is taken
            log.exception(LogEvent("peers.old", "web service: what was known of peers goes on to count"))


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
