"""Where a meter's octets come from: a file, or the TCP port of an adapter at the meter.

Both are endless streams of events. What goes wrong is an event too, and is tried again.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from smpki.errors import GatewayError
from smpki.gateway.sml_source import RefusedTelegram, SmlSource, Telegram

Clock = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[None]]

_CHUNK = 4_096  # octets; more at once would keep the event loop waiting
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SourceTrouble:
    """The source can't be read at the moment.

    :param error: ``reading.source.unreachable``, ``.closed``, ``.silent`` or ``.file``
    """

    at: datetime
    error: GatewayError


Event = Telegram | RefusedTelegram | SourceTrouble


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a meter.

    :param silence: without a telegram, right or wrong, for so long, the connection is given up; connecting takes no
        longer either
    :param first: pause before the second attempt to connect; it doubles with each further one
    :param longest: longest pause
    """

    silence: timedelta = timedelta(seconds=60)
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=5)


async def from_file(
    path: Path,
    source: SmlSource,
    *,
    clock: Clock,
    follow: timedelta | None = None,
    sleep: Sleep = asyncio.sleep,
    start: int = 0,
    passed: Callable[[int], None] = lambda place: None,
) -> AsyncGenerator[Event, None]:
    """Read the telegrams in a regular file.

    :param follow: None: read it once; otherwise go on forever and look so often for what was appended. A file that
        became shorter is read from its start; one that can't be read is told once.
    :param start: the octet to begin with
    :param passed: told up to which octet all events have been taken, so that another time it can start there
    """
    place, readable = start, True
    while True:
        try:
            with open(path, "rb", opener=_at_once) as stream:
                readable = True
                if stream.seek(0, 2) < place:
                    place = 0
                    for event in source.finish():
                        yield event
                stream.seek(place)
                while data := stream.read(_CHUNK):
                    place += len(data)
                    for event in source.receive(data, clock()):
                        yield event
                    passed(place)
                    await asyncio.sleep(0)  # a long file keeps nothing else waiting
        except OSError as error:
            if readable:
                message = f"the meter's file {path} can't be read: {_reason(error)}"
                yield SourceTrouble(clock(), _refused("file", message))
            readable = False
        if follow is None:
            for event in source.finish():
                yield event
            return
        await sleep(follow.total_seconds())


async def from_tcp(
    host: str,
    port: int,
    source: SmlSource,
    *,
    clock: Clock,
    patience: Patience = Patience(),
    sleep: Sleep = asyncio.sleep,
) -> AsyncGenerator[Event, None]:
    """Connect to a meter's adapter and read its telegrams, forever; connect again when it fails.

    :param sleep: measures all waiting
    """
    pause = patience.first
    while True:
        try:
            async with aclosing(_connected(host, port, source, clock, patience.silence, sleep)) as events:
                async for event in events:
                    yield event
                    if isinstance(event, Telegram):
                        pause = patience.first
        except GatewayError as error:
            for event in source.finish():
                yield event
            yield SourceTrouble(clock(), error)
        await sleep(pause.total_seconds())
        pause = min(pause * 2, patience.longest)


async def _connected(
    host: str, port: int, source: SmlSource, clock: Clock, silence: timedelta, sleep: Sleep
) -> AsyncGenerator[Event, None]:
    """One connection, to its end.

    :raises GatewayError: ``reading.source.*``: why it ended
    """
    place = f"{host}:{port}"
    timer = _timer(silence, sleep)
    try:
        reader, writer = await _in_time(asyncio.open_connection(host, port), timer)
    except (OSError, UnicodeError) as error:  # UnicodeError: of a host name that can be none
        raise _refused("unreachable", f"no connection to the meter at {place}: {_reason(error)}") from None
    finally:
        timer.cancel()
    timer = _timer(silence, sleep)
    try:
        while data := await _in_time(reader.read(_CHUNK), timer):
            events = source.receive(data, clock())
            for event in events:
                yield event
            if events:
                timer.cancel()
                timer = _timer(silence, sleep)
        raise _refused("closed", f"the meter at {place} ended the connection")
    except TimeoutError:
        message = f"the meter at {place} sent no telegram for {silence.total_seconds():g} s"
        raise _refused("silent", message) from None
    except OSError as error:
        raise _refused("closed", f"the connection to the meter at {place} broke: {_reason(error)}") from None
    finally:
        timer.cancel()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _in_time(work: Coroutine[None, None, _T], timer: "asyncio.Future[None]") -> _T:
    """Do it before the timer ends.

    :raises TimeoutError: it took longer
    """
    task = asyncio.ensure_future(work)
    both: set[asyncio.Future[Any]] = {task, timer}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()


def _at_once(path: str, flags: int) -> int:
    """Open a file; what is none, such as a pipe, can't be sought in, but must not be waited for before that."""
    return os.open(path, flags | os.O_NONBLOCK)


def _timer(length: timedelta, sleep: Sleep) -> "asyncio.Future[None]":
    return asyncio.ensure_future(sleep(length.total_seconds()))


def _reason(error: OSError | UnicodeError) -> str:
    """What the system says; of a timeout or a name that can't be resolved it says nothing in ``strerror`` alone."""
    return getattr(error, "strerror", None) or str(error) or "it took too long"


def _refused(rule: str, message: str) -> GatewayError:
    return GatewayError(f"reading.source.{rule}", message, hint="it is tried again; look at the meter if it lasts")
