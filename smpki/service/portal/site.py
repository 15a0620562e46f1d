"""What all pages work on."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio.from_thread

from smpki.service.desk.desk import Desk
from smpki.service.tryout.tls_trial import Trials


def from_thread(work: Coroutine[Any, Any, Any]) -> Any:
    """Let a coroutine run in the event loop that called this thread."""

    async def do() -> Any:
        return await work

    return anyio.from_thread.run(do)


@dataclass(frozen=True)
class Site:
    """What the pages work on.

    :param origin: where browsers find the portal, such as ``https://portal.example``; ``None``: where they say they do
    :param trials: where participants try their TLS clients; ``None``: nowhere
    :param run: lets a coroutine run where the server does, from the thread of a handler
    """

    desk: Desk
    origin: str | None = None
    trials: Trials | None = None
    run: Callable[[Coroutine[Any, Any, Any]], Any] = from_thread

    @property
    def clock(self) -> Callable[[], datetime]:
        """The PKI's clock."""
        return self.desk.pki.clock
