"""Readings on their way from the meters into the store: nothing lost, nothing twice, whatever the disk does."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from smpki.errors import StoreError
from smpki.gateway import api
from smpki.gateway.readings import Obis
from smpki.gateway.status_word import NO_VALUE
from smpki.gateway.store.store import GatewayStore
from smpki.policy.device_id import DeviceId

Tell = Callable[..., None]
OTHER = DeviceId.parse("1ABC0099999999")


def stored(world: Any) -> list[int]:
    store = world.store()
    with store.view() as view:
        found = [each.reading for each in view.readings.page()]
    store.close()
    return [each.value for each in found if not each.status & NO_VALUE]


async def begin(world: Any) -> Any:
    talk = await world.administrator.call()
    await world.set_up(talk, schedule_seconds=86_400)
    return talk


def test_meters_and_registers_that_no_profile_wants_are_said_once(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            for _ in range(3):
                world.measure(1, meter=OTHER)
                world.measure(2, obis=Obis.parse("1-0:2.8.0"))
                await world.at_mark(100)
            talk.end()
        events = world.events()
        assert (events.count("meter.unwanted.meter"), events.count("meter.unwanted.register")) == (1, 1)
        assert {*stored(world)} == {100}

    tell(story)


def test_strangers_do_not_fill_the_log(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            for number in range(150):
                world.measure(1, meter=DeviceId.parse(f"1ABC00{number:08}"))
            await world.at_mark(100)
            talk.end()
        assert world.events().count("meter.unwanted.meter") == 100
        assert stored(world) == [100]

    tell(story)


def test_broken_telegrams_leave_entries_but_not_too_many(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            world.measure(7)
            good = world.meter_file.read_bytes()
            for place in (20, 30, 40, 50, 60, 70):
                broken = bytearray(good)
                broken[place] ^= 1
                world.meter_file.open("ab").write(bytes(broken))
            await world.at_mark(100)
            talk.end()
        refused = [event for event in world.events() if event.startswith("reading.")]
        assert 1 <= len(refused) <= 6
        assert stored(world) == [100]

    tell(story)


def test_what_a_file_had_before_a_restart_does_not_come_again(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            await world.at_mark(100)
            talk.end()
        async with world.running():
            await world.at_mark(200)
        assert stored(world) == [100, 200]

    tell(story)


def test_a_full_disk_makes_readings_wait(tell: Tell, monkeypatch: Any) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            await over(talk)
            await world.at_mark(100)
            with monkeypatch.context() as patch:
                patch.setattr(GatewayStore, "work", _full)
                for value in (200, 300):
                    await world.at_mark(value)
            assert stored(world) == [100]
            await world.at_mark(400)
            await world.time.advance(60)
            assert stored(world) == [100, 200, 300, 400]
            assert {"store.full", "meter.stored"} <= {*world.events()}
            await world.until(lambda: "store.full" in world.administrator.events())

    tell(story)


def _full(store: GatewayStore) -> None:
    raise StoreError("store.full", "the disk is full")


async def over(talk: Any) -> None:
    talk.end()
    await talk.closed()


def test_no_more_is_read_than_can_wait(tell: Tell, monkeypatch: Any) -> None:
    async def story(world: Any) -> None:
        monkeypatch.setattr("smpki.gateway.metering.MOST_PENDING", 1)
        async with world.running():
            talk = await begin(world)
            await over(talk)
            with monkeypatch.context() as patch:
                patch.setattr(GatewayStore, "work", _full)
                for value in (100, 200, 300):
                    await world.at_mark(value)
            await world.time.advance(120)
            kept = stored(world)
            assert kept[:2] == [100, 200]

    tell(story)


def test_a_window_without_a_telegram_is_an_entry_without_value(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            first = await world.at_mark(100)
            await world.time.advance(60)
            third = await world.at_mark(300)
            talk.end()
        store = world.store()
        with store.view() as view:
            found = [each.reading for each in view.readings.page()]
        store.close()
        moments = [(each.captured_at, each.value, bool(each.status & NO_VALUE)) for each in found]
        assert moments[0] == (first, 100, False)
        assert moments[-1] == (third, 300, False)
        assert [(value, missing) for _, value, missing in moments[1:-1]] == [(0, True)] * (len(moments) - 2)
        assert (third - first).total_seconds() == 60 * (len(moments) - 1)

    tell(story)


def test_a_meter_at_a_port_that_comes_and_goes(tell: Tell) -> None:
    async def story(world: Any) -> None:
        writers: list[asyncio.StreamWriter] = []

        async def meter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)

        server = await asyncio.start_server(meter, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        world.settings["meters"] = [{"source": f"tcp://127.0.0.1:{port}"}]
        async with world.running():
            talk = await begin(world)
            await world.until(lambda: len(writers) == 1)
            await world.time.advance(60 - (world.now().timestamp() % 60) - 0.5)
            writers[0].write(world.telegram(100))
            await world.until(lambda: stored(world) == [100])
            writers[0].close()
            await world.until(lambda: "reading.source.closed" in world.events())
            await world.until(lambda: len(writers) == 2, passing=True)
            await world.time.advance(60 - (world.now().timestamp() % 60) - 0.5)
            writers[1].write(world.telegram(200))
            await world.until(lambda: stored(world) == [100, 200])
            assert "meter.reached" in world.events()
            talk.end()
        server.close()

    tell(story)


def test_another_value_for_the_same_moment_is_told_and_does_not_count(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            await world.at_mark(100)
            await world.at_mark(200)
            talk.end()
        world.guess = timedelta(seconds=-63)  # nobody tells it the time, and its clock is back at the first mark
        await world.administrator.close("time")
        async with world.running():
            await world.time.advance(1)
            world.measure(999)
            await world.time.advance(3)
            await world.until(lambda: "reading.conflict" in world.events(), passing=True)
        assert stored(world) == [100, 200]

    tell(story)


def test_the_profile_of_a_meter_may_change_at_any_time(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            await world.at_mark(100)
            other = api.MeterProfile(meter=OTHER, obis=(Obis.parse("1-0:1.8.0"),), registration_period_seconds=60)
            assert await talk.put(f"{api.METER_PROFILES}{OTHER.dns}", other) == 204
            world.measure(0)
            await world.time.advance(50)
            world.measure(555, meter=OTHER)
            await world.at_mark(200)
            assert await talk.ask("DELETE", f"{api.EVALUATION_PROFILES}load")
            assert (await talk.ask("DELETE", f"{api.METER_PROFILES}1abc0012345678")).status == 204
            await world.at_mark(300)
            talk.end()
        assert 300 not in stored(world)
        assert {100, 200} <= {*stored(world)}

    tell(story)


@pytest.mark.requirement("REQ.TLSHDLC.SMGW.100")
def test_a_meters_status_is_part_of_the_status_that_is_delivered(tell: Tell) -> None:
    cover_open, fatal = 0x20200000, 0x20004000

    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            await world.set_up(talk)
            for word in (cover_open, fatal, None):
                await world.at_mark(100, status=word)
            await world.time.advance(60)
            await world.until(lambda: len(world.participant.taken) >= 3, passing=True)
            talk.end()
        words = [reading.status for each in world.participant.deliveries for reading in each.readings]
        assert words[:3] == [0xA0020000_20200000, 0xA0000000_20004000, 0xA0000000_20000000]

    tell(story)
