"""When things are done: clock, waiting, growing pauses. They come from outside, so that tests need no patience."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from smpki.gateway.time_keeper import TimeKeeper

Sleep = Callable[[float], Awaitable[None]]
"""Waits so many seconds, such as ``asyncio.sleep``."""


async def wait_for_news(news: asyncio.Event, seconds: float, sleep: Sleep) -> None:
    """Wait for news, but no longer than so many seconds."""
    if news.is_set():
        return
    waiting = {asyncio.ensure_future(news.wait()), asyncio.ensure_future(sleep(max(0.0, seconds)))}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@dataclass(frozen=True)
class Pace:
    """The gateway's time, and how to wait.

    :param keeper: the clock
    :param chance: a random number from 0 to 1, such as ``random.random``; spreads what many gateways do
    """

    keeper: TimeKeeper
    sleep: Sleep
    chance: Callable[[], float]

    def monotonic(self) -> float:
        """Seconds that nobody sets."""
        return self.keeper.monotonic()

    def shown(self) -> datetime:
        """What the clock shows, to be trusted or not."""
        return self.keeper.reading()

    def trusted(self) -> datetime | None:
        """The time; None while it can't be trusted."""
        return self.keeper.now()

    async def wait(self, news: asyncio.Event, seconds: float | None = None) -> None:
        """Wait for news, but no longer than so many seconds; then the news is old.

        :param seconds: None: as long as it takes
        """
        if seconds is None:
            await news.wait()
        else:
            await wait_for_news(news, seconds, self.sleep)
        news.clear()

    def pause(self, attempts: int, first: float, longest: float) -> float:
        """How long to wait after so many attempts in a row have failed: twice as long each time, up to a limit.

        A quarter less to a quarter more, so that those who failed together don't come back together.
        """
        doubled = first * 2.0 ** min(attempts - 1, 30)
        return min(doubled, longest) * (0.75 + 0.5 * self.chance())
