"""NTP in a stream: messages in pieces, peers that hang or flood."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from smpki.errors import GatewayError
from smpki.gateway import ntp_stream
from smpki.gateway.ntp import Message
from smpki.gateway.ntp_client import Dropped, NtpClient, Reason
from smpki.gateway.ntp_stream import Complaint, NtpClientProtocol, NtpServerProtocol, ServerLimits
from smpki.gateway.time_keeper import Standing, TimeKeeper, TimeSet

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
REQUEST = bytes(Message(mode=3, transmit=4711))
JUNK = bytes(48)


class Wire(asyncio.Transport):
    """One end of a stream; what is written is kept, or goes to the other end's protocol."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.deliver: Callable[[bytes], None] = lambda data: None
        self.is_closed = False

    def write(self, data: Any) -> None:
        assert not self.is_closed
        self.written += data
        self.deliver(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


class Server:
    """A server's protocol above a wire, with a clock that stands still unless a test moves it."""

    def __init__(self, **limits: float) -> None:
        self.seconds = 0.0
        self.complaints: list[Complaint] = []
        self.wire = Wire()
        self.protocol = NtpServerProtocol(
            lambda: Standing(NOW, trusted=True, stratum=2),
            log=self.complaints.append,
            monotonic=lambda: self.seconds,
            limits=ServerLimits(**limits),  # type: ignore[arg-type]
        )
        self.protocol.connection_made(self.wire)

    def receive(self, data: bytes) -> int:
        """Octets that are answered."""
        before = len(self.wire.written)
        self.protocol.data_received(data)
        return len(self.wire.written) - before


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))  # type: ignore[arg-type]


# the server


@pytest.mark.parametrize("size", [1, 7, 47, 48, 49, 96, 144])
def test_requests_in_pieces_of_any_size(size: int) -> None:
    async def scenario() -> None:
        server = Server()
        stream = REQUEST * 3
        for at in range(0, len(stream), size):
            server.receive(stream[at : at + size])
        assert len(server.wire.written) == 3 * 48
        server.protocol.connection_lost(None)
        assert server.complaints == []

    run(scenario)


@pytest.mark.requirement("REQ.TA.NTP.ProcessRequest.10")
def test_what_is_no_request_is_ignored_a_few_times() -> None:
    async def scenario() -> None:
        server = Server(ignored=3, burst=100)
        assert server.receive(JUNK + REQUEST + JUNK) == 48
        assert server.receive(REQUEST + JUNK) == 48
        assert server.receive(JUNK + REQUEST) == 0
        assert server.wire.is_closed
        assert server.receive(REQUEST) == 0
        assert server.complaints == [Complaint.IGNORED]

    run(scenario)


def test_a_flood_is_answered_a_few_times() -> None:
    async def scenario() -> None:
        server = Server(burst=3, ignored=4, answers=1)
        assert server.receive(REQUEST * 5) == 3 * 48
        server.seconds += 2
        assert server.receive(REQUEST * 3) == 2 * 48
        assert not server.wire.is_closed
        assert server.receive(REQUEST * 300) == 0
        assert server.wire.is_closed
        assert server.complaints == [Complaint.IGNORED]

    run(scenario)


def test_who_does_not_read_gets_no_answers() -> None:
    async def scenario() -> None:
        server = Server()
        server.protocol.pause_writing()
        assert server.receive(REQUEST) == 0
        server.protocol.resume_writing()
        assert server.receive(REQUEST) == 48
        server.protocol.connection_lost(None)

    run(scenario)


@pytest.mark.parametrize("begun", [REQUEST[:47], REQUEST + REQUEST[:1]])
def test_who_hangs_in_a_request_is_left(begun: bytes) -> None:
    async def scenario() -> None:
        server = Server(incomplete=0.05)
        server.receive(begun)
        assert not server.wire.is_closed
        await asyncio.sleep(0.1)
        assert server.complaints == [Complaint.INCOMPLETE]
        assert server.wire.is_closed

    run(scenario)


def test_a_trickle_is_no_request() -> None:
    async def scenario() -> None:
        server = Server(incomplete=0.1)
        for octet in REQUEST[:40]:
            server.receive(bytes([octet]))
            await asyncio.sleep(0.01)
        assert server.complaints == [Complaint.INCOMPLETE]

    run(scenario)


def test_who_says_nothing_is_left() -> None:
    async def scenario() -> None:
        server = Server(idle=0.05)
        await asyncio.sleep(0.03)
        server.receive(REQUEST)
        await asyncio.sleep(0.03)
        assert not server.wire.is_closed
        await asyncio.sleep(0.05)
        assert server.complaints == [Complaint.IDLE]
        assert server.wire.is_closed

    run(scenario)


def test_no_complaint_about_who_has_gone() -> None:
    async def scenario() -> None:
        server = Server(idle=0.02, incomplete=0.02)
        server.receive(REQUEST[:5])
        server.protocol.connection_lost(ConnectionResetError())
        await asyncio.sleep(0.05)
        assert server.complaints == []

    run(scenario)


# the client


class Client:
    """A client's protocol above a wire, and the monotonic clock of its gateway."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.keeper = TimeKeeper(datetime(1970, 1, 1, tzinfo=UTC), lambda: self.seconds)
        numbers = iter(range(1, 1000))
        self.client = NtpClient(self.keeper, random=lambda octets: next(numbers).to_bytes(octets))
        self.connect()

    def connect(self) -> None:
        self.wire = Wire()
        self.protocol = NtpClientProtocol(self.client)
        self.protocol.connection_made(self.wire)


@pytest.mark.parametrize("size", [1, 47, 48])
def test_an_answer_in_pieces_of_any_size(size: int) -> None:
    async def scenario() -> None:
        client, server = Client(), Server()
        client.wire.deliver = server.protocol.data_received

        def deliver(data: bytes) -> None:
            for at in range(0, len(data), size):
                client.protocol.data_received(data[at : at + size])

        server.wire.deliver = deliver
        for _ in range(2):
            assert isinstance(await client.protocol.ask(), TimeSet)
            assert client.keeper.now() == NOW
            client.seconds += 60
        assert len(client.wire.written) == 96
        server.protocol.connection_lost(None)

    run(scenario)


def test_asking_again_too_soon() -> None:
    async def scenario() -> None:
        client, server = Client(), Server()
        client.wire.deliver = server.protocol.data_received
        server.wire.deliver = client.protocol.data_received
        await client.protocol.ask()
        with pytest.raises(GatewayError, match="less than 60 s ago"):
            await client.protocol.ask()
        assert len(client.wire.written) == 48
        server.protocol.connection_lost(None)

    run(scenario)


def answer_of(client: Client) -> bytes:
    server = Server()
    server.receive(client.wire.written[-48:])
    server.protocol.connection_lost(None)
    return server.wire.written


@pytest.mark.parametrize("answered", [0, 47])
def test_a_server_that_hangs(answered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ntp_stream, "LONGEST_DELAY", 0.05)

    async def scenario() -> None:
        client = Client()
        asking = asyncio.ensure_future(client.protocol.ask())
        await asyncio.sleep(0)
        client.protocol.data_received(answer_of(client)[:answered])
        assert await asking == Dropped(Reason.NO_ANSWER)
        assert client.wire.is_closed
        assert client.keeper.now() is None
        client.seconds += 60
        assert await client.protocol.ask() == Dropped(Reason.NO_ANSWER)

    run(scenario)


def test_a_server_that_goes() -> None:
    async def scenario() -> None:
        client = Client()
        asking = asyncio.ensure_future(client.protocol.ask())
        await asyncio.sleep(0)
        client.protocol.connection_lost(None)
        assert await asking == Dropped(Reason.NO_ANSWER)
        assert await client.protocol.ask() == Dropped(Reason.NO_ANSWER)  # and it counts for no request
        client.seconds += 60
        client.connect()
        asking = asyncio.ensure_future(client.protocol.ask())
        await asyncio.sleep(0)
        client.protocol.data_received(answer_of(client))
        assert isinstance(await asking, TimeSet)

    run(scenario)


def test_a_late_answer_to_an_earlier_request_does_not_stand_in_the_way() -> None:
    async def scenario() -> None:
        client = Client()
        client.client.request()
        late = bytes(Message(mode=4, stratum=1, origin=1, receive=1, transmit=1))
        client.seconds += 60
        asking = asyncio.ensure_future(client.protocol.ask())
        await asyncio.sleep(0)
        client.protocol.data_received(late + answer_of(client) + late)
        assert isinstance(await asking, TimeSet)
        assert client.keeper.now() == NOW

    run(scenario)


def test_a_server_that_floods() -> None:
    async def scenario() -> None:
        client = Client()
        asking = asyncio.ensure_future(client.protocol.ask())
        await asyncio.sleep(0)
        client.protocol.data_received(JUNK * 1000)
        assert await asking == Dropped(Reason.NO_ANSWER)
        assert client.wire.is_closed
        assert client.keeper.now() is None

    run(scenario)


def test_an_answer_that_is_dropped_is_the_answer() -> None:
    async def scenario() -> None:
        client = Client()
        asking = asyncio.ensure_future(client.protocol.ask())
        await asyncio.sleep(0)
        untrusted = Message(leap=3, mode=4, origin=1)
        client.protocol.data_received(bytes(untrusted))
        assert await asking == Dropped(Reason.UNSYNCHRONISED)
        assert not client.wire.is_closed

    run(scenario)
