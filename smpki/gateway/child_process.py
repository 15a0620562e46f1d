"""A process that does one thing after another for this one, and ends with it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, TypeVarTuple

from smpki.errors import SmpkiError

S = TypeVar("S")
A = TypeVarTuple("A")
R = TypeVar("R")

_SECONDS_TO_END = 30


class ChildProcess(Generic[S]):
    """A process with a service in it; it starts with the first call, or before. A context manager.

    SoftHSM knows one folder of tokens in a process, so who works with several needs a process for each.

    :param open_service: makes the service there, and leaves it at the end; it crosses into the process
    :param name: what to call the process
    """

    def __init__(self, open_service: Callable[[], AbstractContextManager[S]], name: str) -> None:
        self._open_service = open_service
        self._name = name
        self._pipe: Connection | None = None
        self._process: Any = None
        self._is_open = False

    def start(self) -> None:
        """Let the process start now, without waiting for it; whether its service opens is told by the first call."""
        self._started()

    def call(self, act: Callable[[S, *A], R], *arguments: *A) -> R:
        """Let the process do something; one call at a time. After its death the next call starts another process.

        :param act: a function at the top of a module or class; it gets the service, then the arguments
        :return: what it returned
        :raises SmpkiError: ``process.died``, and what the service and the function raise
        """
        try:
            pipe = self._open()
            pipe.send((act, arguments))
            return self._answer(pipe)  # type: ignore[no-any-return]
        except (EOFError, OSError):
            self.close()
            message, hint = "the process died in the middle of its work", "start again: what was done is found again"
            raise SmpkiError("process.died", message, where=self._name, hint=hint) from None

    def close(self) -> None:
        """End the process after what it does; a second time does nothing."""
        if self._pipe is not None:
            self._pipe.close()
            self._process.join(_SECONDS_TO_END)
            self._process.kill()
            self._pipe, self._is_open = None, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Connection:
        pipe = self._started()
        if not self._is_open:
            try:
                self._answer(pipe)
            except SmpkiError:
                self.close()
                raise
            self._is_open = True
        return pipe

    def _started(self) -> Connection:
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            arguments = self._open_service, theirs
            self._process = context.Process(target=_serve, args=arguments, name=self._name, daemon=True)
            self._process.start()
            theirs.close()
            self._pipe = ours
        return self._pipe

    @staticmethod
    def _answer(pipe: Connection) -> Any:
        value, error = pipe.recv()
        if error is not None:
            raise error
        return value


def _serve(open_service: Callable[[], AbstractContextManager[S]], pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at a terminal all get it; the parent says when it is over
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):
        try:
            with open_service() as service:
                pipe.send((None, None))
                while True:
                    act, arguments = pipe.recv()
                    pipe.send(_done(act, service, arguments))
        except SmpkiError as error:
            pipe.send((None, error))


def _done(act: Callable[..., Any], service: object, arguments: tuple[object, ...]) -> tuple[Any, SmpkiError | None]:
    try:
        return act(service, *arguments), None
    except SmpkiError as error:
        return None, error


def _end_with_parent() -> None:
    """A parent that was killed says nothing; what it would have done next must not meet what goes on here."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
