"""An event loop whose time leaps: as soon as nobody has anything left to do, it is the time of the next timer."""

import asyncio
import contextvars
import selectors
from collections.abc import Callable
from functools import partial
from typing import Any

Wrap = Callable[[Callable[[], Any]], Callable[[], Any]]


class LeapingLoop(asyncio.SelectorEventLoop):
    """All that waits by the loop's clock waits no longer than the machine takes for what there is to do.

    Octets that were sent to this computer itself are there at once, so a look at the sockets tells whether something is
    under way. What threads do takes no time at all. What is under way beyond that may be overtaken; it is late then, as
    it might be in any network.

    :ivar wrap_client: changes the factory of each outgoing connection's protocol, or refuses the connection
    :ivar wrap_server: changes the factory of each incoming connection's protocol
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._threads = 0
        super().__init__(_LeapingSelector(self))
        self.wrap_client: Callable[[Callable[[], Any], int], Any] = _no_wrapping
        self.wrap_server: Wrap = lambda factory: factory

    def time(self) -> float:
        """Seconds since it began."""
        return self._now

    def leap(self, seconds: float) -> None:
        """Nobody has anything to do for so long."""
        self._now += seconds

    @property
    def is_computing(self) -> bool:
        """Whether a thread is at work."""
        return self._threads > 0

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """See the base class; the thread has the context of whoever gives it work."""
        future = super().run_in_executor(executor, partial(contextvars.copy_context().run, func, *args))
        self._threads += 1
        future.add_done_callback(self._thread_is_done)
        return future

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        """See the base class."""
        factory = await self.wrap_client(protocol_factory, port)
        transport, protocol = await super().create_connection(factory, host, port, **options)
        return getattr(protocol, "transport", transport), protocol

    async def create_server(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        """See the base class."""
        return await super().create_server(self.wrap_server(protocol_factory), *args, **options)

    def _thread_is_done(self, _: object) -> None:
        self._threads -= 1


async def _no_wrapping(factory: Callable[[], Any], port: int) -> Callable[[], Any]:
    return factory


class _LeapingSelector(selectors.DefaultSelector):
    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.is_computing or timeout is None:
            return super().select(60)
        self._loop.leap(timeout)
        return ready
