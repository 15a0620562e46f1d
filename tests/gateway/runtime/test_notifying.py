"""ADMIN-SERVICE: what the administrator is to know gets there, in order, once, and not too fast."""

import asyncio
from collections.abc import Callable
from typing import Any

from smpki.gateway import api
from smpki.gateway.store.store import GatewayStore

Tell = Callable[..., None]


def log_warnings(world: Any, count: int) -> None:
    """Entries that wait to be told."""
    store = GatewayStore.create(world.configuration().data / "gateway.db")
    with store.work() as work:
        for number in range(count):
            work.logs.append("system", f"test.{number}", "something", now=world.now(), level="W")
    store.close()


def told(world: Any) -> list[str]:
    return [event for event in world.administrator.events() if event.startswith("test.")]


def test_start_and_time_are_told_and_what_is_usual_is_not(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            await world.until(lambda: len(world.administrator.notifications) == 2)
        assert world.administrator.events() == ["gateway.start", "time.set"]
        numbers = [each.number for each in world.administrator.notifications]
        entries = {entry.record_number: entry.event for entry in world.log()}
        assert [entries[number] for number in numbers] == world.administrator.events()

    tell(story)


def test_what_could_not_be_told_is_told_after_a_restart(tell: Tell) -> None:
    async def story(world: Any) -> None:
        await world.administrator.close("admin_service")
        async with world.running():
            await world.until(lambda: "notify.tls.transport.unreachable" in world.events())
        await world.administrator.open("admin_service")
        async with world.running():
            await world.until(lambda: world.administrator.events().count("gateway.start") == 2)
        numbers = [each.number for each in world.administrator.notifications]
        assert numbers == sorted({*numbers})

    tell(story)


def test_a_busy_administrator_gets_it_again_until_they_take_it(tell: Tell) -> None:
    async def story(world: Any) -> None:
        answers = [503, 500, 204]
        world.administrator.answer_notification = lambda _: answers.pop(0) if answers else 204
        async with world.running():
            await world.until(lambda: "gateway.start" in world.administrator.events(), passing=True)
        numbers = [each.number for each in world.administrator.notifications]
        assert numbers == sorted({*numbers})

    tell(story)


def test_one_that_is_refused_does_not_stop_the_others(tell: Tell) -> None:
    async def story(world: Any) -> None:
        def answer(notification: api.Notification) -> int:
            return {"gateway.start": 422, "time.set": 409}.get(notification.event, 204)

        world.administrator.answer_notification = answer
        world.folder.joinpath("data").mkdir()
        log_warnings(world, 2)
        async with world.running():
            await world.until(lambda: told(world) == ["test.0", "test.1"])
            await world.until(lambda: "notify.refused" in world.events())
            await world.time.advance(60)
            await asyncio.sleep(0.05)
        assert world.events().count("notify.refused") == 1

    tell(story)


def test_many_go_slowly_and_too_many_not_at_all(tell: Tell) -> None:
    async def story(world: Any) -> None:
        world.folder.joinpath("data").mkdir()
        log_warnings(world, 50)
        async with world.running():
            await world.until(lambda: len(world.administrator.notifications) == 10)
            await asyncio.sleep(0.1)
            assert len(world.administrator.notifications) == 10  # at once; the others at their pace
            await world.until(lambda: "notifications.left_out" in world.administrator.events(), passing=True)
        assert told(world) == [f"test.{number}" for number in range(50 - len(told(world)), 50)]
        assert 15 <= len(told(world)) <= 20

    tell(story, limits={"notifications_waiting": 20})
