"""The world of the tests of TLS, and peers in it that write HTTP octet by octet."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import h11
import pytest

from smpki.gateway.http_client_rules import Caller, Manners
from smpki.gateway.http_rules import Service
from smpki.tls.http_asker import asker
from smpki.tls.http_server import http_protocol
from smpki.tls.http_stream import HttpStream
from smpki.tls.profile import Version
from smpki.tls.transport import connect, serve

TLS = Path(__file__).parents[2] / "tls"


def _module(name: str, place: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


_tls = _module("tls_conftest", TLS / "conftest.py")
_transport = _module("tls_transport_conftest", TLS / "transport" / "conftest.py")


@dataclass
class Peer:
    """An HTTP client that writes what it is told to, and reads answers strictly (h11)."""

    stream: HttpStream
    server: Any
    parser: h11.Connection

    @classmethod
    async def connect(cls, world: Any, server: Any) -> "Peer":
        stream = HttpStream()
        await connect(lambda: stream, world.client(), "127.0.0.1", server.port)
        return cls(stream, server, h11.Connection(h11.CLIENT))

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            await self.stream.write(piece)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next one: status, header fields, body."""
        if self.parser.our_state is h11.DONE:
            self.parser.start_next_cycle()
        self.parser.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
        self.parser.send(h11.EndOfMessage())
        head, body = None, b""
        while True:
            event = self.parser.next_event()
            if event is h11.NEED_DATA:
                self.parser.receive_data(await self.stream.read(65536))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                fields = {name.decode(): value.decode() for name, value in head.headers}
                assert len(fields) == len(head.headers)
                return head.status_code, fields, body

    async def ask(self, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send, and read the answer."""
        await self.send(*pieces)
        return await self.answer()

    async def ended(self) -> bool:
        """Whether the other side has said that it is over, without another octet."""
        return await self.stream.read(1) == b""


@dataclass
class Place:
    """Where servers are tried."""

    world: Any

    @asynccontextmanager
    async def peer(self, service: Service, **options: Any) -> AsyncIterator[Peer]:
        """A connection to a server of one's own."""
        factory = http_protocol(service, **options)
        async with await serve(factory, self.world.server(), "127.0.0.1", 0) as server:
            peer = await Peer.connect(self.world, server)
            yield peer
            await peer.stream.aclose()

    @asynccontextmanager
    async def caller(self, factory: Callable[[], Any], manners: Manners | None = None) -> AsyncIterator[Caller]:
        """A caller of a server that may be of any kind."""
        async with (
            await serve(factory, self.world.server(), "127.0.0.1", 0) as server,
            asker(self.world.client(), "127.0.0.1", server.port) as asking,
        ):
            yield Caller(asking, manners)

    def run(self, work: Callable[[], Any]) -> Any:
        return self.world.run(work())

    @property
    def seconds(self) -> float:
        return float(self.world.loop.time())


@pytest.fixture
def place() -> Iterator[Place]:
    """An event loop that skips idle time, and both ends' endpoints, as in the tests of TLS."""
    world = _transport.World(_tls._identity, versions=frozenset({Version.TLS13}))
    yield Place(world)
    assert asyncio.all_tasks(world.loop) == set()
    world.loop.close()
