"""The gateway's time: nothing is dated without one, and a wrong one leaves its mark."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

from smpki.gateway.status_word import NO_VALUE, TIME_INVALID

Tell = Callable[..., None]


def readings(world: Any) -> list[Any]:
    store = world.store()
    with store.view() as view:
        found = [each.reading for each in view.readings.page()]
    store.close()
    return found


async def begin(world: Any) -> None:
    talk = await world.administrator.call()
    await world.set_up(talk)
    talk.end()


def test_without_a_time_readings_say_so_and_nothing_is_delivered(tell: Tell) -> None:
    async def story(world: Any) -> None:
        await world.administrator.close("time")
        async with world.running():
            await begin(world)
            await world.at_mark(100)
            await world.time.advance(120)
            assert [bool(each.status & TIME_INVALID) for each in readings(world)] == [True]
            store = world.store()
            with store.view() as view:
                assert view.outbox.counts() == {}
            store.close()
            await world.administrator.open("time")
            await world.until(lambda: world.participant.taken, passing=True)
            assert world.participant.taken[0][1] == 100

    tell(story)


def test_a_clock_that_is_wrong_at_start_is_set_before_anything_is_dated(tell: Tell) -> None:
    async def story(world: Any) -> None:
        world.guess = timedelta(days=-400)
        async with world.running():
            await begin(world)
            first = await world.at_mark(100)
            await world.time.advance(60)
            await world.until(lambda: (first, 100) in world.participant.taken)
            assert not readings(world)[0].status & TIME_INVALID
        assert world.log()[0].event == "gateway.start"
        assert "time.set" in world.administrator.events()

    tell(story)


def test_a_trusted_time_that_was_wrong_is_told_and_flags_the_period_under_way(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            await begin(world)
            await world.at_mark(100)
            await world.time.advance(500)
            world.administrator.offset = timedelta(seconds=40)
            await world.until(lambda: "time.deviation" in world.events(), passing=True)
            await world.until(lambda: "time.deviation" in world.administrator.events())
            assert "time.deviation" in [entry.event for entry in world.log("calibration")]
            flags = [bool(each.status & TIME_INVALID) for each in readings(world)]
            assert flags[0] is False
            await world.time.advance(120)
            found = readings(world)
            flagged = [each for each in found if each.status & TIME_INVALID]
            assert len(flagged) == 1
            moments = [each.captured_at for each in found]
            assert moments == sorted({*moments})
            assert all((after - before).total_seconds() == 60 for before, after in pairwise(moments))

    tell(story, times={"time_every_seconds": 600, "answer_seconds": 1, "retry_seconds": 5})


def test_a_clock_set_back_leaves_each_moment_once(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            await begin(world)
            await world.at_mark(100)
            await world.time.advance(520)
            world.administrator.offset = timedelta(seconds=-100)
            await world.until(lambda: "time.deviation" in world.events(), passing=True)
            await world.time.advance(300)
            moments = [each.captured_at for each in readings(world)]
            assert len(moments) == len({*moments})
            assert {each.value for each in readings(world) if not each.status & NO_VALUE} == {100}
            await world.until(lambda: len(world.participant.taken) >= 4, passing=True)
            assert len(world.participant.taken) == len({*world.participant.taken})

    tell(story, times={"time_every_seconds": 600, "answer_seconds": 1, "retry_seconds": 5})


def test_a_time_too_far_away_is_not_believed(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            await begin(world)
            world.administrator.offset = timedelta(hours=1)
            await world.until(lambda: "time.step" in world.administrator.events(), passing=True)
            talk_time = world.now()
            world.wake()
            talk = await world.administrator.call()
            assert abs((await talk.status()).time.now - talk_time) < timedelta(seconds=5)
            talk.end()

    tell(story, times={"time_every_seconds": 60, "answer_seconds": 1, "retry_seconds": 5})


def test_a_time_server_that_says_nothing_is_left(tell: Tell) -> None:
    async def story(world: Any) -> None:
        await world.administrator.close("time")

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        port = int(world.administrator.address("time").rpartition(":")[2])
        async with await asyncio.start_server(hang, "127.0.0.1", port), world.running():
            await world.until(lambda: "tls.handshake.timeout" in world.events())
            talk = await world.administrator.call()
            assert not (await talk.status()).time.trusted
            talk.end()

    tell(story)
