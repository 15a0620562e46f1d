"""MANAGEMENT: when the gateway calls, whom it takes for its administrator, and what peers can do to it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from smpki.gateway import api
from smpki.gateway.readings import Obis
from smpki.policy.device_id import DeviceId

Tell = Callable[..., None]
METER = DeviceId.parse("1ABC0012345678")
A_PLUS = Obis.parse("1-0:1.8.0")
DAY = 86_400


async def over(talk: Any) -> None:
    talk.end()
    await talk.closed()


def test_it_calls_at_start_on_schedule_and_when_woken(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            await over(await world.administrator.call())
            await world.time.advance(3)
            world.wake()
            await over(await world.administrator.call())
            await world.until(lambda: world.events().count("wakeup.accepted") == 1)
            await world.time.advance(DAY - 60)
            assert world.administrator.calls.empty()
            await world.time.advance(120)
            await over(await world.administrator.call())

    tell(story, meters=[])


def test_a_wake_up_counts_once_and_only_from_the_administrator(tell: Tell, make_triple: Any) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            await over(await world.administrator.call())
            await world.time.advance(3)
            message = world.wake()
            await over(await world.administrator.call())
            world.send(message)
            world.send(b"WU")
            await world.until(lambda: "wakeup.length" in world.events())
            await world.time.advance(1)
            world.wake(signer=make_triple("Fremder.GWA"))
            world.wake(seconds=-3600)
            refused = {"wakeup.replay", "wakeup.length", "wakeup.signature", "wakeup.late"}
            await world.until(lambda: refused <= {*world.events()})
            assert world.administrator.calls.empty()

    tell(story)


def test_a_wake_up_after_the_connection_was_made_opens_another(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            first = await world.administrator.call()
            await first.status()
            world.wake(seconds=-10)  # sent before the connection was there
            await world.time.advance(30)
            world.wake()
            second = await world.administrator.call()
            assert (await second.status()).gateway == (await first.status()).gateway
            assert world.administrator.calls.empty()
            await over(first)
            await over(second)

    tell(story)


def test_a_server_with_another_certificate_is_nobody(tell: Tell, make_triple: Any) -> None:
    async def story(world: Any) -> None:
        known, world.administrator.triple = world.administrator.triple, make_triple("Verwalter.GWA")
        await world.administrator.close()
        await world.administrator.open()
        async with world.running():
            await world.until(lambda: world.events().count("tls.peer.unknown") == 2)  # MANAGEMENT and time
            await world.time.advance(600)
            assert world.administrator.calls.empty()
            assert world.events().count("tls.peer.unknown") == 2  # told once each, though tried again

            await world.administrator.close()
            world.administrator.triple = known
            await world.administrator.open()
            await world.until(lambda: not world.administrator.calls.empty(), passing=True)
            talk = await world.administrator.call()
            assert (await talk.status()).time.trusted
            await over(talk)
            await world.until(lambda: "management.reached" in world.administrator.events())

    tell(story)


def test_an_expired_administrator_is_not_asked_for_work_but_for_the_time(tell: Tell, make_triple: Any) -> None:
    async def story(world: Any) -> None:
        world.administrator.triple = make_triple("Verwalter.GWA", not_after=datetime(2026, 11, 1, tzinfo=UTC))
        world.write_administrator()
        await world.administrator.close()
        await world.administrator.open()
        async with world.running():
            await world.until(lambda: "tls.peer.expired" in world.events())
            assert "time.set" in world.events()
            assert world.administrator.calls.empty()

    tell(story)


def test_a_dead_administrator_is_tried_again_with_longer_pauses(tell: Tell) -> None:
    async def story(world: Any) -> None:
        await world.administrator.close("management")
        tried = 0

        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal tried
            tried += 1
            writer.close()

        port = int(world.administrator.address("management").rpartition(":")[2])
        async with await asyncio.start_server(count, "127.0.0.1", port), world.running():
            for expected, seconds in ((1, 0), (2, 6), (3, 11), (4, 21), (5, 41)):
                await world.time.advance(seconds)
                await world.until(lambda expected=expected: tried == expected)
                await asyncio.sleep(0.05)
            assert world.events().count("tls.transport.lost") == 1

    tell(story)


def test_a_server_that_takes_the_connection_and_says_nothing_is_given_up(tell: Tell) -> None:
    async def story(world: Any) -> None:
        await world.administrator.close("management")

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        port = int(world.administrator.address("management").rpartition(":")[2])
        async with await asyncio.start_server(hang, "127.0.0.1", port), world.running():
            await world.until(lambda: "tls.handshake.timeout" in world.events())

    tell(story)


def test_an_administrator_who_asks_nothing_is_left_after_a_while(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            await asyncio.wait_for(talk.transport.wait_closed(), 5)
            talk.end()
        assert [event for event in world.events() if event.startswith(("tls.", "http."))] == []

    tell(story, times={"management_idle_seconds": 1, "retry_seconds": 5})


@pytest.mark.requirement("REQ.Webservice.HttpServer.80")
def test_a_connection_that_breaks_amid_a_request_changes_nothing(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            body = api.ReportNow().to_json()
            head = b"POST /smgw/gwa/v1/fas/ReportNow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            talk.transport.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
            await asyncio.sleep(0.05)
            talk.transport.abort()
            talk.end()
            await world.time.advance(1)
            world.wake(seconds=1)
            talk = await world.administrator.call()
            assert (await talk.status()).deliveries == {}
            await over(talk)

    tell(story)


def test_requests_that_wait_for_no_answer_are_done_in_their_order(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            supplier, meter = world.participant.profile(), api.MeterProfile(meter=METER, obis=(A_PLUS,))
            load = api.EvaluationProfile(
                name="load", meter=METER, obis=(A_PLUS,), recipients=("supplier",), start=world.now()
            )
            together = b""
            for folder, id, body in (
                (api.COMMUNICATION_PROFILES, "supplier", supplier),
                (api.METER_PROFILES, METER.dns, meter),
                (api.EVALUATION_PROFILES, "load", load),  # which needs both
            ):
                together += request("PUT", f"{folder}{id}", body.to_json())
            talk.transport.write(together)
            await world.until(lambda: world.events().count("profile.set") == 3)
            await over(talk)

    tell(story)


def request(method: str, path: str, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    "octets",
    [
        b"GET /smgw/ HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 10_000_000,
        b"GET /" + b"x" * 10_000_000,
        request("PUT", f"{api.METER_PROFILES}x", b"", length=1 << 40),
        b"\x16\x03\x01 what is this?\r\n\r\n",
    ],
    ids=["10 MB of header", "10 MB of address", "an endless body", "no HTTP"],
)
def test_what_is_no_request_ends_the_connection_and_nothing_else(octets: bytes, tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            await world.set_up(talk)
            before = (await talk.status()).profiles
            talk.transport.write(octets)
            await talk.closed()
            await world.time.advance(1)
            world.wake(seconds=1)
            talk = await world.administrator.call()
            assert (await talk.status()).profiles == before
            await over(talk)

    tell(story)


def test_the_administrators_own_time_server_may_be_away(tell: Tell) -> None:
    async def story(world: Any) -> None:
        await world.administrator.close("time")
        async with world.running():
            talk = await world.administrator.call()
            status = await talk.status()
            assert (status.time.trusted, status.time.set_at) == (False, None)
            await world.set_up(talk)
            await over(talk)
            world.wake()
            await world.until(lambda: "wakeup.own_time" in world.events())
            await world.time.advance(600)
            assert world.participant.messages == []
            await world.administrator.open("time")
            await world.until(lambda: "time.set" in world.events(), passing=True)

    tell(story)
