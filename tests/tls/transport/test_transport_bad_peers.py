"""Peers that hang, talk nonsense, break off, flood, never close: each ends in time, with one line in the log."""

import asyncio
import errno
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from smpki.errors import TlsError
from smpki.tls.connection import Closed, Connection, Data
from smpki.tls.transport import Timing, connect, serve

World = Any
Raw = tuple[asyncio.StreamReader, asyncio.StreamWriter]
FATAL = b"\x15\x03\x03\x00\x02\x02"
"""A record with a fatal alert, but for its number."""


class Peer:
    """A peer that does TLS by hand: nothing happens that a test does not ask for."""

    def __init__(self, raw: Raw, connection: Connection) -> None:
        self.reader, self.writer = raw
        self.connection = connection
        self.events: list[Any] = []

    async def handshake(self) -> None:
        self.connection.start()
        self.flush()
        while not self.connection.established:
            self.events += self.connection.receive(await self.reader.read(65536))
            self.flush()

    def flush(self) -> None:
        self.writer.write(self.connection.data_to_send())

    async def read_all(self) -> None:
        """Until the end of the transport."""
        while data := await self.reader.read(65536):
            self.events += self.connection.receive(data)

    def reset(self) -> None:
        """Break the transport off as if the machine had died."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Case:
    """Our server, and one raw peer of it."""

    def __init__(self, world: World, server: Any, protocol: Any, raw: Raw) -> None:
        self.server = server
        self.protocol = protocol
        self.raw = raw
        self.peer = Peer(raw, world.client().connection())

    async def handshake(self) -> None:
        """Until it is done on both sides."""
        await self.peer.handshake()
        while not self.protocol.happened:
            await asyncio.sleep(0)

    async def gone(self) -> None:
        """Until the server has nothing left of the connection."""
        for transport in self.server.connections:
            await transport.wait_closed()


@pytest.fixture
def with_raw_peer(
    world: World, recorder: Any, caplog: pytest.LogCaptureFixture
) -> Callable[[Callable[[Case], Awaitable[None]]], list[str]]:
    """``with_raw_peer(job)`` runs the job on a :class:`Case` and gives what was logged."""

    def run(job: Callable[[Case], Awaitable[None]], **options: Any) -> list[str]:
        async def main() -> None:
            protocol = recorder()
            async with await serve(lambda: protocol, world.server(), "127.0.0.1", 0, **options) as server:
                raw = await asyncio.open_connection("127.0.0.1", server.port)
                while not server.connections:
                    await asyncio.sleep(0)
                await job(Case(world, server, protocol, raw))
                raw[1].close()

        caplog.clear()
        with caplog.at_level(logging.INFO, "smpki"):
            world.run(main())
        return [record.getMessage() for record in caplog.records if record.name.startswith("smpki")]

    return run


def test_a_client_that_never_says_anything_is_cut_off(world: World, with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        assert await case.raw[0].read() == b""
        await case.gone()
        assert world.loop.time() == pytest.approx(20, abs=1.1)
        assert case.protocol.happened == []

    (line,) = with_raw_peer(job)
    assert "127.0.0.1 port" in line
    assert "tls.handshake.timeout" in line


def test_a_client_that_drips_its_hello_is_cut_off(world: World, with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        case.peer.connection.start()
        for octet in case.peer.connection.data_to_send()[:40]:
            case.raw[1].write(bytes([octet]))
            await asyncio.sleep(1)
        await case.gone()
        assert world.loop.time() == pytest.approx(40, abs=0.1)

    assert "tls.handshake.timeout" in with_raw_peer(job)[0]


def test_a_server_that_never_says_anything(world: World, recorder: Any) -> None:
    async def main() -> None:
        silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        with pytest.raises(TlsError) as caught:
            await connect(recorder, world.client(), *silent.sockets[0].getsockname())
        assert caught.value.code == "tls.handshake.timeout"
        assert world.loop.time() == pytest.approx(21, abs=0.1)
        silent.close()

    world.run(main())


def test_a_handshake_that_nobody_waits_for_any_more_leaves_nothing(world: World, recorder: Any) -> None:
    async def main() -> None:
        silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connect(recorder, world.client(), *silent.sockets[0].getsockname()), 5)
        silent.close()

    world.run(main())


def test_garbage_instead_of_a_hello_gets_an_alert_before_the_end(world: World, with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        case.raw[1].write(b"\x16\x03\x01\x02\x00" + b"secret?\n" * 1000)
        answer = await case.raw[0].read()
        assert answer[:1] + answer[3:6] == b"\x15\x00\x02\x02"
        await case.gone()
        assert world.loop.time() < 1.1

    (line,) = with_raw_peer(job)
    assert "tls.failed" in line
    assert "secret" not in line


def test_garbage_after_the_handshake_ends_the_protocol_with_the_error(with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        await case.handshake()
        case.raw[1].write(b"\x17\x03\x03\x00\x40" + bytes(64))
        error = await case.protocol.lost
        assert isinstance(error, TlsError)
        with pytest.raises(TlsError, match="bad_record_mac"):
            await case.peer.read_all()
        await case.gone()

    (line,) = with_raw_peer(job)
    assert "bad_record_mac" in line


def test_who_floods_after_the_alert_is_not_listened_to_for_long(world: World, with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        case.raw[1].write(bytes(100))
        for _ in range(30):
            case.raw[1].write(bytes(1_000_000))
            await asyncio.sleep(0.1)
        assert case.server.connections == ()

    assert len(with_raw_peer(job)) == 1


def test_a_client_that_goes_away_during_the_handshake(with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        case.peer.connection.start()
        case.peer.flush()
        await case.raw[0].read(100)
        case.raw[1].write_eof()
        await case.gone()
        assert case.protocol.happened == []

    assert "tls.truncated" in with_raw_peer(job)[0]


def test_an_end_without_close_notify_is_an_error_of_the_protocol(with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        await case.handshake()
        case.peer.connection.send(b"half of it")
        case.peer.flush()
        case.raw[1].write_eof()
        error = await case.protocol.lost
        assert error.code == "tls.truncated"
        assert case.protocol.data == b"half of it"
        await case.gone()

    (line,) = with_raw_peer(job)
    assert "half of it" not in line


@pytest.mark.parametrize("established", [False, True])
def test_a_reset_is_an_error_of_the_protocol(established: bool, with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        if established:
            await case.handshake()
        case.peer.reset()
        if established:
            assert (await case.protocol.lost).code == "tls.transport.lost"
        await case.gone()

    (line,) = with_raw_peer(job)
    assert "tls.transport.lost" in line


@pytest.mark.requirement("REQ.TA.TLS.Close.80")
def test_the_transport_ends_within_20_seconds_of_close_notify_though_the_peer_does_nothing(
    world: World, with_raw_peer: Any
) -> None:
    async def job(case: Case) -> None:
        await case.handshake()
        begin = world.loop.time()
        case.protocol.transport.close()
        await case.peer.read_all()
        assert Closed() in case.peer.events
        await case.gone()
        assert world.loop.time() - begin == pytest.approx(Timing().close, abs=0.1)
        assert await case.protocol.lost is None

    assert Timing().close <= 20
    assert with_raw_peer(job) == []


@pytest.mark.requirement("REQ.TA.TLS.Close.80")
def test_the_transport_ends_in_time_even_when_the_peer_takes_nothing(world: World, with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        await case.handshake()
        case.raw[1].transport.pause_reading()
        begin = world.loop.time()
        case.protocol.transport.write(bytes(20_000_000))
        case.protocol.transport.close()
        await case.gone()
        assert world.loop.time() - begin <= 20

    assert with_raw_peer(job) == []


@pytest.mark.requirement("REQ.TA.TLS.Close.90")
@pytest.mark.parametrize("takes", [True, False], ids=["peer reads", "peer reads nothing"])
def test_after_the_peers_close_notify_the_transport_is_ended_from_this_side(
    takes: bool, world: World, with_raw_peer: Any
) -> None:
    async def job(case: Case) -> None:
        await case.handshake()
        if not takes:
            case.raw[1].transport.pause_reading()
            case.protocol.transport.write(bytes(20_000_000))
        begin = world.loop.time()
        case.peer.connection.close()
        case.peer.flush()
        await case.gone()
        assert world.loop.time() - begin <= (1 if takes else 20)
        assert await case.protocol.lost is None
        assert case.protocol.happened[-2:] == ["eof", "lost"]
        if takes:
            await case.peer.read_all()
            assert case.peer.events[-1] == Closed()

    assert with_raw_peer(job) == []


@pytest.mark.requirement("REQ.TA.TLS.Close.10", "REQ.TA.TLS.Close.20", "REQ.TA.TLS.Close.40")
def test_a_fatal_alert_ends_the_exchange_and_is_logged(with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        await case.handshake()
        case.protocol.transport.write(b"before")
        with pytest.raises(TlsError):
            case.peer.connection.receive(b"\x17\x03\x03\x00\x40" + bytes(64))  # makes it send an alert
        case.peer.flush()
        error = await case.protocol.lost
        assert (error.code, error.received) == ("tls.alert", True)
        size = case.protocol.transport.get_write_buffer_size()
        case.protocol.transport.write(b"after")
        assert case.protocol.transport.get_write_buffer_size() == size
        assert case.protocol.transport.is_closing()
        while data := await case.raw[0].read():
            assert b"after" not in data
        await case.gone()

    (line,) = with_raw_peer(job)
    assert "bad_record_mac" in line


@pytest.mark.requirement("REQ.TA.TLS.Close.10", "REQ.TA.TLS.Close.20", "REQ.TA.TLS.Close.40")
def test_a_fatal_alert_during_the_handshake_is_logged(with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        case.peer.connection.start()
        case.peer.flush()
        await case.raw[0].read(100)
        case.raw[1].write(FATAL + bytes([40]))
        await case.gone()
        assert case.protocol.happened == []

    told: list[TlsError] = []
    (line,) = with_raw_peer(job, on_failure=lambda error, transport: told.append(error))
    assert "handshake_failure" in line
    assert [error.code for error in told] == ["tls.alert"]


@pytest.mark.requirement("REQ.TA.TLS.Close.30")
def test_a_stranger_is_told_so_by_an_alert(world: World, recorder: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with await serve(recorder, world.server(trusts="another client"), "127.0.0.1", 0) as server:
            try:  # in TLS 1.3 a client is done before the server has seen its certificate
                _, protocol = await connect(recorder, world.client(), "127.0.0.1", server.port)
                error = await protocol.lost
            except TlsError as refusal:
                error = refusal
            assert (error.code, error.alert) == ("tls.alert", 42)

    world.run(main())
    assert [("tls.alert" in line, "tls.peer.unknown" in line) for line in caplog.messages].count((False, True)) == 1


def test_a_check_that_breaks_lets_nobody_in(world: World, recorder: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with await serve(recorder, world.server(), "127.0.0.1", 0) as server:
            with pytest.raises(TlsError) as caught:
                await connect(recorder, world.client(check=broken), "127.0.0.1", server.port)
            assert caught.value.code == "tls.peer.unchecked"

    def broken(_: object) -> None:
        raise ZeroDivisionError("by mistake")

    world.run(main())
    assert "by mistake" in caplog.text


def test_the_session_limit_ends_the_connection(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with world.connected(session_limit=timedelta(hours=2)) as (_, client, other):
            await asyncio.sleep(2 * 3600 - 1)
            other.transport.write(b"a second before")
            assert await client.received(15)
            await asyncio.sleep(2)
            assert (await other.lost).code == "tls.session.limit"
            assert await client.lost is None
            assert world.loop.time() < 2 * 3600 + 2

    world.run(main())
    assert [line for line in caplog.messages if "tls.session.limit" in line] == caplog.messages


def test_the_session_limit_holds_when_the_clock_is_set(world: World) -> None:
    async def main() -> None:
        async with world.connected() as (_, client, other):
            world.offset = timedelta(hours=48)
            begin = world.loop.time()
            assert (await other.lost or await client.lost).code == "tls.session.limit"
            assert world.loop.time() - begin <= 61

    world.run(main())


def test_more_connections_than_allowed_are_cut_off(
    world: World, recorder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with await serve(recorder, world.server(), "127.0.0.1", 0, most=3) as server:
            raw = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
            for reader, _ in raw[3:]:
                assert await reader.read() == b""
            assert len(server.connections) == 3
            for _, writer in raw:
                writer.close()
            while server.connections:
                await asyncio.sleep(0)
            await connect(recorder, world.client(), "127.0.0.1", server.port)

    world.run(main())
    assert "more than 3 connections" in caplog.text


def test_a_peer_that_breaks_off_while_we_close(with_raw_peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reset arrives between what is written last and the end of the way out."""

    async def job(case: Case) -> None:
        await case.handshake()
        transport = case.protocol.transport

        def fail() -> None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        monkeypatch.setattr(transport._layer.below, "write_eof", fail)
        transport.close()
        case.peer.reset()
        await case.gone()
        assert await case.protocol.lost is None

    assert with_raw_peer(job) == []


def test_data_that_come_after_our_close_go_nowhere(with_raw_peer: Any) -> None:
    async def job(case: Case) -> None:
        await case.handshake()
        case.protocol.transport.close()
        case.peer.connection.send(b"too late")
        case.peer.flush()
        await case.peer.read_all()
        assert [event for event in case.peer.events if isinstance(event, Data)] == []
        case.peer.connection.close()
        case.peer.flush()
        await case.gone()
        assert (bytes(case.protocol.data), await case.protocol.lost) == (b"", None)

    assert with_raw_peer(job) == []
