"""How clients ask, and what they make of answers: over TLS, mostly of servers that write them octet by octet."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from smpki.errors import GatewayError
from smpki.gateway.http_client_rules import Answer, Caller, Manners, NoAnswer, Outcome
from smpki.gateway.http_message import Request, Response
from smpki.gateway.http_rules import Service
from smpki.gateway.media_type import JSON, XML, cms
from smpki.tls.http_asker import asker
from smpki.tls.http_server import http_protocol
from smpki.tls.transport import serve

Place = Any
PROTECTED = cms("signedData", "authEnvelopedData")


class Note(BaseModel):
    text: str


class Script(asyncio.Protocol):
    """A server that sends some octets for each request; ``None`` for an end of the connection.

    :ivar received: what came
    """

    def __init__(self, *pieces: bytes | float | None) -> None:
        self.pieces = pieces
        self.received = b""

    def __call__(self) -> "Script":
        return self

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.running = asyncio.ensure_future(asyncio.sleep(0))

    def data_received(self, data: bytes) -> None:
        self.received += data
        if data.endswith((b"\r\n\r\n", b"}")):
            self.running = asyncio.ensure_future(self.play())

    def connection_lost(self, exc: Exception | None) -> None:
        self.running.cancel()

    async def play(self) -> None:
        for piece in self.pieces:
            match piece:
                case bytes():
                    self.transport.write(piece)
                case None:
                    self.transport.abort()
                case seconds:
                    await asyncio.sleep(seconds)


def answer(status: int = 200, fields: str = "", body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status} Reason\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


def asked(
    place: Place, server: Callable[[], Any], *request: Any, manners: Manners | None = None, **more: Any
) -> Answer:
    async def main() -> Answer:
        async with place.caller(server, manners) as caller:
            result: Answer = await caller.ask(*(request or ("GET", "/")), **more)
            return result

    found: Answer = place.run(main)
    return found


def failure(place: Place, *pieces: bytes | float | None, manners: Manners | None = None) -> NoAnswer:
    with pytest.raises(NoAnswer) as caught:
        asked(place, Script(*pieces), manners=manners)
    return caught.value


# Asking


@pytest.mark.requirement("REQ.Webservice.HttpClient.10", "REQ.Webservice.HttpClient.90")
def test_requests_have_the_fields_that_are_needed_and_no_others(place: Place) -> None:
    def sent(*request: Any, **more: Any) -> tuple[bytes, set[bytes]]:
        script = Script(answer(204))
        asked(place, script, *request, **more)
        first, *fields = script.received.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert len(fields) == len(set(fields))
        return first, {b"Host: " if field.startswith(b"Host: 127.0.0.1:") else field for field in fields}

    assert sent("GET", "/a%20b?q.count=1&q.fromtime=2026-11-22T12:00:00%2B01:00") == (
        b"GET /a%20b?q.count=1&q.fromtime=2026-11-22T12:00:00%2B01:00 HTTP/1.1",
        {b"Host: "},
    )
    assert sent("GET", "/", accept=XML) == (b"GET / HTTP/1.1", {b"Host: ", b"accept: application/xml"})
    assert sent("DELETE", "/x") == (b"DELETE /x HTTP/1.1", {b"Host: "})
    put = {b"Host: ", b"Content-Length: 2", b"content-type: application/json"}
    assert sent("PUT", "/x", b"{}", JSON) == (b"PUT /x HTTP/1.1", put)
    assert sent("POST", "/x") == (b"POST /x HTTP/1.1", {b"Host: ", b"Content-Length: 0"})


@pytest.mark.requirement("REQ.Webservice.HttpClient.60", "REQ.Webservice.HttpClient.70")
def test_a_message_is_posted_to_an_entity_with_its_type(place: Place) -> None:
    requests: list[Request] = []

    async def receiver(request: Request) -> Response:
        requests.append(request)
        return Response(202)

    async def main() -> None:
        async with place.caller(http_protocol(Service(receiver))) as caller:
            assert await caller.post("/deliveries", b"\x30\x00", PROTECTED) == Answer(202)
            for path in ("/deliveries/", "/"):
                with pytest.raises(GatewayError) as caught:
                    await caller.post(path, b"\x30\x00", PROTECTED)
                assert caught.value.code == "http.client.list"

    place.run(main)
    (only,) = requests
    assert (only.method, only.path, only.body) == ("POST", "/deliveries", b"\x30\x00")
    assert only.fields["content-type"] == 'application/cms+json; encapsulatingContent="signedData , authEnvelopedData"'
    assert "content-encoding" not in only.fields


@pytest.mark.requirement("REQ.Webservice.HttpClient.130")
@pytest.mark.parametrize("content_type", [JSON, XML])
def test_json_and_xml_are_posted_compressed(content_type: Any, place: Place) -> None:
    body = b'{"text": "' + b"hello" * 100 + b'"}'
    for manners, token in ((None, b"zlib"), (Manners(coding="gzip"), b"gzip")):
        script = Script(answer(204))
        script.data_received = lambda data, script=script: take(script, data)  # type: ignore[method-assign]
        asked(place, script, "POST", "/x", body, content_type, manners=manners)
        head, _, sent = script.received.partition(b"\r\n\r\n")
        assert b"\r\ncontent-encoding: " + token in head
        assert b"\r\nContent-Length: %d" % len(sent) in head
        assert sent[:2] == b"\x1f\x8b"  # RFC 1952
        assert (len(sent) < len(body), gzip.decompress(sent)) == (True, body)


def take(script: Script, data: bytes) -> None:
    """Answer as soon as a compressed body is whole."""
    script.received += data
    engine = zlib.decompressobj(31)
    engine.decompress(script.received.partition(b"\r\n\r\n")[2])
    if engine.eof:
        script.running = asyncio.ensure_future(script.play())


def test_what_is_posted_compressed_is_understood_by_our_own_servers(place: Place) -> None:
    async def echo(request: Request) -> Response:
        return Response.of_json(200, request.json(Note))

    body = b'{"text":"hello"}'
    for token in ("zlib", "gzip", "x-gzip", "deflate"):
        found = asked(place, http_protocol(Service(echo)), "POST", "/x", body, JSON, manners=Manners(coding=token))
        assert (found, found.json(Note)) == (Answer(200, body, JSON), Note(text="hello"))


# Answers


@pytest.mark.requirement("REQ.Webservice.HttpClient.10", "REQ.Webservice.HttpClient.120")
@pytest.mark.parametrize(
    "sent",
    [
        answer(200, "Content-Type: application/json\r\n", b'{"text": "\\u00fc"}'),
        answer(200, "CONTENT-TYPE:application/JSON; charset=utf-8\r\n", b'{\r\n"text"\t:"\xc3\xbc"}'),
        b"HTTP/1.1 200\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'1\r\n{\r\ne;x=y\r\n"text": "\xc3\xbc"}\n\r\n0\r\n\r\n',
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(200, "Content-Type: application/json\r\n", b'{"text": "\\u00FC"}'),
        answer(
            200, "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", gzip.compress(b'{"text": "\\u00fc"}')
        ),
    ],
)
def test_one_answer_is_written_in_many_ways(sent: bytes, place: Place) -> None:
    for script in (Script(sent), Script(*(sent[at : at + 1] for at in range(len(sent))))):
        found = asked(place, script)
        assert (found.status, found.json(Note)) == (200, Note(text="\u00fc"))


def line(length: int) -> str:
    """A field line of so many octets, its CR LF included."""
    return f"a: {'v' * (length - 5)}\r\n"


@pytest.mark.requirement("REQ.Webservice.HttpClient.100", "REQ.Webservice.HttpClient.110")
def test_long_headers_are_read(place: Place) -> None:
    begin = len("Content-Length: 0\r\n")
    for fields in (line(250), line(250) * 3 + line(1000 - begin - 750), line(5000) * 10):
        assert asked(place, Script(answer(204, fields))).status == 204


TABLE = {
    Outcome.DONE: (200, 201, 202, 203, 204, 206, 299),
    Outcome.REFUSED: (300, 304, 399, 400, 401, 403, 404, 405, 406, 409, 411, 413, 414, 415, 416, 418, 422, 431, 499),
    Outcome.TRY_AGAIN: (408, 429, 500, 501, 502, 503, 504, 505, 599),
}


@pytest.mark.requirement("REQ.Webservice.HttpClient.50")
@pytest.mark.parametrize("outcome", Outcome)
def test_a_status_says_what_to_do(outcome: Outcome, place: Place) -> None:
    async def main(status: int) -> None:
        async with place.caller(Script(answer(status))) as caller:
            found = await caller.ask("GET", "/")
            assert (found.status, found.outcome) == (status, outcome)
            assert (await caller.ask("GET", "/")).status == status  # an answer ends nothing

    for status in TABLE[outcome]:
        place.run(lambda status=status: main(status))


def test_a_redirection_is_not_followed(place: Place) -> None:
    script = Script(answer(302, "Location: /elsewhere\r\nSet-Cookie: a=b\r\n"))

    async def main() -> None:
        async with place.caller(script) as caller:
            for _ in range(2):
                assert (await caller.ask("GET", "/")).status == 302

    place.run(main)
    assert b"elsewhere" not in script.received
    assert b"ookie" not in script.received


@pytest.mark.parametrize(
    "found",
    [
        Answer(200),
        Answer(200, b'{"text":"x"}'),
        Answer(200, b'{"text":"x"}', XML),
        Answer(200, b'{"text":', JSON),
        Answer(200, b'{"text":1}', JSON),
        Answer(200, b'{"text":"x","text":"y"}', JSON),
    ],
)
def test_an_answer_that_is_something_else_is_none(found: Answer) -> None:
    with pytest.raises(NoAnswer) as caught:
        found.json(Note)
    assert caught.value.code == "http.client.answer"


# No answer


def test_a_server_that_does_not_answer(place: Place) -> None:
    assert failure(place).code == "http.client.late"
    assert place.seconds == pytest.approx(20, abs=0.1)


def test_the_time_is_for_the_whole_answer_and_begins_when_all_is_sent(place: Place) -> None:
    slow = [b"HTTP/1.1 200 OK\r\n", *[1.5, b"a: b\r\n"] * 100]
    assert failure(place, *slow).code == "http.client.late"
    assert place.seconds == pytest.approx(20, abs=0.1)
    slow = [answer(200, body=bytes(100))[:-100], *[1.5, b"\0"] * 100]
    assert failure(place, *slow).code == "http.client.late"
    assert place.seconds == pytest.approx(40, abs=0.2)


def test_a_server_that_takes_nothing(place: Place) -> None:
    class Deaf(Script):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    async def main() -> None:
        async with place.caller(Deaf()) as caller:
            with pytest.raises(NoAnswer) as caught:
                await caller.ask("POST", "/x", bytes(20_000_000), PROTECTED)
            assert caught.value.code == "http.client.late"

    place.run(main)
    assert place.seconds == pytest.approx(300, abs=15)


def test_a_server_that_is_not_there_or_not_the_right_one(place: Place) -> None:
    async def main() -> None:
        async with asker(place.world.client(), "127.0.0.1", 1) as nobody:
            with pytest.raises(NoAnswer) as caught:
                await Caller(nobody).ask("GET", "/")
            assert caught.value.code == "tls.transport.unreachable"
        async with (
            await serve(Script(), place.world.server(), "127.0.0.1", 0) as server,
            asker(place.world.client(trusts="another"), "127.0.0.1", server.port) as other,
        ):
            with pytest.raises(NoAnswer) as caught:
                await Caller(other).ask("GET", "/")
            assert caught.value.code.startswith("tls.")

    place.run(main)


@pytest.mark.requirement("REQ.Webservice.HttpClient.80")
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", answer(body=b"hello")[:-1]])
def test_a_transaction_ends_with_its_connection(sent: bytes, place: Place) -> None:
    assert failure(place, *([sent] if sent else []), 1.0, None).code == "tls.truncated"
    assert place.seconds < 2

    class Ending(Script):
        async def play(self) -> None:
            self.transport.write(sent)
            self.transport.close()

    with pytest.raises(NoAnswer) as caught:
        asked(place, Ending())
    assert caught.value.code == "http.client.broken"
    assert place.seconds < 2


UNREADABLE = {
    "not HTTP": (b"hello\r\n\r\n", "broken"),
    "two lengths": (answer(200, "Content-Length: 1\r\n"), "broken"),
    "a bad chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "broken"),
    "an unknown coding": (answer(200, "Content-Encoding: br\r\n", b"x"), "answer"),
    "not so coded": (answer(200, "Content-Encoding: gzip\r\n", b"x"), "answer"),
    "a bomb": (answer(200, "Content-Encoding: gzip\r\n", gzip.compress(bytes(2 << 20))), "answer"),
    "too much": (answer(200, body=bytes(2 << 20)), "answer"),
    "too much without end": (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(2 << 20), "answer"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_answers_that_can_not_be_read(name: str, place: Place) -> None:
    sent, rule = UNREADABLE[name]
    assert failure(place, sent).code == f"http.client.{rule}"


def test_ten_megabytes_of_header_are_not_kept(place: Place) -> None:
    tracemalloc.start()
    try:
        assert (
            failure(place, b"HTTP/1.1 200 OK\r\n", *[0.001, line(50_000).encode()] * 200).code == "http.client.broken"
        )
        assert tracemalloc.get_traced_memory()[1] < 3 * 10**6
    finally:
        tracemalloc.stop()


def test_after_a_failure_the_caller_connects_again(place: Place) -> None:
    class Fickle(Script):
        async def play(self) -> None:
            first, self.pieces = self.pieces[0], self.pieces[1:]
            self.transport.write(first)

    async def main() -> None:
        async with place.caller(Fickle(b"hello\r\n\r\n", answer(204))) as caller:
            with pytest.raises(NoAnswer):
                await caller.ask("GET", "/")
            assert (await caller.ask("GET", "/")).status == 204

    place.run(main)


PIECES = (
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 204\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 X\r\n\r\n"),
    *(b"\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"hello"),
    *(b"Content-Encoding: gzip\r\n", b"Content-Type: application/json\r\n", b"Content-Type: \xff\r\n", b"a" * 300),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=10))
def test_whatever_comes_back_is_an_answer_or_none(place: Place, pieces: list[bytes]) -> None:
    try:
        assert asked(place, Script(*pieces)).status in range(200, 600)
    except NoAnswer as error:
        assert error.code.startswith(("http.client.", "tls."))
