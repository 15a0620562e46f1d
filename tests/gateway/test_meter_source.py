"""Meters at a file and at a TCP port: telegrams come, troubles are told and tried again."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smpki.gateway.meter_source import Event, Patience, SourceTrouble, from_file, from_tcp
from smpki.gateway.readings import Obis
from smpki.gateway.sml_source import SmlSource, Telegram
from smpki.gateway.sml_telegram import Register, telegram
from smpki.policy.device_id import DeviceId

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
METER = DeviceId.parse("1EMH0012345678")
PATIENCE = Patience(silence=timedelta(seconds=60), first=timedelta(seconds=1), longest=timedelta(seconds=5))


def built(value: int) -> bytes:
    return telegram(METER, [Register(Obis.parse("1-0:1.8.0"), value)])


def told(event: Event) -> int | str:
    """The value of a telegram; the rule that something else broke."""
    if isinstance(event, Telegram):
        return event.readings[0].value
    return event.error.code.removeprefix("reading.")


class Time:
    """Injected sleep: pauses are noted and over at once, but the 60 seconds of silence pass only when told."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.silence = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds == 60:
            await self.silence.wait()
        else:
            self.pauses.append(seconds)
            await asyncio.sleep(0)


async def several(events: AsyncIterator[Event], count: int) -> list[int | str]:
    async with asyncio.timeout(10):
        return [told(await anext(events)) for _ in range(count)]


Session = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def meter(*sessions: Session) -> AsyncIterator[int]:
    """An adapter at a port; each connection is served by the next of the sessions."""
    waiting = list(sessions)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await waiting.pop(0)(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def sends(*parts: bytes, then: Awaitable[object] | None = None) -> Session:
    async def session(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        if then is not None:
            await then

    return session


def unused_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


# At a file


def test_a_file_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "meter"
    file.write_bytes(b"junk" + b"".join(map(built, range(1000))) + built(5)[:-1])

    async def run() -> list[int | str]:
        return [told(event) async for event in from_file(file, SmlSource(), clock=lambda: NOON)]

    assert asyncio.run(run()) == [*range(1000), "sml.cut"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    async def run() -> list[Event]:
        return [event async for event in from_file(tmp_path / "meter", SmlSource(), clock=lambda: NOON)]

    (event,) = asyncio.run(run())
    assert isinstance(event, SourceTrouble)
    assert (event.at, event.error.code) == (NOON, "reading.source.file")
    assert str(tmp_path / "meter") in event.error.message


def test_a_long_file_keeps_nothing_else_waiting(tmp_path: Path) -> None:
    file = tmp_path / "meter"
    file.write_bytes(b"\0" * 1_000_000)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    async def main() -> None:
        clock = asyncio.create_task(tick())
        async for _ in from_file(file, SmlSource(), clock=lambda: NOON):
            pass
        clock.cancel()

    asyncio.run(main())
    assert ticks > 100


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "meter")

    async def main() -> list[int | str]:
        events = from_file(tmp_path / "meter", SmlSource(), clock=lambda: NOON)
        return [told(event) async for event in events]

    assert asyncio.run(asyncio.wait_for(main(), 10)) == ["source.file"]


def test_a_file_that_grows_is_followed(tmp_path: Path) -> None:
    file = tmp_path / "meter"
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: file.write_bytes(built(1) + built(2)[:20]),
        lambda: file.write_bytes(file.read_bytes() + built(2)[20:]),
        lambda: None,
        lambda: file.write_bytes(file.read_bytes() + built(3)[:10]),
        lambda: file.write_bytes(built(4)),
        file.unlink,
        lambda: None,
        lambda: file.write_bytes(built(4) + built(5)),
    ]

    async def sleep(seconds: float) -> None:
        assert seconds == 2
        steps.pop(0)()

    async def run() -> list[int | str]:
        events = from_file(file, SmlSource(), clock=lambda: NOON, follow=timedelta(seconds=2), sleep=sleep)
        async with aclosing(events):
            return await several(events, 7)

    assert asyncio.run(run()) == ["source.file", 1, 2, "sml.cut", 4, "source.file", 5]


# At a TCP port


def test_telegrams_of_a_port() -> None:
    async def run() -> list[int | str]:
        wrong = built(3)[:-1] + b"?"
        async with meter(sends(built(1) + built(2)[:9], built(2)[9:] + wrong, built(4))) as port:
            events = from_tcp("127.0.0.1", port, SmlSource(), clock=lambda: NOON, patience=PATIENCE, sleep=Time().sleep)
            async with aclosing(events):
                return await several(events, 5)

    assert asyncio.run(run()) == [1, 2, "sml.crc", 4, "source.closed"]


def test_a_closed_connection_is_opened_again() -> None:
    async def run() -> tuple[list[int | str], list[float]]:
        clock = Time()
        async with meter(sends(built(1)[:9]), sends(), sends(built(1)), sends(built(2))) as port:
            events = from_tcp("127.0.0.1", port, SmlSource(), clock=lambda: NOON, patience=PATIENCE, sleep=clock.sleep)
            async with aclosing(events):
                return await several(events, 7), clock.pauses

    found, pauses = asyncio.run(run())
    assert found == ["sml.cut", "source.closed", "source.closed", 1, "source.closed", 2, "source.closed"]
    assert pauses == [1, 2, 1]


def test_pauses_grow_while_nobody_listens() -> None:
    async def run() -> tuple[list[int | str], list[float]]:
        clock = Time()
        events = from_tcp(
            "127.0.0.1", unused_port(), SmlSource(), clock=lambda: NOON, patience=PATIENCE, sleep=clock.sleep
        )
        async with aclosing(events):
            return await several(events, 6), clock.pauses

    found, pauses = asyncio.run(run())
    assert found == ["source.unreachable"] * 6
    assert pauses == [1, 2, 4, 5, 5]


@pytest.mark.parametrize("host", ["nobody.invalid", f"{'long' * 16}.invalid"])
def test_a_name_that_nobody_knows_or_that_is_none(host: str) -> None:
    async def run() -> SourceTrouble:
        events = from_tcp(host, 1, SmlSource(), clock=lambda: NOON, sleep=Time().sleep)
        async with aclosing(events):
            event = await anext(events)
            assert isinstance(event, SourceTrouble)
            return event

    trouble = asyncio.run(run())
    assert trouble.error.code == "reading.source.unreachable"
    assert f"{host}:1" in trouble.error.message


def silent_after(first: bytes) -> tuple[list[int | str], bool]:
    """A meter that sends something and then hangs; whether the gateway closed the connection."""

    async def run() -> tuple[list[int | str], bool]:
        clock, closed = Time(), asyncio.Event()

        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(first)
            await asyncio.sleep(0.05)
            clock.silence.set()
            await reader.read()
            closed.set()

        async with meter(session) as port:
            events = from_tcp("127.0.0.1", port, SmlSource(), clock=lambda: NOON, patience=PATIENCE, sleep=clock.sleep)
            async with aclosing(events):
                found: list[int | str] = []
                while "source.silent" not in found:
                    found += await several(events, 1)
            async with asyncio.timeout(5):
                await closed.wait()
        return found, closed.is_set()

    return asyncio.run(run())


def test_a_silent_meter_is_reported_and_its_connection_closed() -> None:
    assert silent_after(b"") == (["source.silent"], True)
    assert silent_after(b"junk" * 1000) == (["source.silent"], True)
    assert silent_after(built(1)) == ([1, "source.silent"], True)
    assert silent_after(built(1) + built(2)[:30]) == ([1, "sml.cut", "source.silent"], True)


def test_a_slow_reader_is_no_silent_meter() -> None:
    async def run() -> list[int | str]:
        clock = Time()
        async with meter(sends(built(1), built(2))) as port:
            events = from_tcp("127.0.0.1", port, SmlSource(), clock=lambda: NOON, patience=PATIENCE, sleep=clock.sleep)
            async with aclosing(events):
                found = await several(events, 1)
                clock.silence.set()
                await asyncio.sleep(0.05)
                clock.silence.clear()
                return found + await several(events, 2)

    assert asyncio.run(run()) == [1, 2, "source.closed"]


def test_nothing_is_left_running_when_the_reader_stops() -> None:
    async def run() -> set[asyncio.Task[None]]:
        async with meter(sends(built(1), then=asyncio.sleep(5))) as port:
            events = from_tcp("127.0.0.1", port, SmlSource(), clock=lambda: NOON, patience=PATIENCE, sleep=Time().sleep)
            await several(events, 1)
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.wait([waiting])
            await asyncio.sleep(0)
            assert waiting.cancelled()
        return {task for task in asyncio.all_tasks() if "serve" not in repr(task)} - {asyncio.current_task()}

    assert asyncio.run(run()) == set()
