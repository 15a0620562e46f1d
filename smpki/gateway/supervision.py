"""Tasks that go on for ever: one that fails by an error of the program is begun again, and takes no other with it."""

import logging
from collections.abc import Awaitable, Callable

from smpki.errors import GatewayError
from smpki.gateway.journal import Journal
from smpki.gateway.pace import Pace

_FIRST, _LONGEST = 1.0, 300.0  # seconds of pause
_LONG_ENOUGH = 3_600.0  # seconds; who ran so long has no failures before

log = logging.getLogger("smpki.gateway")


async def keep_going(name: str, work: Callable[[], Awaitable[None]], journal: Journal, pace: Pace) -> None:
    """Do it until cancelled, again and again if it ends.

    :param name: for the log
    """
    failures = 0
    while True:
        begun = pace.monotonic()
        try:
            await work()
        except Exception as error:
            log.exception("%s failed by an error of the program", name)
            cause = GatewayError(f"task.{name}", type(error).__name__)
            journal.trouble(("task", name), cause, f"{name} has failed and begins again", "E")
        if pace.monotonic() - begun > _LONG_ENOUGH:
            failures = 0
        failures += 1
        await pace.sleep(pace.pause(failures, _FIRST, _LONGEST))
