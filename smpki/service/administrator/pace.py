"""The administrator's time, and how it waits. It comes from outside, so that tests need no patience."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from smpki.gateway.pace import Sleep, wait_for_news

GLANCE = 60.0
"""Seconds: clocks are set, so nobody sleeps longer without a look at them."""


@dataclass(frozen=True)
class Pace:
    """The time.

    :param now: the clock, timezone-aware
    :param monotonic: seconds, such as ``time.monotonic``
    """

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Sleep

    async def wait(self, news: asyncio.Event, seconds: float) -> None:
        """Wait for news, but no longer than so many seconds."""
        await wait_for_news(news, seconds, self.sleep)

    def until(self, moment: datetime) -> float:
        """Seconds to a moment; a glance at most."""
        return min(max((moment - self.now()).total_seconds(), 0.0), GLANCE)
