"""Peers that hang, hurry, flood or go: each gets what is due, and nobody else suffers."""

import asyncio
from contextlib import AsyncExitStack
from time import sleep
from typing import Any

import httpx
import pytest

from smpki.errors import TlsError
from smpki.gateway.media_type import cms as cms_type
from smpki.service.market_participant.ledger import Ledger

World = Any


def post(body: bytes, *, length: int | None = None) -> bytes:
    kind = str(cms_type("signedData", "authEnvelopedData"))
    size = len(body) if length is None else length
    return (
        f"POST /readings HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode() + body
    )


def message(world: World, gateway: Any, **options: Any) -> bytes:
    made: bytes = world.protect(world.delivery(gateway, **options).to_json(), gateway)
    return made


async def statuses(reader: asyncio.StreamReader, number: int) -> list[int]:
    found = []
    for _ in range(number):
        head = await reader.readuntil(b"\r\n\r\n")
        found.append(int(head.split()[1]))
        length = next((int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length:")), 0)
        await reader.readexactly(length)
    return found


def test_requests_one_behind_the_other_are_answered_in_their_order(world: World) -> None:
    gateway = world.gateway()
    first, second = (message(world, gateway) for _ in range(2))

    async def main() -> None:
        async with world.serving() as server, world.raw(server, gateway) as (reader, writer):
            writer.write(post(first) + post(b"nothing") + post(second) + post(first))
            assert await statuses(reader, 4) == [204, 422, 204, 409]

    world.run(main())


@pytest.mark.parametrize("part", ["nothing", "half a head", "half a body"])
def test_who_hangs_is_cut_off_and_others_are_served(part: str, world: World) -> None:
    gateway = world.gateway()
    body = message(world, gateway)
    request = post(body)
    sent = {"nothing": b"", "half a head": request[:40], "half a body": request[:-10]}[part]

    async def main() -> None:
        times = {"request_seconds": 1, "idle_seconds": 1}
        async with world.serving(times=times) as server, world.raw(server, gateway) as (reader, writer):
            writer.write(sent)
            async with world.client(server, gateway) as client:
                assert (await world.deliver(client, gateway)).status_code == 204
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 408 ") if sent else answer == b""

    world.run(main())
    assert len(world.lines()) == 3


def test_who_closes_in_the_middle_has_delivered_nothing(world: World, said: Any) -> None:
    gateway = world.gateway()
    delivery = world.delivery(gateway)
    request = post(world.protect(delivery.to_json(), gateway))

    async def main() -> None:
        async with world.serving() as server:
            async with world.raw(server, gateway) as (_, writer):
                writer.write(request[:-1])
                await asyncio.sleep(0.1)
            async with world.client(server, gateway) as client:
                assert (await world.deliver(client, gateway, delivery)).status_code == 204

    world.run(main())
    assert world.lines() == world.taken(delivery)
    assert len(said()) == 1


def test_ten_megabytes_of_head_are_not_waited_for(world: World) -> None:
    gateway = world.gateway()

    async def main() -> None:
        async with world.serving() as server:
            for flood, status in (
                (b"GET /" + b"x" * 10_000_000, 414),
                (b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000_000, 431),
            ):
                async with world.raw(server, gateway) as (reader, writer):
                    writer.write(flood)
                    assert await statuses(reader, 1) == [status]

    world.run(main())


def test_a_body_that_is_announced_too_large_is_not_waited_for(world: World) -> None:
    gateway = world.gateway()

    async def main() -> None:
        async with world.serving() as server, world.raw(server, gateway) as (reader, writer):
            writer.write(post(b"", length=1 << 40))
            assert await statuses(reader, 1) == [413]

    world.run(main())


def test_more_connections_than_allowed_are_cut_off(world: World) -> None:
    gateway = world.gateway()

    async def main() -> None:
        async with (
            world.serving(limits={"connections": 2}) as server,
            world.raw(server, gateway) as (reader, writer),
            world.raw(server, gateway),
        ):
            async with world.client(server, gateway) as client:
                with pytest.raises((TlsError, httpx.TransportError)):
                    await world.deliver(client, gateway)
            writer.write(post(message(world, gateway)))
            assert await statuses(reader, 1) == [204]

    world.run(main())


def test_many_gateways_at_once(world: World) -> None:
    gateways = [world.gateway(f"EABC00{number:08}") for number in range(30)]

    async def main() -> list[httpx.Response]:
        async def bring(gateway: Any) -> httpx.Response:
            async with world.client(server, gateway) as client:
                return await world.deliver(client, gateway)

        async with world.serving() as server:
            return await asyncio.gather(*map(bring, gateways))

    assert {answer.status_code for answer in world.run(main())} == {204}
    assert len(world.lines()) == 3 * len(gateways)


def test_a_disk_that_takes_too_long_is_answered_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = world.gateway()
    delivery = world.delivery(gateway)
    commit = Ledger.commit

    async def main() -> list[int]:
        async with world.serving(times={"answer_seconds": 1}) as server, world.client(server, gateway) as client:
            with monkeypatch.context() as slow:
                slow.setattr(Ledger, "commit", lambda *arguments: (sleep(1.3), commit(*arguments))[1])
                late = await world.deliver(client, gateway, delivery)
            again = await world.deliver(client, gateway, delivery)
            return [late.status_code, again.status_code]

    assert world.run(main()) == [503, 409]
    assert world.lines() == world.taken(delivery)


def test_at_its_end_the_server_answers_what_it_has(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = world.gateway()
    delivery = world.delivery(gateway)
    commit = Ledger.commit
    begun = asyncio.Event()

    async def main() -> int:
        loop = asyncio.get_running_loop()

        def slow(*arguments: Any) -> Any:
            loop.call_soon_threadsafe(begun.set)
            sleep(0.3)
            return commit(*arguments)

        monkeypatch.setattr(Ledger, "commit", slow)
        running = AsyncExitStack()
        server = await running.enter_async_context(world.serving())
        async with world.client(server, gateway) as client, world.raw(server, gateway) as (idle, _):
            asking = asyncio.create_task(world.deliver(client, gateway, delivery))
            await begun.wait()
            await running.aclose()
            assert await idle.read() == b""
            return (await asking).status_code

    assert world.run(main()) == 204
    assert world.lines() == world.taken(delivery)
