"""A CA's web service: its parts put together, and running."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cryptography import x509

from smpki.ca.pki import Pki
from smpki.errors import SmpkiError
from smpki.policy.model import CertificateType
from smpki.service.web.application import Limits, SoapApplication
from smpki.service.web.callbacks import Callbacks
from smpki.service.web.counter import Counter
from smpki.service.web.granting import Granting, RootGranting, SubCaGranting
from smpki.service.web.operations import Operations, Patience
from smpki.service.web.own import own_identity
from smpki.service.web.peers import CLIENTS_OF_ROOT, CLIENTS_OF_SUB_CA, Peers
from smpki.service.web.runner import Pace, Runner
from smpki.service.web.senders import Senders
from smpki.soap.messages import OFFERED_BY_ROOT, OFFERED_BY_SUB_CA, Answer, Request
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_server import finish, http_protocol
from smpki.tls.identity import Identity
from smpki.tls.profile import WAN_SERVER
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
async def web_service(pki: Pki, settings: Settings, identity: Identity | None = None) -> AsyncIterator[Server]:
    """Serve as long as the context lasts; in the end what is under way is answered.

    :param identity: certificate and key of the server; ``None``: the CA's own
    :raises SmpkiError: it can't start: ``issuing.issuer.unknown``, ``service.*``, ``store.*``, ``tls.*``
    """
    authorities, is_root = pki.authorities, settings.ca == ROOT
    issuer = authorities.root if is_root else partial(authorities.sub_ca, settings.ca)
    authority = issuer().name.common_name
    own = CertificateType.ROOT_TLS if is_root else CertificateType.SUB_CA_TLS
    identity = identity or own_identity(pki, authority, own)
    peers = Peers(pki, settings.crls)
    clock = steady(pki.clock, time.monotonic)
    check = peers.check(*(CLIENTS_OF_ROOT if is_root else CLIENTS_OF_SUB_CA))
    async with AsyncExitStack() as stack:
        granting: Granting = RootGranting(pki)
        if not is_root:
            counter = stack.enter_context(Counter(partial(pki.desk, settings.ca)))
            granting = SubCaGranting(pki, counter)
        operations = Operations(pki, authority, granting, settings.patience, issuer=issuer)
        senders = Senders(pki)

        async def answer(request: Request, certificate: x509.Certificate) -> Answer:
            sender = await asyncio.to_thread(senders.find, certificate)
            return await operations.answer(request, sender)

        offered = OFFERED_BY_ROOT if is_root else OFFERED_BY_SUB_CA
        runner = Runner(pki, authority, granting, Callbacks(identity, peers, clock), settings.pace)
        runs = [runner.run() for _ in range(settings.pace.abreast)]
        for work in (*runs, _refresh(peers, settings.refresh)):
            stack.push_async_callback(_end, asyncio.create_task(work))
        server = await serve(
            http_protocol(SoapApplication(answer, offered, settings.limits), patience=settings.limits.seconds),
            Endpoint(WAN_SERVER, identity, check, clock=clock, trusted_authorities=peers.authorities),
            settings.host,
            settings.port,
            timing=settings.timing,
            most=settings.connections,
        )
        stack.push_async_callback(finish, server, settings.end)
        yield server


async def _refresh(peers: Peers, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(peers.refresh)
        except SmpkiError as error:
            log.error("web service: what was known of peers goes on to count: %s", error)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
