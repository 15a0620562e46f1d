"""A gateway that is killed again and again: nothing is lost, nothing reaches the participant as two deliveries."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

import smpki
from smpki.errors import StoreError
from smpki.gateway.readings import Reading
from smpki.gateway.store.store import GatewayStore

PROGRAM = Path(__file__).with_name("gateway_store_program.py")


class Gateway:
    """Runs of the program on one store."""

    def __init__(self, database: Path, received: Path) -> None:
        self.database, self.received = database, received
        self.stored: list[int] = []  # that the program told of

    def run(self, count: int, kill_after: float | None = None) -> int:
        """Go on after the last reading.

        :param kill_after: seconds after the first reading of this run
        """
        first = self.stored[-1] + 1 if self.stored else 0
        command = [sys.executable, PROGRAM, self.database, self.received, str(first), str(count)]
        environment = {"PYTHONPATH": str(Path(smpki.__file__).parents[1])}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            self.stored.append(int(process.stdout.readline()))
            if kill_after is not None:
                time.sleep(kill_after)
                process.kill()
            self.stored += map(int, process.stdout.read().split())
        return process.returncode

    def deliveries(self) -> dict[str, str]:
        """What the participant has, by id; asserts that an id always came with the same octets."""
        found: dict[str, list[str]] = {}
        for line in self.received.read_text().splitlines():
            id, *message = json.loads(line)
            assert found.setdefault(id, message) == message
        return {id: document for id, (_, document) in found.items()}


@pytest.mark.parametrize("rounds", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_killed_at_any_moment(database: Path, tmp_path: Path, rounds: int) -> None:
    gateway, chance = Gateway(database, tmp_path / "received"), random.Random(rounds)
    for _ in range(rounds):
        assert gateway.run(100_000, kill_after=chance.uniform(0, 0.1)) == -signal.SIGKILL
    assert gateway.run(12 - gateway.stored[-1] % 6) == 0  # the last one makes a delivery, and all are brought

    store = GatewayStore.open(database)
    store.check()
    with store.view() as view:
        stored = [one.reading.value for one in view.readings.page(limit=10**6)]
        assert view.readings.conflicts() == ()
        assert set(view.outbox.counts()) == {("emt", "acknowledged")}
        log = view.logs.page("system", limit=10**6)
        sent = {one.text for one in view.logs.page("consumer", consumer="anna", limit=10**6)}
    store.close()

    assert stored == list(range(gateway.stored[-1] + 1))
    assert set(gateway.stored) <= set(stored)
    received = gateway.deliveries()
    assert [value for document in received.values() for value in json.loads(document)] == stored
    assert sent == set(received)
    assert [one.record_number for one in log] == list(range(1, len(log) + 1))


def test_a_torn_write_ahead_log_loses_whole_transactions_only(
    database: Path, tmp_path: Path, reading: Callable[..., Reading], noon: datetime
) -> None:
    """What a power failure can leave of writes that nobody was told of as done: any beginning of them."""
    store = GatewayStore.open(database)
    for quarter in range(6):
        with store.work() as work:
            work.readings.add([reading(quarter), reading(quarter + 100)], now=noon)
    log = database.with_name("gateway.db-wal").read_bytes()
    seen = set()
    for length in range(0, len(log) + 1, 1500):
        copy = Path(shutil.copy(database, tmp_path / "copy.db"))
        copy.with_name("copy.db-wal").write_bytes(log[:length])
        torn = GatewayStore.open(copy)
        torn.check()
        with torn.work() as work:
            found = [one.reading for one in work.readings.page()]
            work.readings.add([reading(50)], now=noon)
        torn.close()
        assert len(found) % 2 == 0
        seen.add(len(found))
        for file in tmp_path.glob("copy.db*"):
            file.unlink()
    store.close()
    assert seen >= {0, 2, 4, 6, 8, 10}


def test_a_store_that_vanished_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        GatewayStore.open(tmp_path / "gateway.db")
    assert refused.value.code == "store.missing"
    assert "restore" in refused.value.hint
    assert list(tmp_path.iterdir()) == []
