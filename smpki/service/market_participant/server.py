"""The market participant's server: its parts put together, and running."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from datetime import datetime
from pathlib import Path

from smpki.gateway.http_rules import Limits, Service
from smpki.service.market_participant.configuration import Configuration
from smpki.service.market_participant.keyring import Keyring
from smpki.service.market_participant.ledger import Ledger
from smpki.service.market_participant.output import Output, exclusive_folder
from smpki.service.market_participant.reception import Reception
from smpki.service.market_participant.senders import Senders
from smpki.service.market_participant.store.store import DeliveryStore
from smpki.service.market_participant.triples import OwnTriple
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_server import finish, http_protocol
from smpki.tls.profile import WAN_SERVER
from smpki.tls.session import steady
from smpki.tls.transport import Server, Timing, serve

_WORKERS = 2  # more would wait for each other: what they do is Python's, but for the elliptic curves


def database(data: Path) -> Path:
    """The database in a market participant's folder."""
    return data / "deliveries.db"


@asynccontextmanager
async def market_participant(
    configuration: Configuration,
    triples: Sequence[OwnTriple],
    now: Callable[[], datetime],
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Server]:
    """A server that takes deliveries as long as the context lasts; in the end those under way are answered.

    :param triples: as :func:`smpki.service.market_participant.triples.load_triples` gives them
    :param now: the clock
    :param monotonic: seconds that nobody sets
    :raises SmpkiError: it can't start: ``configuration.*``, ``emt.*``, ``store.*``, ``tls.*``, ``trust.*``, ``cms.*``
    """
    limits, times = configuration.limits, configuration.times
    senders = Senders(configuration.senders, now)
    keyring = Keyring([triple.enc for triple in triples])
    clock, authorities = steady(now, monotonic), senders.authorities
    endpoint = Endpoint(WAN_SERVER, triples[0].tls, senders.check, clock=clock, trusted_authorities=authorities)
    with (
        exclusive_folder(configuration.data),
        closing(DeliveryStore.create(database(configuration.data))) as store,
        ThreadPoolExecutor(_WORKERS, "deliveries") as workers,
    ):
        output = Output(configuration.data, configuration.output.octets_per_file)
        with store.view() as view:
            position = view.position()
        output.recover(position)
        ledger = Ledger(store, output, now)
        reception = Reception(
            configuration.path,
            frozenset(configuration.recipients),
            senders,
            keyring,
            ledger,
            content_limit=limits.content_octets,
            workers=workers,
        )
        service = Service(
            reception,
            Limits(body=limits.body_octets, patience=times.request_seconds, answer=times.answer_seconds),
        )
        server = await serve(
            http_protocol(service, idle=times.idle_seconds, patience=times.request_seconds),
            endpoint,
            *configuration.address,
            timing=Timing(handshake=times.handshake_seconds),
            most=limits.connections,
        )
        try:
            yield server
        finally:
            await finish(server, times.answer_seconds)
            await ledger.close()
