"""What fails below the service fails for a while only: nothing is lost, and the first request afterwards is served."""

import asyncio
import importlib.util
import resource
import signal
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from smpki.errors import TokenError
from smpki.policy.model import CertificateType
from smpki.service.web.operations import Patience
from smpki.service.web.own import own_identity
from smpki.service.web.server import web_service
from smpki.service.web.store.queue import RequestQueue, State
from smpki.soap.messages import GetServiceStatus, RequestCertificate, ReturnCode

STATUS = GetServiceStatus("1")
INTERNAL, GRANTED = ReturnCode.FAILURE_INTERNAL_ERROR, ReturnCode.OK_CERT_AVAILABLE

_spec = importlib.util.spec_from_file_location("later_tests", Path(__file__).with_name("test_later.py"))
assert _spec is not None and _spec.loader is not None
later = sys.modules.setdefault("later_tests", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(later)


@dataclass
class Outage:
    """A world whose database goes away and comes back."""

    world: Any
    stop: Callable[[], object]
    start: Callable[[], object]


def on_a_disk(world: Any) -> Outage:
    """SQLite in a folder that goes and comes in one go, as a disk does."""
    home = world.workshop.home.folder
    there, away = home / "database", home / "away"
    there.mkdir()
    for file in home.glob("smpki.db*"):
        file.rename(there / file.name)
    world.workshop.database = f"sqlite:///{there / 'smpki.db'}"
    return Outage(world, partial(there.rename, away), partial(away.rename, there))


@pytest.fixture(params=["sqlite", "postgresql"])
def outage(request: pytest.FixtureRequest, world_of: Any, empty_workshops: Any) -> Outage:
    if request.param == "sqlite":
        return on_a_disk(world_of(request.getfixturevalue("workshop")))
    server, url = request.getfixturevalue("postgres_to_stop")
    world = world_of(sys.modules["ca_fixtures"].with_hierarchy(empty_workshops(url)))
    return Outage(world, lambda: server.stop(signal.SIGQUIT), server.start)  # as when it crashes


@asynccontextmanager
async def serving(world: Any, keys: Any) -> AsyncIterator[Any]:
    """A service whose keys are watched; its TLS key is not."""
    with world.workshop.open() as plain:
        identity = own_identity(plain, "Beispiel.CA", CertificateType.SUB_CA_TLS)
    with world.workshop.open(keys=keys, **world.options) as pki:
        async with web_service(pki, world.settings, identity) as server:
            yield world.service_of(server)


def test_a_database_that_is_gone_and_back(outage: Outage) -> None:
    world = outage.world
    emts = [world.register(f"Firma{number}.EMT") for number in range(4)]
    world.near_the_end()
    packages = [RequestCertificate(emt.renewal()) for emt in emts]

    async def story() -> None:
        async with world.service() as service, service.client(emts[0].identity) as kept:

            async def codes() -> list[ReturnCode]:
                asked = (service.ask(*both) for both in zip(emts, packages, strict=True))
                return [answer.code for answer in await asyncio.gather(*asked)]

            assert (await service.ask_over(kept, STATUS)).code is ReturnCode.OK_RECEIVED_CORRECTLY
            first = await service.ask(emts[0], packages[0])
            outage.stop()
            assert await codes() == [INTERNAL] * 4
            assert (await service.ask_over(kept, STATUS)).code is ReturnCode.FAILURE_OTHER_ERROR
            outage.start()
            assert await codes() == [GRANTED] * 4
            assert await service.ask_over(kept, packages[0]) == first

    world.run(story())
    world.workshop.assert_chain_holds()


def test_a_database_that_fails_between_two_steps_of_issuing(outage: Outage, issuing_program: Any) -> None:
    world = outage.world
    emt = world.register()
    world.near_the_end()
    package = RequestCertificate(emt.renewal())
    stops = [outage.stop]

    def sign(real: Any, *arguments: Any) -> bytes:
        while stops:
            stops.pop()()
        signed: bytes = real(*arguments)
        return signed

    keys = issuing_program.WatchedKeys(world.workshop.key_store, sign)

    async def story() -> None:
        async with serving(world, keys) as service:
            assert (await service.ask(emt, package)).code is INTERNAL
            assert not stops
            outage.start()
            assert (await service.ask(emt, package)).code is GRANTED

    world.run(story())
    assert world.audit()[-2:] == [("recover", "done"), ("issue", "done")]
    world.workshop.assert_chain_holds()


def test_a_result_that_was_sent_when_the_database_went_away_is_sent_once_more(outage: Outage) -> None:
    world, port = outage.world, later.free_port()
    emt = world.register(url=f"https://127.0.0.1:{port}/")
    world.near_the_end()
    world.change(patience=Patience(waiting=0))

    async def story() -> None:
        receiver = later.Receiver(world)
        async with world.service() as service, receiver.serving(emt.identity, port):
            assert (await service.ask(emt, RequestCertificate(emt.renewal(), "1"))).code is ReturnCode.OK_SYNTAX
            await receiver.wait(1)
            outage.stop()  # as a rule before it is noted that the result was taken
            outage.start()
            world.workshop.now += timedelta(minutes=3)
            await later.settled(world, State.DELIVERED)
        assert len(set(receiver.results)) == 1

    world.run(story())
    world.workshop.assert_chain_holds()


def test_the_service_ends_while_the_database_is_away(world: Any) -> None:
    outage, port = on_a_disk(world), later.free_port()
    emt = world.register(url=f"https://127.0.0.1:{port}/")
    world.near_the_end()
    world.change(patience=Patience(waiting=0))

    class Slow(later.Receiver):  # type: ignore[misc]
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            self.news.set()
            await asyncio.sleep(60)

    async def story() -> None:
        receiver = Slow(world)
        async with receiver.serving(emt.identity, port):
            async with world.service() as service:
                await service.ask(emt, RequestCertificate(emt.renewal(), "1"))
                await receiver.news.wait()
                outage.stop()
            outage.start()

    world.run(story())
    world.workshop.now += timedelta(minutes=3)
    with world.workshop.open() as pki:
        assert pki.store.beside(RequestQueue).take("Beispiel.CA", timedelta(minutes=1)).state is State.ANSWERED


def test_a_database_that_another_process_locks(world: Any) -> None:
    emt = world.register()
    world.near_the_end()
    package = RequestCertificate(emt.renewal())
    file = world.workshop.home.folder / "smpki.db"
    world.workshop.database += "?timeout=0.2"

    async def story() -> None:
        async with world.service() as service:
            with closing(sqlite3.connect(file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                answer = await service.ask(emt, package)
                assert answer.code is INTERNAL
                assert "store.busy" in answer.message
            assert (await service.ask(emt, package)).code is GRANTED

    world.run(story())
    world.workshop.assert_chain_holds()


@contextmanager
def no_file_grows_beyond(octets: int) -> Iterator[None]:
    """A full disk, as far as this process is concerned."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    port = later.free_port()
    emt, other = world.register(), world.register("Andere.EMT", url=f"https://127.0.0.1:{port}/")
    world.near_the_end()
    package, for_later = RequestCertificate(emt.renewal()), RequestCertificate(other.renewal(), "1")
    world.change(patience=Patience(waiting=0))

    def queued() -> int:
        return len(world.workshop.tables()["queued_request"])

    async def story() -> None:
        receiver = later.Receiver(world)
        async with world.service() as service:
            with no_file_grows_beyond(4096):
                answers = [await service.ask(emt, package), await service.ask(other, for_later)]
                assert [answer.code for answer in answers] == [INTERNAL] * 2
            assert queued() == 0
            assert (await service.ask(emt, package)).code is GRANTED
            assert (await service.ask(other, for_later)).code is ReturnCode.OK_SYNTAX
            await later.settled(world, State.ANSWERED)
            async with receiver.serving(other.identity, port):
                with no_file_grows_beyond(4096):
                    world.workshop.now += timedelta(minutes=1)
                    while "the queue rests" not in caplog.text:
                        await asyncio.sleep(0.02)
                world.workshop.now += timedelta(minutes=5)
                await later.settled(world, State.DELIVERED)
        assert len(set(receiver.results)) == 1

    world.run(story())
    world.workshop.assert_chain_holds()


def test_a_token_that_is_gone_and_back(world: Any, issuing_program: Any) -> None:
    emt = world.register()
    world.near_the_end()
    package = RequestCertificate(emt.renewal())
    gone = threading.Event()

    def sign(real: Any, *arguments: Any) -> bytes:
        if gone.is_set():
            raise TokenError("token.removed", "the token was removed")
        signed: bytes = real(*arguments)
        return signed

    keys = issuing_program.WatchedKeys(world.workshop.key_store, sign)

    async def story() -> None:
        async with serving(world, keys) as service:
            gone.set()
            assert (await service.ask(emt, package)).code is INTERNAL
            gone.clear()
            assert (await service.ask(emt, package)).code is GRANTED

    world.run(story())
    assert world.audit()[-2:] == [("issue", "refused"), ("issue", "done")]
    world.workshop.assert_chain_holds()
