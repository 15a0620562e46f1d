"""A market participant in a process of its own that dies: ``emt_program.py CONFIG TIME POINT COUNT``.

It prints its port, and kills itself when it comes to a point the COUNT-th time: ``write`` (in the middle of the lines),
``commit`` (lines on the disk, database not) or ``answer`` (both, but nobody knows).
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from smpki.service.market_participant.configuration import load_configuration
from smpki.service.market_participant.ledger import Ledger
from smpki.service.market_participant.server import market_participant
from smpki.service.market_participant.store.deliveries import Deliveries
from smpki.service.market_participant.triples import load_triples
from smpki.service.own_triple import FileOrTokenSource

file, moment, point, times = sys.argv[1:]
left = int(times)


def at_point(act: Callable[..., Any], prepare: Callable[..., Any], *arguments: Any) -> Any:
    """The act, or the end: what would come before it, and no more."""
    global left
    left -= 1
    if left == 0:
        prepare(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    return act(*arguments)


def half(descriptor: int, data: bytes, offset: int) -> None:
    write(descriptor, data[: len(data) // 2], offset)


write, add, commit = os.pwrite, Deliveries.add, Ledger.commit
match point:
    case "write":
        os.pwrite = lambda *arguments: at_point(write, half, *arguments)
    case "commit":
        Deliveries.add = lambda *arguments: at_point(add, add, *arguments)  # type: ignore[method-assign]
    case "answer":
        Ledger.commit = lambda *arguments: at_point(commit, commit, *arguments)  # type: ignore[method-assign]


async def main() -> None:
    configuration = load_configuration(Path(file))
    triples = load_triples(configuration.triples, FileOrTokenSource(None, lambda: None))
    async with market_participant(configuration, triples, lambda: datetime.fromisoformat(moment)) as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
