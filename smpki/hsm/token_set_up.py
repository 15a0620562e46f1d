"""Run the program that sets up SoftHSM tokens: once for a token, or for one after another."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_COMMAND = [sys.executable, "-I", str(Path(__file__).with_name("inittoken.py"))]
_CRASHED: Mapping[str, Any] = {"status": "crashed"}

SetUp = Callable[[Mapping[str, str]], Mapping[str, Any]]
"""Does what :mod:`smpki.hsm.inittoken` does with an order, and gives its answer; or ``{"status": "crashed"}``."""


def set_up_once(order: Mapping[str, str]) -> Mapping[str, Any]:
    """A :data:`SetUp` that starts the program, and waits for its end."""
    # the PINs are in no variable, lest an error's traceback show them
    done = subprocess.run(_COMMAND, input=f"{json.dumps(order)}\n", capture_output=True, text=True, env={}, check=False)  # noqa: S603
    return _answer(done.stdout)


class SetUpProgram:
    """A :data:`SetUp` that keeps the program running: its start takes as long as all it does for a token.

    A context manager; one order at a time.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, order: Mapping[str, str]) -> Mapping[str, Any]:
        """Do it; after a crash the program is started anew."""
        if self._process is None:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(_COMMAND, stdin=pipe, stdout=pipe, text=True, env={})  # noqa: S603
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the program has no pipes")
        try:
            stdin.write(f"{json.dumps(order)}\n")
            stdin.flush()
        except BrokenPipeError:
            pass
        answer = _answer(stdout.readline())
        if answer is _CRASHED:
            self.close()
        return answer

    @property
    def pid(self) -> int | None:
        """Of the program; ``None`` while it does not run."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the program; the next order starts it again."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _answer(line: str) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = json.loads(line)
    except ValueError:
        return _CRASHED
    return answer
