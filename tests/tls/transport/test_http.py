"""HTTP over TLS, with either end of TLS as either end of HTTP."""

import asyncio
from typing import Any

import httpx
import pytest

from smpki.errors import TlsError
from smpki.tls import http_asker, http_client, http_server
from smpki.tls.http_asker import Asker, Reply
from smpki.tls.http_stream import HttpStream
from smpki.tls.transport import connect, serve

World = Any


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Tells who asked, and gives back what was sent."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/hang":
        await receive()  # until the client goes away
        return
    tls = scope["extensions"]["tls"]
    fields = {
        "content-length": str(len(body)),
        "peer": http_server.peer_chain(scope)[0].subject.rfc4514_string(),
        "client": tls["client_cert_name"],
        "version": f"{tls['tls_version']:04x}",
        "scheme": scope["scheme"],
        "path": scope["path"],
    }
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def test_the_tls_client_asks(world: World) -> None:
    async def main() -> None:
        async with (
            await http_server.serve_http(application, world.server(), "127.0.0.1", 0) as server,
            http_client.client(world.client(), "127.0.0.1", server.port) as client,
        ):
            for number in range(3):
                answer = await client.post(f"/{number}", content=b"hello")
                assert (answer.status_code, answer.content) == (200, b"hello")
                assert http_client.peer_certificate(answer) == world.identity("server").certificates[0]
                fields = {
                    "content-length": "5",
                    "peer": "CN=client",
                    "client": "CN=client",
                    "version": {"TLSv1.2": "0303", "TLSv1.3": "0304"}[next(iter(world.versions)).value],
                    "scheme": "https",
                    "path": f"/{number}",
                }
                assert dict(answer.headers) == fields
            assert len(server.connections) == 1

    world.run(main())


def test_roles_swapped_the_tls_server_asks(world: World) -> None:
    """As on MANAGEMENT: the gateway connects, then the administrator asks the gateway."""
    answers: list[Reply] = []

    async def administrator(asker: Asker, transport: Any) -> None:
        assert transport.get_extra_info("peer_certificate") == world.identity("client").certificates[0]
        for path in ("/one", "/two"):
            answers.append(await asker.ask("GET", path))

    async def main() -> None:
        async with await http_client.accept_clients(administrator, world.server(), "127.0.0.1", 0) as server:
            gateway = await http_server.dial_http(application, world.client(), "127.0.0.1", server.port)
            await gateway.wait_closed()

    world.run(main())
    assert [answer.fields["path"] for answer in answers] == ["/one", "/two"]
    assert {answer.fields["peer"] for answer in answers} == {"CN=server"}


def test_large_bodies_both_ways(world: World) -> None:
    body = bytes(range(256)) * 20_000

    async def main() -> None:
        async with (
            await http_server.serve_http(application, world.server(), "127.0.0.1", 0) as server,
            http_client.client(world.client(), "127.0.0.1", server.port) as client,
        ):
            assert (await client.post("/", content=body)).content == body

    world.run(main())


def test_a_client_connects_again_when_its_connection_has_ended(world: World) -> None:
    async def main() -> None:
        async with (
            await http_server.serve_http(application, world.server(), "127.0.0.1", 0) as server,
            http_client.client(world.client(), "127.0.0.1", server.port) as client,
        ):
            await client.get("/")
            (first,) = server.connections
            first.close()
            await first.wait_closed()
            assert (await client.get("/")).status_code == 200

    world.run(main())


def test_an_asker_connects_again_when_its_connection_has_ended(world: World) -> None:
    async def main() -> None:
        async with (
            await http_server.serve_http(application, world.server(), "127.0.0.1", 0) as server,
            http_asker.asker(world.client(), "127.0.0.1", server.port) as asker,
        ):
            for _ in range(3):
                assert (await asker.ask("POST", "/", body=b"hello")).body == b"hello"
            (first,) = server.connections
            first.close()
            await first.wait_closed()
            assert (await asker.ask("GET", "/")).status == 200
            assert len(server.connections) == 1

    world.run(main())


def test_an_asker_has_its_questions_wait_for_each_other(world: World) -> None:
    async def main() -> None:
        async with (
            await http_server.serve_http(application, world.server(), "127.0.0.1", 0) as server,
            http_asker.asker(world.client(), "127.0.0.1", server.port) as asker,
        ):
            replies = await asyncio.gather(*(asker.ask("GET", f"/{number}") for number in range(5)))
            assert [reply.fields["path"] for reply in replies] == [f"/{number}" for number in range(5)]
            assert len(server.connections) == 1

    world.run(main())


def test_an_asker_whose_patience_ended_takes_no_late_answer_for_another(world: World) -> None:
    async def main() -> None:
        async with (
            await http_server.serve_http(application, world.server(), "127.0.0.1", 0) as server,
            http_asker.asker(world.client(), "127.0.0.1", server.port) as asker,
        ):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(20):
                    await asker.ask("GET", "/hang")
            assert (await asker.ask("GET", "/one")).fields["path"] == "/one"

    world.run(main())


def test_an_asker_over_one_connection_ends_with_it(world: World) -> None:
    async def main() -> None:
        async with await http_server.serve_http(application, world.server(), "127.0.0.1", 0) as server:
            stream = HttpStream()
            await connect(lambda: stream, world.client(), "127.0.0.1", server.port)
            async with http_asker.asker_over(stream) as asker:
                assert (await asker.ask("GET", "/")).status == 200
                (only,) = server.connections
                only.close()
                await only.wait_closed()
                with pytest.raises(TlsError) as caught:
                    await asker.ask("GET", "/")
                assert caught.value.code == "tls.http.over"

    world.run(main())


def test_an_idle_connection_is_closed(world: World) -> None:
    async def main() -> None:
        factory = http_server.http_protocol(application, idle=100)
        async with await serve(factory, world.server(), "127.0.0.1", 0) as server:
            async with http_client.client(world.client(), "127.0.0.1", server.port) as client:
                await client.get("/")
                await asyncio.sleep(99)
                assert len(server.connections) == 1
                await asyncio.sleep(2)
                assert server.connections == ()
            stream = HttpStream()
            await connect(lambda: stream, world.client(), "127.0.0.1", server.port)
            assert await stream.read(100) == b""  # having asked nothing

    world.run(main())


def test_who_is_refused_is_told_why(world: World) -> None:
    async def main() -> None:
        async with (
            await http_server.serve_http(application, world.server(trusts="another"), "127.0.0.1", 0) as server,
            http_client.client(world.client(), "127.0.0.1", server.port) as client,
        ):
            with pytest.raises(TlsError, match="bad_certificate"):
                await client.get("/")

    world.run(main())


def test_there_is_no_http_without_tls(world: World) -> None:
    async def main() -> None:
        async with http_client.client(world.client(), "127.0.0.1", 1) as client:
            with pytest.raises(TlsError) as caught:
                await client.get("http://127.0.0.1/")
            assert caught.value.code == "tls.http.plain"

    world.run(main())


def test_a_server_that_does_not_answer(world: World) -> None:
    async def main() -> None:
        async with (
            await http_server.serve_http(application, world.server(), "127.0.0.1", 0) as server,
            http_client.client(world.client(), "127.0.0.1", server.port) as client,
        ):
            begin = world.loop.time()
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/hang")
            assert world.loop.time() - begin == pytest.approx(20, abs=0.1)

    world.run(main())


REQUESTS = {
    "not HTTP": (b"\x00\x01\x02\r\n\r\n", 400),
    "a head without end": (b"GET / HTTP/1.1\r\nfield: " + b"x" * 20_000, 431),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_requests_that_are_none_get_their_status(request_name: str, world: World) -> None:
    sent, status = REQUESTS[request_name]

    async def main() -> None:
        async with await http_server.serve_http(application, world.server(), "127.0.0.1", 0) as server:
            stream = HttpStream()
            await connect(lambda: stream, world.client(), "127.0.0.1", server.port)
            await stream.write(sent)
            answer = await stream.read(1000)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())
            await stream.aclose()

    world.run(main())


def test_requests_that_come_before_the_answer_wait_their_turn(world: World) -> None:
    async def main() -> None:
        async with await http_server.serve_http(application, world.server(), "127.0.0.1", 0) as server:
            stream = HttpStream()
            await connect(lambda: stream, world.client(), "127.0.0.1", server.port)
            await stream.write(b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(50)))
            answers = b""
            while answers.count(b"\r\n\r\n") < 50:
                answers += await stream.read(65536)
            paths = [line for line in answers.split(b"\r\n") if line.startswith(b"path")]
            assert paths == [b"path: /%d" % number for number in range(50)]
            await stream.aclose()

    world.run(main())


def test_an_answer_that_breaks_off_is_an_error(world: World, recorder: Any) -> None:
    class Half(recorder):  # type: ignore[misc]
        def data_received(self, data: bytes) -> None:
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            self.transport.abort() if self.hard else self.transport.close()

    async def main(hard: bool) -> None:
        Half.hard = hard
        async with (
            await serve(Half, world.server(), "127.0.0.1", 0) as server,
            http_client.client(world.client(), "127.0.0.1", server.port) as client,
        ):
            with pytest.raises(TlsError if hard else httpx.RemoteProtocolError):
                await client.get("/")

    for hard in (False, True):
        world.run(main(hard))


def test_what_is_asked_over_an_accepted_connection_may_fail(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def administrator(asker: Asker, transport: Any) -> None:
        raise LookupError("no such gateway")

    async def main() -> None:
        async with await http_client.accept_clients(administrator, world.server(), "127.0.0.1", 0) as server:
            gateway = await http_server.dial_http(application, world.client(), "127.0.0.1", server.port)
            await gateway.wait_closed()

    world.run(main())
    assert "no such gateway" in caplog.text


def test_an_accepted_connection_ends_with_the_task_that_asks(world: World) -> None:
    async def administrator(asker: Asker, transport: Any) -> None:
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    async def main() -> None:
        async with await http_client.accept_clients(administrator, world.server(), "127.0.0.1", 0) as server:
            gateway = await http_server.dial_http(application, world.client(), "127.0.0.1", server.port)
            await gateway.wait_closed()
            assert world.loop.time() < 60

    world.run(main())
