"""The administrator's time, and how it waits. It comes from outside, so that tests need no patience."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

GLANCE = 60.0
"""Seconds: clocks are set, so nobody sleeps longer without a look at them."""


@dataclass(frozen=True)
class Pace:
    """The time.

    :param now: the clock, timezone-aware
    :param monotonic: seconds, such as ``time.monotonic``
    :param sleep: waits so many seconds, such as ``asyncio.sleep``
    """

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]

    async def wait(self, news: asyncio.Event, seconds: float) -> None:
        """Wait for news, but no longer than so many seconds."""
        if news.is_set():
            return
        waiting = {asyncio.ensure_future(news.wait()), asyncio.ensure_future(self.sleep(max(0.0, seconds)))}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def until(self, moment: datetime) -> float:
        """Seconds to a moment; a glance at most."""
        return min(max((moment - self.now()).total_seconds(), 0.0), GLANCE)
