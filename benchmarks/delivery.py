"""How fast do readings get from gateways to a market participant, compared with content protection alone?

In turns, keys in memory, the same deliveries: protected and opened, and nothing else; the whole way, in one process,
from the gateways' databases over HTTP and TLS to the participant's files; and the participant's part of it, a server to
which another process brings messages that were made before. Each gateway brings its deliveries over one connection.
"""

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from common import machine, parser, print_json, print_table
from delivering import Gateway, Participant, post

from smpki.gateway.slots import Slot
from smpki.service.market_participant.server import market_participant
from smpki.tls.identity import Identity

_GATEWAYS, _DELIVERIES = 8, 16
_SIZES = (4, 24, 96)
"""Readings in a delivery: the quarter-hours of an hour, of six hours, of a day."""
_QUICK, _LONG = 25.0, 120.0  # seconds from the start in which rounds have to end

Seconds = Mapping[str, float]
"""What a round's deliveries took: ``alone``, ``whole``, ``server``."""


class OtherProcess:
    """Brings messages. It begins before there is any thread or event loop."""

    def __init__(self, participant: Participant, identities: Sequence[Identity]) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        context.Process(target=_bring, args=(theirs, participant, identities), daemon=True).start()

    async def bring(self, messages: Sequence[Sequence[bytes]], port: int) -> float:
        """Have the messages of each gateway brought to a server of this process.

        :returns: seconds
        """
        self._pipe.send((messages, port))
        await self._answer()
        begin = time.perf_counter()
        self._pipe.send("now")
        await self._answer()
        return time.perf_counter() - begin

    async def _answer(self) -> None:
        loop, there = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._pipe.fileno(), there.set)
        await there.wait()
        loop.remove_reader(self._pipe.fileno())
        self._pipe.recv()


def _bring(pipe: Connection, participant: Participant, identities: Sequence[Identity]) -> None:
    async def bring(messages: Sequence[Sequence[bytes]], port: int) -> None:
        await asyncio.gather(
            *(
                post(identity, several, participant, port)
                for identity, several in zip(identities, messages, strict=True)
            )
        )

    while True:
        messages, port = pipe.recv()
        pipe.send("ready")
        pipe.recv()
        asyncio.run(bring(messages, port))
        pipe.send("done")


class Bench:
    """The gateways, and two servers of their participant: one for the whole way, and one for its part of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._participant = Participant()
        self._gateways = [Gateway(number) for number in range(_GATEWAYS)]
        identities = [gateway.module.tls_identity(Slot.WAN_TLS, ()) for gateway in self._gateways]
        self._other = OtherProcess(self._participant, identities)

    async def measure(self, end: float) -> list[Mapping[int, Seconds]]:
        """Rounds, as long as there is time for another.

        :param end: in seconds of ``time.monotonic``
        :returns: by readings in a delivery
        """
        first, second = (
            market_participant(
                self._participant.configuration(self._folder / name, self._gateways),
                [self._participant.triple],
                lambda: datetime.now(UTC),
            )
            for name in ("first", "second")
        )
        taken: list[Mapping[int, Seconds]] = []
        async with first as server, second as other:
            for gateway in self._gateways:
                gateway.start(self._folder, self._participant, server.port)
            await self._round(other.port, 1)  # all is loaded then, and statements are compiled
            longest = 0.0
            while not taken or time.monotonic() + longest < end:
                begin = time.monotonic()
                taken.append({size: await self._round(other.port, size) for size in _SIZES})
                longest = max(longest, time.monotonic() - begin)
        return taken

    async def _round(self, port: int, size: int) -> Seconds:
        for gateway in self._gateways:
            gateway.measure(_DELIVERIES, size)
        begin = time.perf_counter()
        await asyncio.gather(*(gateway.deliver() for gateway in self._gateways))
        whole = time.perf_counter() - begin
        documents = [gateway.documents() for gateway in self._gateways]
        begin = time.perf_counter()
        messages = [
            [gateway.protect(document, self._participant) for document in several]
            for gateway, several in zip(self._gateways, documents, strict=True)
        ]
        opened = [
            [self._participant.open(message, gateway) for message in several]
            for gateway, several in zip(self._gateways, messages, strict=True)
        ]
        alone = time.perf_counter() - begin
        if opened != documents:
            raise SystemExit("what was opened is not what was protected")
        return {"alone": alone, "whole": whole, "server": await self._other.bring(messages, port)}


def main() -> None:
    """Measure and print."""
    options = parser("How fast readings get from gateways to a market participant.")
    options.add_argument("--folder", type=Path, help="where to write: on the disk that is to be measured")
    chosen = options.parse_args()
    begin = time.monotonic()
    with TemporaryDirectory(prefix="smpki-benchmark-", dir=chosen.folder) as folder:
        about = machine(Path(folder))
        bench = Bench(Path(folder))
        rounds = asyncio.run(bench.measure(begin + (_QUICK if chosen.quick else _LONG)))
    each = _GATEWAYS * _DELIVERIES
    rates, ratios = {}, {}
    for size in _SIZES:
        seconds = {kind: statistics.median(one[size][kind] for one in rounds) for kind in ("alone", "whole", "server")}
        rates[size] = {kind: round(each * size / those) for kind, those in seconds.items()}
        for kind in ("whole", "server"):
            ratio = statistics.median(one[size]["alone"] / one[size][kind] for one in rounds)
            ratios[f"{kind}_of_cms_{size}"] = round(ratio, 3)
    if chosen.json:
        result = {
            "benchmark": "delivery",
            "ratios": ratios,
            "readings_per_second": rates,
            "rounds": len(rounds),
            "machine": about,
            "seconds": round(time.monotonic() - begin, 1),
        }
        print_json(result)
        return
    print_table(
        ("readings a second", "CMS alone", "whole way", "of that", "server", "of that"),
        [
            (
                f"{size} in a delivery",
                f"{rates[size]['alone']:,}",
                *(
                    text
                    for kind in ("whole", "server")
                    for text in (f"{rates[size][kind]:,}", f"{ratios[f'{kind}_of_cms_{size}']:.2f}")
                ),
            )
            for size in _SIZES
        ],
    )


if __name__ == "__main__":
    main()
