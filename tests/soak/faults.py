"""What goes wrong in the soak: computers that die between any two of their acts, full disks, lines that break."""

import asyncio
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import pytest

import smpki.db.engine
import smpki.db.room_store
import smpki.gateway.durable
import smpki.hsm.file_vault
from smpki.errors import StoreError
from smpki.service.market_participant.output import Output

LIFE: ContextVar["Life | None"] = ContextVar("LIFE", default=None)
"""Whose code runs."""


class Killed(BaseException):
    """The computer is dead."""


def is_death(error: BaseException | None) -> bool:
    """Whether somebody was killed, and nothing else has happened."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_death, error.exceptions))
    return isinstance(error, Killed)


@dataclass(eq=False)
class Life:
    """A computer from its start to its end. Whatever it does afterwards reaches neither disk nor network.

    :param acts: it dies before or after so many of its acts; ``None``: not by itself
    :ivar is_full: nothing can be written to its disk at present
    """

    name: str
    acts: int | None = None
    is_alive: bool = True
    is_full: bool = False
    lines: set["Line"] = field(default_factory=set)
    died: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def moment(self) -> None:
        """Between two acts.

        :raises Killed: it is dead, or dies here
        """
        if self.is_alive and self.acts is not None:
            self.acts -= 1
            if self.acts <= 0:
                self.die()
        if not self.is_alive:
            raise Killed(self.name)

    def die(self) -> None:
        """Now, in the middle of whatever it does; any thread may call it."""
        if self.is_alive:
            self.is_alive = False
            self._loop.call_soon_threadsafe(self._fall_silent)

    def _fall_silent(self) -> None:
        for line in tuple(self.lines):
            line.cut()
        self.died.set()


def moment() -> None:
    """An act is about to be done, or was done just now.

    :raises Killed: nothing more is done
    """
    if life := LIFE.get():
        life.moment()


@contextmanager
def mortal_disks(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Before and after whatever is written, its writer may die; full disks take nothing.

    Power does not fail here, so nothing need be synced; that would take most of the time.
    """
    writing, append, connected = smpki.db.room_store.writing, Output.append, smpki.db.engine._sqlite_connected

    def unsynced(connection: sqlite3.Connection, record: Any) -> None:
        connected(connection, record)
        connection.execute("PRAGMA synchronous = OFF").close()

    @contextmanager
    def guarded(engine: Any) -> Iterator[Any]:
        moment()
        _require_room("store.full", str(engine.url.database))
        with writing(engine) as connection:
            yield connection
            moment()
        moment()

    def replace(module: Any) -> None:
        real = module.replace_secret

        def act(file: Any, content: bytes) -> None:
            moment()
            if (life := LIFE.get()) and life.is_full:
                raise OSError(28, "No space left on device")
            real(file, content)
            moment()

        patch.setattr(module, "replace_secret", act)

    def appended(output: Output, *arguments: Any) -> Any:
        moment()
        _require_room("emt.output.full", "readings")
        begin = append(output, *arguments)
        moment()
        return begin

    patch.setattr(os, "fsync", lambda _: None)
    patch.setattr(smpki.db.engine, "_sqlite_connected", unsynced)
    patch.setattr(smpki.db.room_store, "writing", guarded)
    patch.setattr(Output, "append", appended)
    replace(smpki.gateway.durable)
    replace(smpki.hsm.file_vault)
    yield
    patch.undo()


def _require_room(code: str, where: str) -> None:
    if (life := LIFE.get()) and life.is_full:
        raise StoreError(code, "the disk is full", where=where)


@dataclass(frozen=True)
class Trouble:
    """What happens to a connection.

    :param after: octets, both ways together
    :param silent: nothing arrives any more; otherwise it breaks
    """

    after: int
    silent: bool


class Line(asyncio.Protocol):
    """One end of a connection, and what happens to it.

    :ivar transport: what the protocol writes to
    :ivar is_spoiled: something has happened
    """

    below: Any

    def __init__(self, inner: Any, life: Life | None, trouble: Trouble | None, port: int) -> None:
        self.inner, self.life, self.trouble, self.port = inner, life, trouble, port
        self.transport: Any = None
        self.is_spoiled = False
        self._octets = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.below = transport
        self.transport = _Written(self)
        if self.life:
            self.life.lines.add(self)
        self.inner.connection_made(self.transport)
        if self.life and not self.life.is_alive:
            self.cut()

    def data_received(self, data: bytes) -> None:
        if data := self.passed(data):
            self.inner.data_received(data)

    def eof_received(self) -> Any:
        return True if self.is_spoiled else self.inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.life:
            self.life.lines.discard(self)
        self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def passed(self, data: Any) -> Any:
        """How much of it arrives."""
        if self.is_spoiled or (self.life and not self.life.is_alive):
            return b""
        if self.trouble is None:
            return data
        left = self.trouble.after - self._octets
        self._octets += len(data)
        if left >= len(data):
            return data
        self.is_spoiled = True
        if not self.trouble.silent:
            asyncio.get_running_loop().call_soon(self.cut)
        return data[:left]

    @property
    def is_fine(self) -> bool:
        """Whether what is sent arrives."""
        return not self.is_spoiled and not self.below.is_closing()

    def cut(self) -> None:
        """Break it."""
        self.is_spoiled = True
        self.below.abort()


class _Written:
    """The transport below, but for what is written."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._line.below, name)

    def write(self, data: Any) -> None:
        if data := self._line.passed(data):
            self._line.below.write(data)


@dataclass
class Weather:
    """How bad the network is.

    :param bad: one of so many outgoing connections does not come about, and as many break; 0: none
    """

    chance: random.Random
    bad: float = 0.0
    happened: Counter[str] = field(default_factory=Counter)

    async def client(self, factory: Callable[[], Any], port: int) -> Callable[[], Any]:
        """An outgoing connection."""
        life = LIFE.get()
        if life is None:
            return factory
        trouble = None
        kind = self.chance.choice(("refused", "unheard", "broken", "silent", "broken")) if self._strikes() else "fine"
        self.happened[kind] += 1
        if kind == "refused":
            raise ConnectionRefusedError(111, "Connection refused")
        if kind == "unheard":
            await asyncio.sleep(300)
            raise TimeoutError(110, "Connection timed out")
        if kind != "fine":
            trouble = Trouble(int(10 ** self.chance.uniform(0, 4.2)), kind == "silent")
        return lambda: Line(factory(), life, trouble, port)

    def server(self, factory: Callable[[], Any]) -> Callable[[], Any]:
        """Incoming connections."""
        life = LIFE.get()
        return factory if life is None else lambda: Line(factory(), life, None, 0)

    def loses_packet(self) -> bool:
        """Whether a packet gets lost."""
        return self.chance.random() < min(0.5, 4 * self.bad)

    def _strikes(self) -> bool:
        return self.chance.random() < self.bad
