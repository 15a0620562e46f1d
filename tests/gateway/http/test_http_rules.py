"""What a server demands of requests, over TLS connections on the loopback interface."""

import asyncio
import gzip
import json
import logging
import tracemalloc
from typing import Any

import httpcore
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smpki.errors import GatewayError
from smpki.gateway.http_message import STATUSES, Request, Response
from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.http_rules import Limits, Service
from smpki.gateway.media_type import JSON

Place = Any
CLOSED = {"content-length": "0", "connection": "close"}


class Office:
    """A handler that notes what it gets."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.cancelled = 0

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        match request.path:
            case "/hang":
                try:
                    await asyncio.sleep(10**5)
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
            case "/late":
                await asyncio.sleep(19.9)
            case "/large":
                return Response(200, b"0" * 10**6, JSON)
            case "/empty":
                return Response(204)
            case "/there":
                raise HttpRefusal(409, "test.there", "it is there already", hint="take another", fields={"x": "y"})
            case "/broken":
                raise GatewayError("test.broken", "it is broken", where="here", hint="repair it")
            case "/bug":
                raise LookupError("secret")
        return Response.of_json(200, {"path": request.path, "length": len(request.body)})


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def service(office: Office) -> Service:
    return Service(office)


def get(path: str = "/", fields: str = "", version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: gateway\r\n{fields}\r\n".encode()


def post(body: bytes, fields: str = "", path: str = "/x") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


# The syntax

WELL_FORMED = {
    "usual": b"POST /x HTTP/1.1\r\nHost: gateway\r\nContent-Length: 2\r\n\r\n{}",
    "names in any case": b"POST /x HTTP/1.1\r\nHOST: gateway\r\ncontent-LENGTH: 2\r\n\r\n{}",
    "white space": b"POST /x HTTP/1.1\r\nhost:gateway\r\nContent-Length: \t2 \t\r\n\r\n{}",
    "odd fields": b"POST /x HTTP/1.1\r\nHost: gateway\r\nContent-Length: 2\r\nX: \xff\r\nX: \r\nx:3\r\n\r\n{}",
    "a later version": b"POST /x HTTP/1.9\r\nHost: gateway\r\nContent-Length: 2\r\n\r\n{}",
    "a length twice": b"POST /x HTTP/1.1\r\nHost: gateway\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\n{}",
    "absolute": b"POST https://gateway:1/x HTTP/1.1\r\nHost: gateway\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.requirement("REQ.Webservice.HttpServer.10", "REQ.Webservice.HttpServer.30")
@pytest.mark.parametrize("piecemeal", [False, True])
@pytest.mark.parametrize("name", WELL_FORMED)
def test_one_request_is_written_in_many_ways(
    name: str, piecemeal: bool, place: Place, office: Office, service: Service
) -> None:
    whole = WELL_FORMED[name]

    async def main() -> None:
        async with place.peer(service) as peer:
            pieces = [whole[at : at + 1] for at in range(len(whole))] if piecemeal else [whole]
            status, _, body = await peer.ask(*pieces)
            assert (status, json.loads(body)) == (200, {"path": "/x", "length": 2})

    place.run(main)
    (only,) = office.requests
    assert (only.method, only.path, only.query, only.body) == ("POST", "/x", None, b"{}")
    assert only.fields["host"] == "gateway"
    assert only.peer == place.world.identity("client").certificates


def test_a_path_may_be_left_out_and_an_empty_query_is_seen(place: Place, office: Office, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            for target in ("https://gateway", "https://gateway?a=b", "/?", "/a%2Fb?c=%20"):
                assert (await peer.ask(get(target)))[0] == 200

    place.run(main)
    seen = [(request.path, request.query) for request in office.requests]
    assert seen == [("/", None), ("/", "a=b"), ("/", ""), ("/a%2Fb", "c=%20")]


MALFORMED = {
    "octets": b"\x16\x03\x01\x00\x05hello\r\n\r\n",
    "an empty line": b"\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "half a version": b"GET / HTTP/1\r\nHost: x\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the path": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method that is none": b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: x\r\nfield\r\n\r\n",
    "NUL": b"GET / HTTP/1.1\r\nHost: x\r\na: b\x00c\r\n\r\n",
    "folded at the start": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "another transfer coding": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "a length of 30 digits": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
}


@pytest.mark.requirement("REQ.Webservice.HttpServer.60")
@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_http_gets_400_and_the_connection_is_closed(
    name: str, place: Place, office: Office, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            assert await peer.ask(MALFORMED[name]) == (400, CLOSED, b"")
            assert await peer.ended()

    place.run(main)
    assert office.requests == []
    assert caplog.text.count("HTTP: what is no whole request was refused: peer=CN=client, status=400") == 1


@pytest.mark.parametrize("line", ["OPTIONS *", "CONNECT gateway:443", "GET smgw/"])
def test_targets_that_are_no_paths_get_400(line: str, place: Place, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            status, _, body = await peer.ask(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (status, json.loads(body)["code"]) == (400, "http.target")

    place.run(main)


@pytest.mark.parametrize("version", ["0.9", "1.0", "2.0", "3.1"])
def test_other_versions_get_505(version: str, place: Place, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            assert (await peer.ask(get(version=version)))[0] == 505

    place.run(main)


# Sizes


def line(length: int, name: str = "a") -> str:
    """A field line of so many octets, its CR LF included."""
    return f"{name}: {'v' * (length - len(name) - 4)}\r\n"


def header(length: int) -> str:
    """Field lines that have so many octets together with that of the host."""
    whole, rest = divmod(length - len("Host: gateway\r\n") - 100, 250)
    return line(250) * whole + line(50 + rest // 2) + line(50 + rest - rest // 2)


@pytest.mark.requirement("REQ.Webservice.HttpServer.170")
def test_a_header_field_has_up_to_250_octets(place: Place, office: Office, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            assert (await peer.ask(get(fields=line(250))))[0] == 200
            assert (await peer.ask(get(fields=line(250).replace(": ", ":x"))))[0] == 200
            for longer in (line(251), f"a:{' ' * 240}v\t\t\t\t\t\t\r\n"):
                status, _, body = await peer.ask(get(fields=longer))
                assert (status, json.loads(body)["code"]) == (431, "http.header.line")
            assert (await peer.ask(get()))[0] == 200  # the connection is as good as before

    place.run(main)
    assert office.requests[0].fields["a"] == "v" * 245


@pytest.mark.requirement("REQ.Webservice.HttpServer.180")
def test_a_header_has_up_to_8500_octets(place: Place, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            assert (await peer.ask(get(fields=header(8500))))[0] == 200
            assert (await peer.ask(get("/" + "p" * 7999, fields=header(8500))))[0] == 200
            status, _, body = await peer.ask(get(fields=header(8501)))
            assert (status, json.loads(body)["code"]) == (431, "http.header")

    place.run(main)


def test_a_uri_has_up_to_8000_octets(place: Place, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            assert (await peer.ask(get("/" + "p" * 7999)))[0] == 200
            status, _, body = await peer.ask(get("/" + "p" * 8000))
            assert (status, json.loads(body)["code"]) == (414, "http.uri")
            assert (await peer.ask(get()))[0] == 200
            assert await peer.ask(b"GET /" + b"p" * 17000) == (414, CLOSED, b"")
            assert await peer.ended()

    place.run(main)


TEN_MEGABYTES = {
    "one field": (b"GET / HTTP/1.1\r\nHost: x\r\na: ", b"v" * 50_000, 431),
    "many fields": (b"GET / HTTP/1.1\r\nHost: x\r\n", line(250).encode() * 200, 431),
    "a path": (b"GET /", b"p" * 50_000, 414),
    "a method": (b"", b"G" * 50_000, 414),
}


@pytest.mark.parametrize("name", TEN_MEGABYTES)
def test_ten_megabytes_of_header_are_not_kept(name: str, place: Place, office: Office, service: Service) -> None:
    begin, piece, status = TEN_MEGABYTES[name]

    async def main() -> None:
        async with place.peer(service) as peer:
            await peer.send(begin)
            for _ in range(200):
                try:
                    await peer.send(piece)
                except httpcore.WriteError:
                    break  # it has closed
            assert await peer.answer() == (status, CLOSED, b"")
            assert await peer.ended()

    tracemalloc.start()
    try:
        place.run(main)
        assert tracemalloc.get_traced_memory()[1] < 3 * 10**6
    finally:
        tracemalloc.stop()
    assert office.requests == []


def test_a_body_is_bounded_as_it_comes_and_as_it_is_unpacked(place: Place, office: Office) -> None:
    async def main() -> None:
        async with place.peer(Service(office, Limits(body=1000))) as peer:
            assert (await peer.ask(post(bytes(1000))))[0] == 200
            assert (await peer.ask(post(gzip.compress(bytes(1000)), "Content-Encoding: gzip\r\n")))[0] == 200
            bomb = post(gzip.compress(bytes(100_000)), "Content-Encoding: gzip\r\n")
            assert (await peer.ask(bomb))[0] == 413
            assert (await peer.ask(get()))[0] == 200
            status, fields, _ = await peer.ask(post(bytes(1001))[:-1001])  # before a single octet of it
            assert (status, fields["connection"]) == (413, "close")
            assert await peer.ended()

    place.run(main)
    assert [len(request.body) for request in office.requests] == [1000, 1000, 0]


def test_the_coding_of_a_body_is_taken_off(place: Place, office: Office, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            for coding in ("gzip", "x-gzip", "zlib", "deflate"):
                assert (await peer.ask(post(gzip.compress(b"{}"), f"Content-Encoding: {coding}\r\n")))[0] == 200
            assert (await peer.ask(post(b"{}", "Content-Encoding: gzip\r\n")))[0] == 422
            status, fields, _ = await peer.ask(post(b"{}", "Content-Encoding: br\r\n"))
            assert (status, fields["accept-encoding"]) == (415, "gzip, x-gzip, deflate, zlib")

    place.run(main)
    assert [request.body for request in office.requests] == [b"{}"] * 4


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_body_tells_its_length(method: str, place: Place, office: Office, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            status, fields, body = await peer.ask(f"{method} /x HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (status, json.loads(body)["code"]) == (411, "http.body.length")
            assert "connection" not in fields
            for length in ("", "Content-Length: 2\r\n"):  # both together are a way to smuggle requests in
                async with place.peer(service) as other:
                    chunked = f"{method} /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n{length}\r\n"
                    status, fields, _ = await other.ask(f"{chunked}2\r\n{{}}\r\n0\r\n\r\n".encode())
                    assert (status, fields["connection"]) == (411, "close")
                    assert await other.ended()

    place.run(main)
    assert office.requests == []


@pytest.mark.parametrize("chunk", [b"not a size\r\n", b"f" * 30 + b"\r\n", b"2\r\n{}xx"])
def test_chunks_that_are_none_do_no_harm(
    chunk: bytes, place: Place, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            await peer.send(b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
            assert (await peer.answer())[0] in (400, 411)
            assert await peer.ended()

    place.run(main)
    assert "Exception" not in caplog.text


def test_who_asks_whether_to_send_a_body_is_told(place: Place, office: Office) -> None:
    async def main() -> None:
        async with place.peer(Service(office, Limits(body=10))) as peer:
            head, body = post(b"0123456789", "Expect: 100-continue\r\n")[:-10], b"0123456789"
            await peer.send(head)
            assert await peer.stream.read(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await peer.ask(body))[0] == 200
            assert (await peer.ask(post(bytes(11), "Expect: 100-continue\r\n")[:-11]))[0] == 413

    place.run(main)


# Time


@pytest.mark.parametrize("sent", [b"G", get()[:-1]])
def test_a_slow_head_gets_408(sent: bytes, place: Place, office: Office, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            assert (await peer.ask(get()))[0] == 200
            begin = place.seconds
            await peer.send(sent)
            for _ in range(5):  # as slow as can be, but never silent
                await asyncio.sleep(11)
                await peer.send(b"a" if sent == b"G" else b"")
            assert await peer.answer() == (408, CLOSED, b"")
            assert place.seconds - begin == pytest.approx(60, abs=0.1)
            assert await peer.ended()

    place.run(main)
    assert len(office.requests) == 1


def test_a_slow_body_gets_408(place: Place, office: Office, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            begin = place.seconds
            await peer.send(post(bytes(10))[:-10])
            for _ in range(5):
                await asyncio.sleep(11)
                await peer.send(b"0")
            status, fields, body = await peer.answer()
            assert (status, fields["connection"], json.loads(body)["code"]) == (408, "close", "http.request.late")
            assert place.seconds - begin == pytest.approx(60, abs=0.1)
            assert await peer.ended()

    place.run(main)
    assert office.requests == []


def test_who_takes_its_time_between_requests_may(place: Place, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            for _ in range(3):
                await asyncio.sleep(1000)
                assert (await peer.ask(get()))[0] == 200

    place.run(main)


@pytest.mark.requirement("REQ.Webservice.HttpServer.190")
def test_each_request_has_its_answer_within_20_seconds(place: Place, office: Office, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            assert (await peer.ask(get("/late")))[0] == 200
            begin = place.seconds
            status, _, body = await peer.ask(get("/hang"))
            assert (status, json.loads(body)["code"]) == (503, "http.answer.late")
            assert place.seconds - begin == pytest.approx(20, abs=0.1)
            assert (await peer.ask(get()))[0] == 200

    place.run(main)
    assert office.cancelled == 1


@pytest.mark.requirement("REQ.Webservice.HttpServer.80")
@pytest.mark.parametrize("way", ["close", "abort"])
def test_a_transaction_ends_with_its_connection(way: str, place: Place, office: Office, service: Service) -> None:
    async def main() -> None:
        for sent in (get("/hang"), post(b"{}", path="/hang"), post(b"{}", path="/half")[:-1], get("/half")[:-1]):
            async with place.peer(service) as peer:
                await peer.send(sent)
                await asyncio.sleep(0.1)
                (connection,) = peer.server.connections
                getattr(peer.stream.transport, way)()
                await connection.wait_closed()
                await asyncio.sleep(0)

    place.run(main)
    assert place.seconds < 1
    assert [request.path for request in office.requests] == ["/hang", "/hang"]
    assert office.cancelled == 2


def test_who_does_not_take_answers_is_cut_off(
    place: Place, office: Office, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            peer.stream.transport.pause_reading()
            await peer.send(*[get("/large")] * 50)
            (connection,) = peer.server.connections
            await connection.wait_closed()
            await asyncio.sleep(0.1)

    place.run(main)
    assert place.seconds < 130
    assert len(office.requests) < 30
    assert "a peer took nothing of an answer: peer=CN=client, seconds=60" in caplog.text


def test_who_takes_answers_slowly_gets_them(place: Place, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            transport = peer.stream.transport
            transport.pause_reading()
            await peer.send(*[get("/large")] * 20)
            for _ in range(10):
                await asyncio.sleep(59)
                transport.resume_reading()
                for _ in range(2):
                    assert len((await peer.answer())[2]) == 10**6
                transport.pause_reading()

    place.run(main)


# One after another


def test_requests_that_do_not_wait_for_answers_are_answered_in_order(
    place: Place, office: Office, service: Service
) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            await peer.send(b"".join(get(f"/{number}") for number in range(50)))
            for number in range(50):
                assert json.loads((await peer.answer())[2])["path"] == f"/{number}"

    place.run(main)


def test_of_a_flood_of_requests_only_the_first_is_read(place: Place, office: Office, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            await peer.send(get("/hang"))
            await asyncio.sleep(0.1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10):
                    for _ in range(1000):
                        await peer.send(get() * 1000)
            assert len(office.requests) == 1
            (connection,) = peer.server.connections
            connection.abort()
            await asyncio.sleep(0.1)

    tracemalloc.start()
    try:
        place.run(main)
        assert tracemalloc.get_traced_memory()[1] < 5 * 10**6
    finally:
        tracemalloc.stop()


# Answers


@pytest.mark.requirement("REQ.Webservice.HttpServer.70", "REQ.Webservice.HttpServer.160")
def test_answers_have_the_fields_that_are_needed_and_no_others(place: Place, service: Service) -> None:
    async def main() -> None:
        async with place.peer(service) as peer:
            for path in ("/x", "/large", "/broken", "/bug"):
                _, fields, body = await peer.ask(get(path))
                assert fields == {"content-length": str(len(body)), "content-type": "application/json"}
            assert await peer.ask(get("/empty")) == (204, {}, b"")

    place.run(main)


@pytest.mark.requirement("REQ.Webservice.HttpServer.90", "REQ.Webservice.HttpServer.91")
def test_errors_are_explained_and_logged_once(place: Place, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    there = {"code": "test.there", "message": "it is there already", "where": "", "hint": "take another"}
    broken = {"code": "test.broken", "message": "it is broken", "where": "here", "hint": "repair it"}

    async def main() -> None:
        async with place.peer(service) as peer:
            status, fields, body = await peer.ask(get("/there"))
            assert (status, fields["x"], json.loads(body)) == (409, "y", there)
            status, _, body = await peer.ask(get("/broken"))
            assert (status, json.loads(body)) == (500, broken)
            status, _, body = await peer.ask(get("/bug"))
            assert (status, json.loads(body)["code"]) == (500, "http.internal")
            assert b"secret" not in body
            assert ((await peer.ask(get("/x")))[0], (await peer.ask(get("/empty")))[0]) == (200, 204)

    place.run(main)
    logged = [record.getMessage() for record in caplog.records if record.name == "smpki.gateway"]
    assert logged == [
        "HTTP: GET '/there' of CN=client refused with 409: it is there already [test.there]",
        "HTTP: GET '/broken' of CN=client refused with 500: here: it is broken [test.broken]",
        "HTTP: GET '/bug' of CN=client failed",
    ]


@pytest.mark.requirement("REQ.Webservice.HttpServer.91")
def test_there_are_no_statuses_but_those_of_table_6_2() -> None:
    for status in range(100, 600):
        if status in STATUSES:
            assert Response(status).status == status
        else:
            with pytest.raises(ValueError, match=r"table 6\.2"):
                Response(status)


@pytest.mark.requirement("REQ.Webservice.HttpServer.70")
@pytest.mark.parametrize("wrong", [{"body": b"x"}, {"content_type": JSON}, {"status": 204, "body": b"x"}])
def test_a_body_without_its_type_is_no_answer(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="body"):
        Response(**{"status": 200, **wrong} if "status" not in wrong else {"content_type": JSON, **wrong})


# Anything at all

PIECES = (
    *(b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\n", b"PUT /x?q HTTP/1.0\r\n", b"Host: x\r\n", b"\r\n", b"\n", b"\r"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 99999999\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n"),
    *(b"Content-Encoding: gzip\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Upgrade: websocket\r\n"),
    *(
        b"Connection: upgrade\r\n",
        b"0\r\n\r\n",
        b"hello",
        b"\x1f\x8b\x08",
        b" ",
        b":",
        b"a" * 300,
        b"/bug",
        b"\xff\x00",
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=12), st.booleans())
def test_whatever_is_sent_is_answered_or_waited_for(
    place: Place, office: Office, caplog: pytest.LogCaptureFixture, pieces: list[bytes], whole: bool
) -> None:
    async def main() -> None:
        async with place.peer(Service(office), idle=100.0) as peer:
            answers = b""
            try:
                await peer.send(*([b"".join(pieces)] if whole else pieces))
                while octets := await peer.stream.read(65536):
                    answers += octets
            except httpcore.WriteError:
                pass
            statuses = {int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]}
            assert statuses <= STATUSES | {100}

    caplog.clear()
    caplog.set_level(logging.ERROR)
    place.run(main)
    assert caplog.records == []
