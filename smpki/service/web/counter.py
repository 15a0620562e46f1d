"""A Sub-CA's counter for many who ask at the same time: one thread grants what has come meanwhile in one go.

Packages that are granted together share two commits, which is what a batch gains by. So nobody waits for more than one
batch before its own.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from smpki.ca.triples import Order, Outcome, TripleDesk
from smpki.errors import ServiceError, TokenError

_AT_ONCE = 64
_DESK_SECONDS = 5.0
"""How long a renewed Sub-CA, or a key that came back, may go unnoticed."""

_Waiting = tuple[Order, "Future[Outcome]"]


class Counter:
    """Grants packages in a thread of its own; a context manager.

    :param open_desk: the Sub-CA's counter as it is now
    """

    def __init__(self, open_desk: Callable[[], TripleDesk]) -> None:
        self._open_desk = open_desk
        self._desk: tuple[TripleDesk, float] | None = None
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="counter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Grant what has come, and no more."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join()

    @property
    def length(self) -> int:
        """How many packages wait."""
        return self._waiting.qsize()

    def submit(self, order: Order) -> "Future[Outcome]":
        """Bring a package.

        :return: what will become of it: an :class:`Outcome`, or what :meth:`TripleDesk.issue` raises
        """
        future: Future[Outcome] = Future()
        if self._closed:
            message, hint = "the service is about to end", "send it again later"
            future.set_exception(ServiceError("service.ending", message, hint=hint))
        else:
            self._waiting.put((order, future))
        return future

    def _work(self) -> None:
        going_on = True
        while going_on:
            batch: list[_Waiting] = []
            while len(batch) < _AT_ONCE and (not batch or not self._waiting.empty()):
                if (one := self._waiting.get()) is None:
                    going_on = False
                    break
                batch.append(one)
            if batch := [one for one in batch if one[1].set_running_or_notify_cancel()]:
                self._grant(batch)

    def _grant(self, batch: list[_Waiting]) -> None:
        try:
            outcomes = self._desk_now().issue([order for order, _ in batch])
        except BaseException as error:  # whatever it is, those who wait have to hear of it
            self._desk = None
            for _, future in batch:
                future.set_exception(error)
            return
        if any(isinstance(outcome.error, TokenError) for outcome in outcomes):
            self._desk = None  # what it holds of the token may be stale
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            future.set_result(outcome)

    def _desk_now(self) -> TripleDesk:
        now = time.monotonic()
        if self._desk is None or now >= self._desk[1] + _DESK_SECONDS:
            self._desk = self._open_desk(), now
        return self._desk[0]
