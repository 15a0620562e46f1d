"""Resources, actions and exports behind URIs, asked for over TLS."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from smpki.errors import GatewayError
from smpki.gateway.http_client_rules import Answer
from smpki.gateway.http_message import Response
from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.http_rules import Service
from smpki.gateway.media_type import JSON, XML, MediaType
from smpki.gateway.rest import Action, Api, Call, Export, Resource, Rest, missing
from smpki.gateway.signed_json import enclose, separate
from smpki.tls.http_server import http_protocol

Place = Any
LOG = {hour: f"entry {hour}" for hour in range(24)}


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Profile(Body):
    name: str
    period: int


class Report(Body):
    text: str


class Entries(Body):
    entries: list[str]


class Device:
    """What the resources are about."""

    def __init__(self) -> None:
        self.profiles = {"one": Profile(name="one", period=900), "1abc0012345678": Profile(name="m", period=1)}
        self.calls: list[Call] = []

    async def ids(self, call: Call) -> Iterable[str]:
        self.calls.append(call)
        return list(self.profiles)

    async def read(self, call: Call, id: str) -> Profile:
        if id not in self.profiles:
            raise missing(f"profile {id}")
        return self.profiles[id]

    async def update(self, call: Call, id: str, profile: Profile) -> None:
        await self.read(call, id)
        self.profiles[id] = profile

    async def delete(self, call: Call, id: str) -> None:
        await self.read(call, id)
        del self.profiles[id]

    async def create(self, call: Call, profile: Profile) -> Report:
        if profile.name in self.profiles:
            raise HttpRefusal(409, "profile.there", "there is such a profile")
        self.profiles[profile.name] = profile
        return Report(text="made")

    async def report(self, call: Call, report: Report) -> Report | Response | None:
        return {"later": Response(202), "nothing": None}.get(report.text, Report(text=report.text.upper()))

    async def test(self, call: Call, nothing: None) -> None:
        self.calls.append(call)

    async def logs(self, call: Call) -> Iterable[str]:
        return ["system", "a/b ü"]

    async def log(self, call: Call, id: str) -> Entries:
        if id not in await self.logs(call):
            raise missing(f"log {id}")
        moments = {hour: datetime(2026, 11, 22, hour, tzinfo=UTC) for hour in LOG}
        found = [entry for hour, entry in LOG.items() if call.query.covers(moments[hour])]
        return Entries(entries=found[: call.query.count])

    def api(self, role: str, **changes: Any) -> Api:
        profiles = Resource(
            content=Profile, ids=self.ids, read=self.read, update=self.update, delete=self.delete, create=self.create
        )
        fixed = Resource(content=Profile, ids=self.ids, read=self.read)
        parts: dict[str, Any] = {
            "resources": {"Profile": profiles, "Fixed": fixed},
            "actions": {"Report": Action(content=Report, do=self.report), "Test": Action(content=None, do=self.test)},
            "exports": {
                "Log": Export(ids=self.logs, read=self.log, parameters=frozenset({"q.fromtime", "q.totime", "q.count"}))
            },
        }
        return Api(role=role, **parts | changes)


class Asked:
    """A device, and answers of it."""

    def __init__(self, place: Place, *roles: str, **changes: Any) -> None:
        self.device = Device()
        self.rest = Rest(*(self.device.api(role, **changes) for role in roles))
        self.place = place

    def ask(self, *requests: Any, **more: Any) -> Answer:
        """The answer to the last of some requests over one connection."""

        async def main() -> Answer:
            async with self.place.caller(http_protocol(Service(self.rest))) as caller:
                for method, path, *content in requests:
                    body = json.dumps(content[0]).encode() if content else b""
                    answer = await caller.ask(method, path, body, JSON if content else None, **more)
            return answer

        return self.place.run(main)

    def status(self, *requests: Any, **more: Any) -> int:
        return self.ask(*requests, **more).status


@pytest.fixture
def asked(place: Place) -> Asked:
    return Asked(place, "gwa")


P = "/smgw/gwa/v1/rts/Profile/"


@pytest.mark.requirement("REQ.Webservice.HttpServer.20")
def test_whatever_there_is_is_found_by_its_uri(place: Place) -> None:
    asked = Asked(place, "srv", "con")
    found, ways = [], ["/smgw/"]
    while ways:
        way = ways.pop()
        found.append(way)
        if way.endswith("/"):
            ways += json.loads(asked.ask(("GET", way)).body)
        elif "/fas/" not in way:
            assert asked.status(("GET", way)) == 200
    base = ["rts/", "rts/Profile/", "rts/Profile/one", "rts/Profile/1abc0012345678"]
    base += ["rts/Fixed/", "rts/Fixed/one", "rts/Fixed/1abc0012345678", "fas/", "fas/Report", "fas/Test"]
    base += ["exp/", "exp/Log/", "exp/Log/system", "exp/Log/a%2Fb%20%C3%BC", ""]
    assert sorted(found) == sorted(["/smgw/", *(f"/smgw/{role}/v1/{each}" for role in ("srv", "con") for each in base)])


@pytest.mark.requirement("REQ.Webservice.HttpServer.110")
def test_get_exports_what_is_there(asked: Asked) -> None:
    answer = asked.ask(("GET", P + "one"))
    assert (answer.status, answer.content_type, answer.json(Profile)) == (200, JSON, asked.device.profiles["one"])
    assert asked.status(("GET", P + "two")) == 404


@pytest.mark.requirement("REQ.Webservice.HttpServer.120")
def test_put_replaces_what_is_there(asked: Asked) -> None:
    new = {"name": "one", "period": 60}
    assert asked.ask(("PUT", P + "one", new)) == Answer(204)
    assert asked.ask(("GET", P + "one")).json(Profile) == Profile(**new)
    assert asked.status(("PUT", P + "two", new)) == 404


@pytest.mark.requirement("REQ.Webservice.HttpServer.130")
def test_delete_removes_what_is_there(asked: Asked) -> None:
    assert asked.ask(("DELETE", P + "one")) == Answer(204)
    assert "one" not in asked.device.profiles
    assert asked.status(("GET", P + "one")) == asked.status(("DELETE", P + "one")) == 404


@pytest.mark.requirement("REQ.Webservice.HttpServer.140")
def test_post_to_a_list_creates(asked: Asked) -> None:
    new = {"name": "two", "period": 60}
    answer = asked.ask(("POST", P, new))
    assert (answer.status, answer.json(Report)) == (201, Report(text="made"))
    assert asked.ask(("GET", P + "two")).json(Profile) == Profile(**new)
    assert json.loads(asked.ask(("GET", P)).body) == [P + "one", P + "1abc0012345678", P + "two"]
    assert asked.status(("POST", P, new)) == 409


@pytest.mark.requirement("REQ.Webservice.HttpServer.150")
def test_post_to_an_entity_gives_it_data_to_handle(asked: Asked) -> None:
    action = "/smgw/gwa/v1/fas/Report"
    answer = asked.ask(("POST", action, {"text": "hello"}))
    assert (answer.status, answer.json(Report)) == (200, Report(text="HELLO"))
    assert asked.ask(("POST", action, {"text": "later"})) == Answer(202)
    assert asked.ask(("POST", action, {"text": "nothing"})) == Answer(204)
    assert asked.ask(("POST", "/smgw/gwa/v1/fas/Test")) == Answer(204)
    assert asked.status(("POST", "/smgw/gwa/v1/fas/Test", {})) == 400


def test_handlers_know_their_peer(asked: Asked, place: Place) -> None:
    asked.ask(("POST", "/smgw/gwa/v1/fas/Test"))
    assert asked.device.calls[0].peer == place.world.identity("client").certificates[0]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", P + "one", "GET, PUT, DELETE"),
        ("PUT", P, "GET, POST"),
        ("DELETE", P, "GET, POST"),
        ("HEAD", P + "one", "GET, PUT, DELETE"),
        ("PUT", "/smgw/gwa/v1/rts/Fixed/one", "GET"),
        ("POST", "/smgw/gwa/v1/rts/Fixed/", "GET"),
        ("GET", "/smgw/gwa/v1/fas/Report", "POST"),
        ("POST", "/smgw/gwa/v1/exp/Log/system", "GET"),
        ("get", "/smgw/", "GET"),
        ("PATCH", "/smgw/gwa/v1/", "GET"),
    ],
)
def test_other_methods_get_405_and_those_that_are_allowed(
    method: str, path: str, allowed: str, asked: Asked, place: Place
) -> None:
    async def main() -> None:
        async with place.peer(Service(asked.rest)) as peer:
            await peer.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            answer = (await peer.stream.read(65536)).split(b"\r\n")
            assert answer[0] == b"HTTP/1.1 405 Method Not Allowed"
            assert b"allow: " + allowed.encode() in answer

    place.run(main)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/smgw",
            "/SMGW/",
            "/smgw//",
            "/smgw/gwa",
            "/smgw/gwa/",
            "/smgw/gwa/v1",
            "/smgw/gwa/v2/",
            "/smgw/Gwa/v1/",
        ),
        *("/smgw/gwa/v1/rts", "/smgw/gwa/v1/RTS/", "/smgw/gwa/v1/xyz/", "/smgw/gwa/v1//", "/x/smgw/gwa/v1/rts/"),
        *("/smgw/gwa/v1/rts/Profile", "/smgw/gwa/v1/rts/profile/", "/smgw/gwa/v1/rts/Profile/One", f"{P}one/", f"{P}/"),
        *("/smgw/gwa/v1/fas/report", "/smgw/gwa/v1/fas/Report/", "/smgw/gwa/v1/exp/Log", "/smgw/gwa/v1/exp/Log/System"),
        *("/smgw/gwa/v1/rts/%2e%2e/", f"{P}1ABC0012345678", f"{P}%00"),
    ],
)
def test_case_matters_and_so_does_each_slash(path: str, asked: Asked) -> None:
    answer = asked.ask(("GET", path))
    assert (answer.status, json.loads(answer.body)["code"]) == (404, "http.missing")


def test_escapes_are_another_way_of_writing(asked: Asked) -> None:
    assert asked.status(("GET", "/smgw/gwa/v1/rts/%50rofile/o%6ee")) == 200
    assert asked.status(("GET", P + "%ff")) == 400


JSON_ROLES = ("con", "cls", "srv", "gwa")


@pytest.mark.requirement("REQ.Webservice.HttpServer.220", "REQ.Webservice.HttpServer.250")
@pytest.mark.parametrize("role", JSON_ROLES)
def test_without_an_accept_field_and_with_a_vague_one_answers_are_json(role: str, place: Place) -> None:
    asked = Asked(place, role)
    paths = ("/smgw/", f"/smgw/{role}/v1/rts/Profile/one", f"/smgw/{role}/v1/exp/Log/system", "/nowhere")
    for accept in (None, MediaType("*/*"), MediaType("application/*"), MediaType("application/json")):
        for path in paths:
            answer = asked.ask(("GET", path), accept=accept)
            assert answer.content_type == JSON
            json.loads(answer.body.decode())


@pytest.mark.requirement("REQ.Webservice.HttpServer.240")
def test_what_is_accepted_is_heeded_before_anything_is_done(asked: Asked) -> None:
    for request in (("GET", P + "one"), ("POST", P, {"name": "two", "period": 1}), ("GET", "/smgw/")):
        assert asked.status(request, accept=XML) == 406
    assert "two" not in asked.device.profiles


@pytest.mark.requirement("REQ.Webservice.HttpServer.230")
@pytest.mark.parametrize("content_type", ["application/xml", "text/plain", "application/cms+json", "", "json"])
@pytest.mark.parametrize("request_", [f"PUT {P}one", f"POST {P}", "POST /smgw/gwa/v1/fas/Report"])
def test_bodies_that_are_not_called_json_get_415(content_type: str, request_: str, asked: Asked, place: Place) -> None:
    async def main() -> None:
        async with place.peer(Service(asked.rest)) as peer:
            head = f"{request_} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            named = f"Content-Type: {content_type}\r\n" if content_type else ""
            assert (await peer.ask(f"{head}{named}\r\n{{}}".encode()))[0] == 415
            assert (await peer.ask(f"{head}Content-Type: application/json\r\n\r\n{{}}".encode()))[0] == 422

    place.run(main)


@pytest.mark.requirement("REQ.Webservice.HttpServer.62")
@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        (b"", "json.syntax", ""),
        (b'{"name": "one", "period": 60', "json.syntax", ""),
        (b'{"name": "one", "period": 60, "period": 61}', "json.syntax", ""),
        (b'{"name": "\xff", "period": 60}', "json.syntax", ""),
        (b"[" * 100_000, "json.syntax", ""),
        (b"[]", "json.content", ""),
        (b'{"name": "one"}', "json.content", "period"),
        (b'{"name": "one", "period": "secret"}', "json.content", "period"),
        (b'{"name": "\\ud800", "period": 60}', "json.content", ""),
        (b'{"name": "one", "period": 60, "more": 1}', "json.content", "more"),
    ],
)
def test_bodies_that_are_no_json_get_422(body: bytes, code: str, where: str, asked: Asked, place: Place) -> None:
    async def main() -> None:
        async with place.caller(http_protocol(Service(asked.rest))) as caller:
            answer = await caller.ask("PUT", P + "one", body, JSON)
            problem = json.loads(answer.body)
            assert (answer.status, problem["code"], problem["where"]) == (422, code, where)
            assert b"secret" not in answer.body

    place.run(main)
    assert asked.device.profiles["one"].period == 900


@pytest.mark.requirement("REQ.Webservice.HttpServer.210")
@pytest.mark.parametrize(
    ("query", "entries"),
    [
        ("", range(24)),
        ("?q.fromtime=2026-11-22T22:00:00Z", range(22, 24)),
        ("?q.totime=2026-11-22T02:00:00Z", range(2)),
        ("?q.fromtime=2026-11-22T05:00:00%2B01:00&q.count=2", range(4, 6)),
        ("?q.count=0", range(24)),
        ("?q.fromtime=2026-11-23", range(0)),
    ],
)
def test_exports_are_filtered(query: str, entries: range, asked: Asked) -> None:
    answer = asked.ask(("GET", f"/smgw/gwa/v1/exp/Log/system{query}"))
    assert answer.json(Entries).entries == [LOG[hour] for hour in entries]


@pytest.mark.requirement("REQ.HTTP.QueryParameter.10")
@pytest.mark.parametrize("query", ["", "&", "q.count", "q.count=1&", "q.count=%2", f"q.count={'1' * 256}", "=1"])
def test_a_query_that_is_none_gets_400(query: str, asked: Asked, place: Place) -> None:
    async def main() -> None:
        async with place.peer(Service(asked.rest)) as peer:
            status, _, body = await peer.ask(
                f"GET /smgw/gwa/v1/exp/Log/system?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            )
            assert (status, json.loads(body)["code"]) == (400, "http.query.syntax")

    place.run(main)


@pytest.mark.parametrize(
    "path",
    [
        "exp/Log/system?q.level=E",
        "exp/Log/system?q.signed=CMS_ECDSA_SHA256_Detached",
        "exp/Log/?q.count=1",
        "?q.count=1",
    ],
)
def test_parameters_that_would_do_nothing_are_refused(path: str, asked: Asked) -> None:
    answer = asked.ask(("GET", f"/smgw/gwa/v1/{path}"))
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "http.query.idle")


@pytest.mark.requirement("REQ.Webservice.HttpServer.210")
def test_an_export_is_signed_on_request(place: Place) -> None:
    asked = Asked(place, "con", sign=lambda content: b"signature of " + content)
    path = "/smgw/con/v1/exp/Log/system?q.count=1"
    plain = asked.ask(("GET", path)).body
    signed = asked.ask(("GET", f"{path}&q.signed=CMS_ECDSA_SHA256_Detached")).body
    assert separate("content", signed) == (plain, b"signature of " + plain)
    assert json.loads(signed)["content"] == json.loads(plain)


def test_a_role_is_only_for_those_who_have_it(place: Place) -> None:
    device = Device()
    closed = device.api("srv", admits=lambda request: False)
    asked = Asked(place)
    asked.rest = Rest(device.api("con"), closed)
    assert json.loads(asked.ask(("GET", "/smgw/")).body) == ["/smgw/con/v1/"]
    for path in ("/smgw/srv/v1/", "/smgw/srv/v1/rts/Profile/one", "/smgw/srv/v1/nowhere"):
        assert asked.status(("GET", path)) == 403


def test_what_was_signed_is_cut_out_as_it_stands() -> None:
    content = b'{"a": 1.0, "signature": "x", "b": [1e2, "\\u00e4 b"]}'
    whole = enclose("record", content, b"\x00\xff")
    assert whole == b'{"record":' + content + b',"signature":"AP8="}'
    laid_out = whole.replace(b",", b" ,\r\n\t").replace(b":", b" : ")
    apart = b'{"a":1.0,"signature":"x","b":[1e2,"\\u00e4 b"]}', b"\x00\xff"
    assert separate("record", laid_out) == apart
    assert separate("record", b'{"signature":"AP8=","record":' + content + b"}") == apart


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"{}",
            b"[]",
            b"7",
            b'"{}"',
            b'{"record":{}}',
            b'{"signature":7,"record":{}}',
            b'{"other":{},"signature":"AP8="}',
        ),
        *(
            b'{"record":{},"x":1,"signature":"AP8="}',
            b'{"record":{},"signature":"AP8"}',
            b'{"record":{},"signature":"=="}',
        ),
        *(b'{"record":{},"signature":"AP8=","x":1}', b'{"record":[{},"signature":"AP8="}]'),
    ],
)
def test_what_is_no_signed_document_is_refused(data: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        separate("record", data)
    assert caught.value.code in ("json.signed", "json.syntax")
