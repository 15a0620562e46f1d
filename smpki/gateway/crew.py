"""Several child processes with the same service each, which take calls as they are free."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar, TypeVarTuple

from smpki.gateway.child_process import ChildProcess

S = TypeVar("S")
A = TypeVarTuple("A")
R = TypeVar("R")


class Crew(Generic[S]):
    """See :class:`smpki.gateway.child_process.ChildProcess`. A context manager.

    :param size: processes; they start when the block begins, or as they are needed
    """

    def __init__(self, open_service: Callable[[], AbstractContextManager[S]], name: str, size: int) -> None:
        self.size = size
        self._threads = ThreadPoolExecutor(size)
        self._all = [ChildProcess(open_service, f"{name} {number}") for number in range(1, size + 1)]
        self._free: SimpleQueue[ChildProcess[S]] = SimpleQueue()
        for child in self._all:
            self._free.put(child)

    def submit(self, act: Callable[[S, *A], R], *arguments: *A) -> Future[R]:
        """Let one of them do something, see :meth:`ChildProcess.call`."""
        return self._threads.submit(lambda: self._call(act, *arguments))

    def close(self) -> None:
        """End them after what they do; what nobody has begun is not done."""
        self._threads.shutdown(cancel_futures=True)
        for child in self._all:
            child.close()

    def __enter__(self) -> Self:
        for child in self._all:
            child.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, act: Callable[[S, *A], R], *arguments: *A) -> R:
        child = self._free.get()  # there is one for each thread
        try:
            return child.call(act, *arguments)
        finally:
            self._free.put(child)
