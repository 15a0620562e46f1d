"""Old readings are removed once they are delivered, and only while the time can be trusted."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from smpki.errors import StoreError
from smpki.gateway.store.retention import Retention

Tell = Callable[..., None]
DAY = 86_400


def stored(world: Any) -> list[int]:
    store = world.store()
    with store.view() as view:
        found = [one.reading.value for one in view.readings.page(limit=10_000)]
    store.close()
    return found


async def deliver_two(world: Any) -> None:
    talk = await world.administrator.call()
    await world.set_up(talk)
    talk.end()
    await world.at_mark(100)
    await world.at_mark(200)
    await world.time.advance(60)
    await world.until(lambda: len(world.participant.taken) == 2)


async def leap(world: Any, seconds: float) -> None:
    world.time.now += seconds
    await world.time.advance(1)


def test_delivered_readings_are_removed_when_they_are_old(tell: Tell, monkeypatch: Any) -> None:
    real, troubles = Retention.forget, [StoreError("store.busy", "another process holds the database")]

    def forget(*arguments: Any, **options: Any) -> int:
        if troubles:
            raise troubles.pop()
        return real(*arguments, **options)

    async def story(world: Any) -> None:
        async with world.running():
            await deliver_two(world)
            await leap(world, 601)
            await world.until(lambda: "readings.removable" in world.events(), passing=True)
            assert {100, 200} <= set(stored(world))
            await leap(world, 2 * DAY)
            await world.until(lambda: not {100, 200} & set(stored(world)), passing=True)
        events = world.events()
        assert [event for event in events if event.startswith(("readings.", "store."))] == [
            *("store.busy", "readings.removable", "readings.removed")
        ]

    async def begun(world: Any) -> None:
        monkeypatch.setattr(Retention, "forget", forget)
        await story(world)

    tell(begun, limits={"readings_kept_days": 1})


def test_nothing_is_old_by_a_clock_that_is_not_trusted(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            await deliver_two(world)
        await world.administrator.close("time")
        world.guess = timedelta(days=3650)
        async with world.running():
            await world.until(lambda: world.events().count("self_test.failed"), passing=True)
            await world.time.advance(1300)
        assert {100, 200} <= set(stored(world))

    tell(story, limits={"readings_kept_days": 1})
