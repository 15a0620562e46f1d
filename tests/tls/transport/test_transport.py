"""TLS over loopback sockets, as a transport of asyncio: what goes well."""

import asyncio
from typing import Any

import pytest

from smpki.errors import TlsError
from smpki.tls.layer import TlsLayer
from smpki.tls.transport import Timing, connect, serve

World = Any
MEGABYTE = bytes(range(256)) * 4096


def test_both_ends_exchange_data_and_know_each_other(world: World) -> None:
    async def main() -> None:
        async with world.connected() as (server, client, other):
            for one, name, data in ((client, "server", b"to the server"), (other, "client", b"to the client")):
                assert one.transport.get_extra_info("peer_certificate") == world.identity(name).certificates[0]
                assert one.transport.get_extra_info("tls").version in world.versions
                one.transport.write(data)
            assert client.transport.get_extra_info("peername")[1] == server.port
            assert (await other.received(13), await client.received(13)) == (b"to the server", b"to the client")
            client.transport.close()
            assert client.transport.is_closing()
            assert (await other.lost, await client.lost) == (None, None)
            assert (client.happened, other.happened) == (["made", "lost"], ["made", "eof", "lost"])

    world.run(main())
    assert world.loop.time() < 1


def test_large_data_go_whole_both_ways_at_once(world: World) -> None:
    async def main() -> None:
        async with world.connected() as (_, client, other):
            client.transport.write(MEGABYTE)
            other.transport.write(memoryview(bytearray(MEGABYTE)))
            assert await client.received(len(MEGABYTE)) == await other.received(len(MEGABYTE)) == MEGABYTE

    world.run(main())


def test_who_does_not_read_makes_the_other_stop_writing(world: World) -> None:
    async def main() -> None:
        async with world.connected() as (_, client, other):
            client.transport.pause_reading()
            assert not client.transport.is_reading()
            written = 0
            while "pause" not in other.happened:
                other.transport.write(MEGABYTE)
                written += len(MEGABYTE)
                await asyncio.sleep(0.1)
            low, high = other.transport.get_write_buffer_limits()
            assert low < high < other.transport.get_write_buffer_size() < high + 2 * len(MEGABYTE)
            before = len(client.data)
            await asyncio.sleep(1)
            assert len(client.data) == before
            client.transport.resume_reading()
            await client.received(written)
            assert other.happened == ["made", "pause", "resume"]

    world.run(main())


def test_what_came_before_the_pause_is_given_out_after_it_in_order(world: World) -> None:
    async def main() -> None:
        async with world.connected() as (_, client, other):
            client.transport.pause_reading()
            for number in range(100):
                other.transport.write(number.to_bytes(1))
            other.transport.close()
            await asyncio.sleep(1)
            client.transport.resume_reading()
            assert await client.lost is None
            assert (bytes(client.data), client.happened) == (bytes(range(100)), ["made", "eof", "lost"])

    world.run(main())


def test_a_protocol_that_pauses_while_it_is_given_data_gets_no_more(world: World, recorder: Any) -> None:
    class Piecemeal(recorder):  # type: ignore[misc]
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()
            self.happened.append("data")

    async def main() -> None:
        async with world.connected(Piecemeal) as (_, client, other):
            for _ in range(3):
                other.transport.write(bytes(16384))
            for times in (1, 2, 3):
                await asyncio.sleep(1)
                assert client.happened == ["made", *["data"] * times]
                client.transport.resume_reading()
            assert len(client.data) == 3 * 16384

    world.run(main())


def test_the_stock_streams_of_asyncio_work_on_it(world: World) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def factory() -> asyncio.Protocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(), answer)

        async with await serve(factory, world.server(), "127.0.0.1", 0) as server:
            reader = asyncio.StreamReader()
            stream = asyncio.StreamReaderProtocol(reader)
            transport, _ = await connect(lambda: stream, world.client(), "127.0.0.1", server.port)
            writer = asyncio.StreamWriter(transport, stream, reader, loop)
            writer.write(b"hello\n")
            assert await reader.read() == b"HELLO\n"
            writer.close()
            await writer.wait_closed()

    world.run(main())


def test_any_transport_will_do_below_even_tls(world: World, recorder: Any) -> None:
    async def main() -> None:
        accepted = asyncio.get_running_loop().create_future()

        def accept() -> TlsLayer:
            accepted.set_result(TlsLayer(world.server().connection(), recorder, Timing()))
            return accepted.result()

        async with await serve(accept, world.server(), "127.0.0.1", 0) as server:
            client = TlsLayer(world.client().connection(), recorder, Timing())
            await connect(lambda: client, world.client(), "127.0.0.1", server.port)
            other = await accepted
            assert (await client.ready, await other.ready) == (None, None)
            client.transport.write(b"twice wrapped")
            assert await other.protocol.received(13) == b"twice wrapped"
            client.transport.close()
            await client.transport.wait_closed()
            await other.transport.wait_closed()

    world.run(main())


def test_a_protocol_that_can_not_be_made_is_no_success(world: World, recorder: Any) -> None:
    def fail() -> asyncio.Protocol:
        raise ZeroDivisionError

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: mistakes.append(context["exception"]))
        async with await serve(recorder, world.server(), "127.0.0.1", 0) as server:
            with pytest.raises(TlsError, match=r"tls\.transport\.lost"):
                await connect(fail, world.client(), "127.0.0.1", server.port)

    mistakes: list[Exception] = []
    world.run(main())
    assert [type(mistake) for mistake in mistakes] == [ZeroDivisionError]


def test_a_session_is_resumed_over_sockets(world: World, recorder: Any) -> None:
    async def main() -> None:
        endpoint = world.client(resumption=True)
        async with await serve(recorder, world.server(resumption=True), "127.0.0.1", 0) as server:
            session = None
            for resumed in (False, True):
                transport, _ = await connect(
                    endpoint=endpoint, protocol_factory=recorder, host="127.0.0.1", port=server.port, resume=session
                )
                connection = transport.get_extra_info("tls")
                assert connection.resumed == resumed
                while not (session := connection.session):
                    await asyncio.sleep(0)
                transport.close()
                await transport.wait_closed()

    world.run(main())


def test_a_server_closes_its_connections_and_listens_no_more(world: World, recorder: Any) -> None:
    async def main() -> None:
        async with world.connected() as (server, client, _):
            port = server.port
            assert len(server.connections) == 1
            await server.close()
            assert await client.lost is None
            assert server.connections == ()
            with pytest.raises(TlsError) as caught:
                await connect(recorder, world.client(), "127.0.0.1", port)
            assert (caught.value.code, caught.value.where) == ("tls.transport.unreachable", f"127.0.0.1 port {port}")

    world.run(main())


def test_a_port_that_is_taken_is_refused(world: World, recorder: Any) -> None:
    async def main() -> None:
        async with await serve(recorder, world.server(), "127.0.0.1", 0) as server:
            with pytest.raises(TlsError) as caught:
                await serve(recorder, world.server(), "127.0.0.1", server.port)
            assert caught.value.code == "tls.transport.listen"

    world.run(main())


@pytest.mark.parametrize("wrong", [{"close": 20.1}, {"close": 0}, {"drain": 21}, {"handshake": 0}])
def test_times_that_the_specification_forbids_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TlsError) as caught:
        Timing(**wrong)
    assert caught.value.code == "tls.timing"
