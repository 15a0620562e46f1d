"""What is taken, once, and what is said to those who bring it."""

import asyncio
import errno
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpki.errors import StoreError
from smpki.gateway.api import Delivery
from smpki.gateway.content_coding import compress
from smpki.gateway.content_suite import CBC_CMAC, GCM
from smpki.gateway.media_type import cms as cms_type
from smpki.gateway.readings import HIGHEST, LOWEST, Obis, Reading
from smpki.policy.device_id import DeviceId
from smpki.service.market_participant.content import lines_of, read_delivery
from smpki.service.market_participant.store.deliveries import Deliveries

World = Any
Codes = Callable[..., list[tuple[int, str]]]
CMS = str(cms_type("signedData", "authEnvelopedData"))


def test_deliveries_become_lines(world: World, codes: Codes) -> None:
    gateway = world.gateway()
    deliveries = [world.delivery(gateway) for _ in range(4)]
    protections = ({"suite": GCM}, {"suite": CBC_CMAC}, {"compress": True}, {"suite": CBC_CMAC, "compress": True})

    async def main() -> list[httpx.Response]:
        async with world.serving() as server, world.client(server, gateway) as client:
            return [
                await world.deliver(client, gateway, delivery, **protection)
                for delivery, protection in zip(deliveries, protections, strict=True)
            ]

    answers = world.run(main())
    assert codes(answers) == [(204, "")] * 4
    assert world.lines() == world.taken(*deliveries)
    assert all("content-type" not in answer.headers for answer in answers)


def test_a_delivery_may_be_compressed_on_the_wire(world: World) -> None:
    gateway = world.gateway()
    delivery = world.delivery(gateway)

    async def main() -> httpx.Response:
        body = compress(world.protect(delivery.to_json(), gateway))
        async with world.serving() as server, world.client(server, gateway) as client:
            return await client.post(
                "/readings", content=body, headers={"content-type": CMS, "content-encoding": "zlib"}
            )

    assert world.run(main()).status_code == 204
    assert world.lines() == world.taken(delivery)


def test_a_delivery_is_taken_once(world: World, codes: Codes) -> None:
    gateway = world.gateway()
    delivery, other = world.delivery(gateway), world.delivery(gateway)

    async def main() -> list[httpx.Response]:
        answers = []
        for _ in range(2):  # the server starts anew in between
            async with world.serving() as server, world.client(server, gateway) as client:
                answers += [await world.deliver(client, gateway, delivery) for _ in range(2)]
        async with world.serving() as server, world.client(server, gateway) as client:
            answers.append(await world.deliver(client, gateway, other))
        return answers

    answers = world.run(main())
    assert codes(answers) == [(204, ""), *[(409, "delivery.known")] * 3, (204, "")]
    assert world.lines() == world.taken(delivery, other)


def test_a_message_that_is_replayed_is_known(world: World, codes: Codes) -> None:
    gateway = world.gateway()
    body = world.protect(world.delivery(gateway).to_json(), gateway)

    async def main() -> list[httpx.Response]:
        answers = []
        for _ in range(2):
            async with world.serving() as server, world.client(server, gateway) as client:
                answers.append(await client.post("/readings", content=body, headers={"content-type": CMS}))
        return answers

    assert codes(world.run(main())) == [(204, ""), (409, "delivery.known")]


def test_of_the_same_delivery_over_many_connections_at_once_one_is_taken(world: World, codes: Codes) -> None:
    gateway, other = world.gateway(), world.gateway("EABC0012345679")
    delivery = world.delivery(gateway)
    same_name = replace_id(world.delivery(other), delivery.delivery_id)

    async def main() -> list[httpx.Response]:
        async def bring(whose: Any, what: Any) -> httpx.Response:
            async with world.client(server, whose) as client:
                return await world.deliver(client, whose, what)

        async with world.serving() as server:
            return await asyncio.gather(*(bring(gateway, delivery) for _ in range(6)), bring(other, same_name))

    *answers, last = codes(world.run(main()))
    assert sorted(answers) == [(204, ""), *[(409, "delivery.known")] * 5]
    assert last == (204, "")  # another gateway's delivery is another one
    assert sorted(map(str, world.lines())) == sorted(map(str, world.taken(delivery, same_name)))


def replace_id(delivery: Any, delivery_id: str) -> Any:
    return delivery.model_copy(update={"delivery_id": delivery_id})


def test_another_content_under_a_known_id_is_refused_loudly(world: World, codes: Codes, said: Any) -> None:
    gateway = world.gateway()
    delivery = world.delivery(gateway)
    changed = delivery.model_copy(update={"readings": world.readings(2)})

    async def main() -> list[httpx.Response]:
        async with world.serving() as server, world.client(server, gateway) as client:
            return [await world.deliver(client, gateway, one) for one in (delivery, changed, delivery)]

    answers = world.run(main())
    assert codes(answers) == [(204, ""), (422, "delivery.changed"), (409, "delivery.known")]
    assert world.lines() == world.taken(delivery)
    assert [delivery.delivery_id in line for line in said()] == [True, True]


REQUESTS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "another path": (404, "http.path", {"url": "/other"}),
    "the path of a list": (404, "http.path", {"url": "/readings/"}),
    "another method": (405, "http.method", {"method": "PUT"}),
    "a question": (405, "http.method", {"method": "GET", "content": b""}),
    "only XML as answer": (406, "http.accept", {"headers": {"accept": "application/xml"}}),
    "no length": (411, "http.body.length", {"content": None}),
    "too much": (413, "http.body.size", {"content": bytes(20_001)}),
    "too much when unpacked": (
        *(413, "http.body.inflated"),
        {"content": compress(bytes(20_001)), "headers": {"content-encoding": "gzip"}},
    ),
    "JSON": (415, "http.content_type.unsupported", {"headers": {"content-type": "application/json"}}),
    "only signed": (
        *(415, "http.content_type.unsupported"),
        {"headers": {"content-type": str(cms_type("signedData"))}},
    ),
    "no type": (415, "http.content_type.syntax", {"headers": {"content-type": ""}}),
    "an unknown coding": (415, "http.content_encoding.unknown", {"headers": {"content-encoding": "br"}}),
    "nested otherwise": (
        *(422, "delivery.layers"),
        {"headers": {"content-type": str(cms_type("signedData", "authEnvelopedData", "compressedData"))}},
    ),
    "no CMS": (422, "cms.encoding.truncated", {"content": b"\x30\x80"}),
    "a long field": (431, "http.header.line", {"headers": {"x-long": "x" * 250}}),
    "many fields": (431, "http.header", {"headers": {f"x-{number}": "x" * 200 for number in range(45)}}),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_that_is_refused(case: str, world: World, said: Any) -> None:
    status, code, change = REQUESTS[case]
    gateway = world.gateway()
    body = world.protect(world.delivery(gateway).to_json(), gateway)

    async def main() -> tuple[httpx.Response, httpx.Response]:
        async def pieces() -> Any:
            yield body

        async with world.serving(limits={"body_octets": 20_000}) as server, world.client(server, gateway) as client:
            asked = {"method": "POST", "url": "/readings", "content": body} | change
            asked["headers"] = {"content-type": CMS} | change.get("headers", {})
            asked["content"] = asked["content"] if asked["content"] is not None else pieces()
            refused = await client.request(**asked)
            taken = await client.post("/readings", content=body, headers={"content-type": CMS})
            return refused, taken

    refused, taken = world.run(main())
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.headers["content-type"] == "application/json"
    assert len(said()) == 1
    assert taken.status_code == 204  # it would have been taken but for that, and the connection goes on


def test_what_is_no_http_is_a_bad_request(world: World) -> None:
    gateway = world.gateway()

    async def main() -> bytes:
        async with world.serving() as server, world.raw(server, gateway) as (reader, writer):
            writer.write(b"POST /readings HTTP/1.1\r\nHost : x\r\n\r\n")
            answer: bytes = await reader.read()
            return answer

    assert world.run(main()).startswith(b"HTTP/1.1 400 ")


CONTENTS: dict[str, tuple[int, str, Callable[[dict[str, Any]], Any]]] = {
    "no JSON": (422, "json.syntax", lambda delivery: b"{"),
    "no object": (422, "json.content", lambda delivery: []),
    "a name twice": (422, "json.syntax", lambda delivery: b'{"delivery_id": "1", "delivery_id": "2"}'),
    "no readings": (422, "json.content", lambda delivery: delivery | {"readings": []}),
    "a member too many": (422, "json.content", lambda delivery: delivery | {"more": 1}),
    "no id": (422, "json.content", lambda delivery: delivery | {"delivery_id": ""}),
    "a long id": (422, "json.content", lambda delivery: delivery | {"delivery_id": "x" * 65}),
    "a value out of range": (422, "json.content", lambda delivery: with_reading(delivery, value=2**64)),
    "a float": (422, "json.content", lambda delivery: with_reading(delivery, value=1.5)),
    "no register": (422, "json.content", lambda delivery: with_reading(delivery, obis="1-0:1.8.0*256")),
    "no moment": (422, "json.content", lambda delivery: with_reading(delivery, captured_at="2027-02-30T00:00:00Z")),
    "deeply nested": (422, "json.syntax", lambda delivery: b"[" * 100_000),
    "a huge number": (422, "json.syntax", lambda delivery: b'{"value": ' + b"9" * 5_000 + b"}"),
    "of another gateway": (403, "delivery.gateway", lambda delivery: delivery | {"gateway": "eabc0012345679"}),
    "for somebody else": (422, "delivery.recipient", lambda delivery: delivery | {"recipient": "Andere"}),
}


def with_reading(delivery: dict[str, Any], **changes: Any) -> dict[str, Any]:
    first, *others = delivery["readings"]
    return delivery | {"readings": [first | changes, *others]}


@pytest.mark.parametrize("case", CONTENTS)
def test_a_content_that_is_refused(case: str, world: World, codes: Codes, said: Any) -> None:
    status, code, change = CONTENTS[case]
    gateway = world.gateway()
    delivery = world.delivery(gateway)
    made = change(json.loads(delivery.to_json()))
    content = made if isinstance(made, bytes) else json.dumps(made).encode()

    async def main() -> list[httpx.Response]:
        async with world.serving() as server, world.client(server, gateway) as client:
            return [await world.deliver(client, gateway, one) for one in (content, delivery)]

    answers = world.run(main())
    assert codes(answers) == [(status, code), (204, "")]
    (line,) = said()
    for secret in ("1000", "1.5", "18446744073709551616", "1emh0012345678", "1-0:1.8.0"):
        assert secret not in line + answers[0].text
    assert world.lines() == world.taken(delivery)


def test_a_content_that_unpacks_to_too_much_is_not_opened(world: World, codes: Codes) -> None:
    gateway = world.gateway()
    delivery = world.delivery(gateway)
    bomb = b" " * 200_000 + delivery.to_json()

    async def main() -> list[httpx.Response]:
        async with (
            world.serving(limits={"content_octets": 100_000, "body_octets": 10_000}) as server,
            world.client(server, gateway) as client,
        ):
            return [await world.deliver(client, gateway, one, compress=True) for one in (bomb, delivery)]

    assert codes(world.run(main())) == [(422, "cms.unopened"), (204, "")]


def test_control_characters_don_t_reach_the_log(world: World, said: Any) -> None:
    gateway = world.gateway()
    content = json.loads(world.delivery(gateway).to_json()) | {"more\nWARNING all is lost": 1}

    async def main() -> httpx.Response:
        async with world.serving() as server, world.client(server, gateway) as client:
            return await world.deliver(client, gateway, json.dumps(content).encode())

    assert world.run(main()).status_code == 422
    (line,) = said()
    assert "all is lost" in line
    assert line.isprintable()


def test_nothing_is_acknowledged_while_the_disk_is_full(
    world: World, codes: Codes, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = world.gateway()
    deliveries = [world.delivery(gateway) for _ in range(3)]

    async def main() -> list[httpx.Response]:
        async with world.serving() as server, world.client(server, gateway) as client:
            answers = [await world.deliver(client, gateway, deliveries[0])]
            with monkeypatch.context() as full:
                full.setattr("os.pwrite", half_a_write())
                answers += [await world.deliver(client, gateway, deliveries[1])]
            assert world.lines() == world.taken(deliveries[0])
            answers += [await world.deliver(client, gateway, one) for one in deliveries]
            return answers

    answers = world.run(main())
    assert codes(answers) == [(204, ""), (503, "emt.output.full"), (409, "delivery.known"), (204, ""), (204, "")]
    assert str(world.folder) not in answers[1].text
    assert any("No space left" in line for line in said())
    assert world.lines() == world.taken(*deliveries)


def half_a_write() -> Callable[..., int]:
    """The disk takes ten octets more."""
    write, left = os.pwrite, [10]

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[: left.pop()], offset)

    return pwrite


def test_nothing_is_acknowledged_while_the_database_is_full(
    world: World, codes: Codes, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = world.gateway()
    deliveries = [world.delivery(gateway) for _ in range(2)]

    def refuse(*_: Any) -> None:
        raise StoreError("store.full", "the disk of the database is full")

    async def main() -> list[httpx.Response]:
        async with world.serving() as server, world.client(server, gateway) as client:
            with monkeypatch.context() as full:
                full.setattr(Deliveries, "add", refuse)
                answers = [await world.deliver(client, gateway, one) for one in deliveries]
            return answers + [await world.deliver(client, gateway, one) for one in reversed(deliveries)]

    answers = world.run(main())
    assert codes(answers) == [(503, "store.full"), (503, "store.full"), (204, ""), (204, "")]
    assert world.lines() == world.taken(*reversed(deliveries))


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=64)
READINGS = st.builds(
    Reading,
    meter=st.builds(DeviceId, st.integers(0, 15), st.just("EMH"), st.integers(0, 254), st.integers(0, 99_999_999)),
    obis=st.builds(Obis, st.binary(min_size=6, max_size=6)),
    captured_at=st.datetimes(timezones=st.just(UTC)),
    value=st.integers(LOWEST, HIGHEST),
    scaler=st.integers(-128, 127),
    unit=st.integers(0, 255),
    status=st.integers(0, 2**64 - 1),
)


@given(name=NAMES, readings=st.lists(READINGS, min_size=1, max_size=5))
def test_lines_hold_just_what_was_delivered(name: str, readings: list[Reading]) -> None:
    gateway = DeviceId.parse("EABC0012345678")
    delivery = Delivery(
        delivery_id=name,
        gateway=gateway,
        recipient="Firma",
        created_at=datetime(2027, 1, 1, tzinfo=UTC),
        readings=tuple(readings),
    )
    lines = lines_of(read_delivery(delivery.to_json())).split(b"\n")
    source = {"gateway": gateway.dns, "delivery_id": name}
    assert [json.loads(line) for line in lines[:-1]] == [source | one.as_json() for one in readings]
    assert lines[-1] == b""
