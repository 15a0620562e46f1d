"""An event loop whose time passes when nothing else happens, and endpoints whose clock it is."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smpki.tls.endpoint import Endpoint
from smpki.tls.peers import exact_match
from smpki.tls.profile import WAN_CLIENT, WAN_SERVER, Version
from smpki.tls.transport import connect, serve

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    leap: Callable[[float], None]

    def select(self, timeout: float | None = None) -> Any:
        if ready := super().select(0 if timeout is not None else 10):
            return ready
        if timeout is None:
            raise RuntimeError("nothing will ever happen")
        if timeout > 0 and not (ready := super().select(0.001)):
            self.leap(timeout)
        return ready


class QuickLoop(asyncio.SelectorEventLoop):
    """Skips the time in which neither a socket nor a task has anything to do."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.leap = self._leap
        self._now = 0.0
        super().__init__(selector)

    def _leap(self, seconds: float) -> None:
        self._now += seconds

    def time(self) -> float:
        return self._now


@dataclass
class World:
    """Time, and both ends' endpoints.

    :ivar offset: how far the clock was set beside the time that has passed
    """

    identity: Callable[..., Any]
    loop: QuickLoop = field(default_factory=QuickLoop)
    versions: frozenset[Version] = frozenset(Version)
    offset: timedelta = timedelta()

    def clock(self) -> datetime:
        return NOW + timedelta(seconds=self.loop.time()) + self.offset

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 10**6))

    def client(self, *, trusts: str = "server", **changes: Any) -> Endpoint:
        return self._endpoint(WAN_CLIENT, "client", trusts, changes)

    def server(self, *, trusts: str = "client", **changes: Any) -> Endpoint:
        return self._endpoint(WAN_SERVER, "server", trusts, changes)

    @asynccontextmanager
    async def connected(self, at_client: Any = None, **changes: Any) -> AsyncIterator[tuple[Any, Any, Any]]:
        """A server, and the protocols at both ends of one connection to it.

        :param at_client: makes the client's protocol
        :param changes: of the server's profile
        """
        accepted: asyncio.Future[Recorder] = asyncio.get_running_loop().create_future()

        def factory() -> Recorder:
            accepted.set_result(Recorder())
            return accepted.result()

        async with await serve(factory, self.server(**changes), "127.0.0.1", 0) as server:
            _, client = await connect(at_client or Recorder, self.client(), "127.0.0.1", server.port)
            yield server, client, await accepted

    def _endpoint(self, profile: Any, name: str, trusts: str, changes: dict[str, Any]) -> Endpoint:
        check = changes.pop("check", exact_match(self.identity(trusts).certificates, now=self.clock))
        profile = replace(profile, **{"versions": self.versions} | changes)
        return Endpoint(profile, self.identity(name), check, clock=self.clock)


@pytest.fixture(params=[Version.TLS12, Version.TLS13], ids=["1.2", "1.3"])
def world(request: pytest.FixtureRequest, identity: Callable[..., Any]) -> Iterator[World]:
    """Both versions, one after the other."""
    made = World(identity, versions=frozenset({request.param}))
    yield made
    assert asyncio.all_tasks(made.loop) == set()
    made.loop.close()


class Recorder(asyncio.Protocol):
    """Notes what happens to a protocol."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.happened: list[str] = []
        self.came = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.happened.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.came.set()

    async def received(self, count: int) -> bytes:
        """So many octets, once they are there."""
        while len(self.data) < count:
            self.came.clear()
            await self.came.wait()
        return bytes(self.data)

    def eof_received(self) -> None:
        self.happened.append("eof")

    def pause_writing(self) -> None:
        self.happened.append("pause")

    def resume_writing(self) -> None:
        self.happened.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.happened.append("lost")
        self.lost.set_result(exc)


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder
