"""What commands share that serve until they are told to end: log, signals, the line that says they are ready."""

import asyncio
import json
import logging
import signal
import time
from collections.abc import Mapping
from contextlib import suppress

import click

from smpki_cli.common import Output, printable


class _Line(logging.Formatter):
    """UTC; what strangers sent can't begin a line of its own."""

    converter = time.gmtime  # type: ignore[assignment]

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message).replace("\n", "\\n")
        return super().formatMessage(record)


def log_to_stderr() -> None:
    """Let this process's log go to the error stream: all that we say, and other packages' warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Line("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("smpki").setLevel(logging.INFO)


def say_ready(output: Output, facts: Mapping[str, object]) -> None:
    """Print the line that a server prints once it can be reached.

    :param facts: such as addresses
    """
    if output.as_json:
        click.echo(json.dumps({"ready": True, **facts}))
    else:
        click.echo(f"ready: {', '.join(f'{name} {value}' for name, value in facts.items())}")


async def until_told(seconds: float | None = None) -> None:
    """Wait for SIGTERM or SIGINT.

    :param seconds: end after so many in any case
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    with suppress(TimeoutError):
        await asyncio.wait_for(told.wait(), seconds)
