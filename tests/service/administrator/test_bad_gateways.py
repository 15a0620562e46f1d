"""Gateways that hang, answer late, answer nonsense or something endless: nothing else is held up by them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from smpki.gateway import api
from smpki.gateway.slots import Slot
from smpki.policy.device_id import DeviceId
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_server import dial_http
from smpki.tls.peers import exact_match
from smpki.tls.profile import WAN_CLIENT

Tell = Callable[..., None]
Answer = Callable[[str, Callable[[int, bytes], Awaitable[None]]], Awaitable[None]]


def status_of(gateway: DeviceId, **changes: Any) -> bytes:
    """What a gateway says about itself."""
    moment = "2026-11-22T12:00:00Z"
    time = {"now": moment, "trusted": True, "set_at": None, "maximum_error": None}
    values = {"gateway": gateway.dns, "software": "-", "started_at": moment, "time": time, "slots": {}}
    values |= {"wan_keys": "settled", "administrator": "-", "profiles": {}, "deliveries": {}, "logs": {}}
    return json.dumps(values | changes).encode()


@asynccontextmanager
async def calling(world: Any, desk: Any, gateway: Any, answer: Answer) -> AsyncIterator[list[str]]:
    """A peer with the gateway's identity that answers as it likes, and calls again when its connection has ended.

    Yields what it was asked for.
    """
    asked: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def reply(status: int, body: bytes, kind: bytes = b"application/json") -> None:
            headers = [(b"content-type", kind)] if body else []
            headers.append((b"content-length", str(len(body)).encode()))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        asked.append(scope["path"])
        await answer(scope["path"], reply)

    async def call_again() -> None:
        with gateway.module() as module:
            identity = module.tls_identity(Slot.WAN_TLS)
        check = exact_match([desk.own.certificates.tls], now=world.now)
        endpoint = Endpoint(WAN_CLIENT, identity, check, clock=world.now)
        host, port = desk.ports["management"].split(":")
        while True:
            transport = await dial_http(application, endpoint, host, int(port))
            try:
                await transport.wait_closed()
            finally:
                transport.abort()
            await asyncio.sleep(0.05)

    caller = asyncio.create_task(call_again())
    try:
        yield asked
    finally:
        caller.cancel()
        await asyncio.wait({caller})


async def hang(reply: Any, body: bytes) -> None:
    await asyncio.Event().wait()


async def late(reply: Any, body: bytes) -> None:
    await asyncio.sleep(1.3)
    await reply(200, body)


async def no_json(reply: Any, body: bytes) -> None:
    await reply(200, b"<xml/>", b"application/xml")


async def broken_json(reply: Any, body: bytes) -> None:
    await reply(200, body[:-1])


async def other_json(reply: Any, body: bytes) -> None:
    await reply(200, b'{"colour": "blue"}')


async def endless(reply: Any, body: bytes) -> None:
    await reply(200, b" " * (1 << 20) + body)


async def nothing(reply: Any, body: bytes) -> None:
    raise ConnectionError("the peer ends it")


async def busy(reply: Any, body: bytes) -> None:
    await reply(503, b"")


FAULTS = {
    hang: "http.client.late",
    late: "http.client.late",
    no_json: "http.client.answer",
    broken_json: "http.client.answer",
    other_json: "http.client.answer",
    endless: "http.client.answer",
    busy: "gwa.gateway.later",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_middle_of_a_job_is_got_over(fault: Any, tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False, times={"answer_seconds": 1, "retry_seconds": 1}) as (desk, gateway):
            faults = [fault, fault]

            async def answer(path: str, reply: Any) -> None:
                if path == api.SELF_TEST:
                    body = b'{"passed": true, "checks": []}'
                    await (faults.pop()(reply, body) if faults else reply(200, body))
                else:
                    await reply(200, status_of(gateway.id))

            async with calling(world, desk, gateway, answer):
                job = await desk.done(desk.order(gateway, "self-test"))
            assert (job.state, faults, job.error) == ("done", [], None), job.error
            assert desk.events(gateway).count(FAULTS[fault]) == 1

    tell(story)


@pytest.mark.parametrize("fault", [hang, other_json, endless])
def test_a_gateway_that_does_not_say_its_status_holds_up_no_other(fault: Any, tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False, times={"answer_seconds": 1}) as (desk, gateway):

            async def answer(path: str, reply: Any) -> None:
                await fault(reply, b"")

            async with calling(world, desk, gateway, answer) as asked:
                job = desk.order(gateway, "wake")
                other = world.gateway(desk)
                desk.adopt(other.record)
                async with other.running():
                    await desk.do(other, "status")
                await world.until(lambda: len(asked) > 1)
                assert desk.job(job).state == "open"
            assert desk.events(gateway).count(FAULTS[fault]) == 1  # however often it comes

    tell(story)


def test_a_gateway_that_says_it_is_another_one(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            other = DeviceId.parse("EABC9900000001")

            async def answer(path: str, reply: Any) -> None:
                await reply(200, status_of(other))

            async with calling(world, desk, gateway, answer):
                await world.until(lambda: "gwa.gateway.other" in desk.events(gateway))
            assert desk.gateway(gateway).seen_at is None

    tell(story)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_what_a_gateway_refuses_is_not_asked_again(status: int, tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            evil = "\x1b[2Jno\u202e"
            problem = {"code": "test.refused", "message": evil, "where": "", "hint": "x" * 10_000}

            async def answer(path: str, reply: Any) -> None:
                if path == api.STATUS:
                    await reply(200, status_of(gateway.id))
                else:
                    await reply(status, json.dumps(problem).encode())

            async with calling(world, desk, gateway, answer) as asked:
                job = await desk.done(desk.order(gateway, "self-test"))
            assert asked.count(api.SELF_TEST) == 1
            assert (job.state, job.error["code"]) == ("failed", "gwa.gateway.refused")
            assert f"({status})" in job.error["message"]
            assert "[test.refused]" in job.error["message"]
            assert all(len(part) < 1000 and part.isprintable() for part in job.error.values())

    tell(story)


def test_a_new_connection_takes_the_place_of_one_that_may_be_dead(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):

            async def answer(path: str, reply: Any) -> None:
                await reply(200, status_of(gateway.id) if path == api.STATUS else b'{"passed": true, "checks": []}')

            async def dead(path: str, reply: Any) -> None:
                if path == api.STATUS:
                    await reply(200, status_of(gateway.id))
                else:
                    await asyncio.Event().wait()

            async with calling(world, desk, gateway, dead) as first:
                await world.until(lambda: first)
                async with calling(world, desk, gateway, answer) as second:
                    await world.until(lambda: second)
                    job = await desk.done(desk.order(gateway, "self-test"))
                    assert job.state == "done"

    tell(story)
