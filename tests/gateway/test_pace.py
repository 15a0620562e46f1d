"""Waiting and growing pauses; tasks that go on after they failed."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from smpki.gateway.journal import Journal
from smpki.gateway.pace import Pace
from smpki.gateway.store.store import GatewayStore
from smpki.gateway.supervision import keep_going
from smpki.gateway.time_keeper import TimeKeeper

START = datetime(2026, 11, 22, tzinfo=UTC)


def pace(sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep, chance: float = 0.5) -> Pace:
    return Pace(TimeKeeper(START, lambda: 0.0), sleep, lambda: chance)


@pytest.mark.parametrize(
    ("attempts", "chance", "seconds"),
    [(1, 0.5, 10), (2, 0.5, 20), (3, 0.5, 40), (4, 0.5, 60), (1000, 0.5, 60), (1, 0.0, 7.5), (4, 1.0, 75)],
)
def test_pauses_double_up_to_a_limit(attempts: int, chance: float, seconds: float) -> None:
    assert pace(chance=chance).pause(attempts, 10, 60) == seconds


def test_news_ends_the_wait_and_is_old_then() -> None:
    async def waits() -> None:
        news = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, news.set)
        await asyncio.wait_for(pace().wait(news, 100), 5)
        assert not news.is_set()
        news.set()
        await asyncio.wait_for(pace().wait(news, 100), 5)
        await asyncio.wait_for(pace().wait(news, 0.01), 5)  # the time alone

    asyncio.run(waits())


def test_a_wait_that_is_cancelled_leaves_nothing_behind() -> None:
    async def waits() -> None:
        waiting = asyncio.create_task(pace().wait(asyncio.Event(), 100))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(waits())


def test_a_task_that_fails_begins_again_and_is_told_once(tmp_path: Path) -> None:
    store = GatewayStore.create(tmp_path / "gateway.db")
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    async def work() -> None:
        if len(pauses) == 4:
            await asyncio.Event().wait()
        raise ZeroDivisionError

    async def go() -> None:
        task = asyncio.create_task(keep_going("mill", work, Journal(store, lambda: START), pace(sleep)))
        while len(pauses) < 4:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(go())
    assert pauses == [1, 2, 4, 8]
    with store.view() as view:
        assert [(entry.event, entry.level) for entry in view.logs.page("system")] == [("task.mill", "E")]
    store.close()
