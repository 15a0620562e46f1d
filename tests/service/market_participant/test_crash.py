"""However a server ends, each reading is in its files once, and what was acknowledged is there."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from smpki.errors import TlsError

World = Any
PROGRAM = Path(__file__).with_name("emt_program.py")
ROUNDS = 2


@contextmanager
def running(world: World, point: str, times: int) -> Iterator[SimpleNamespace]:
    """A server that will die."""
    arguments = [str(world.folder / "emt.yaml"), world.now().isoformat(), point, str(times)]
    with subprocess.Popen([sys.executable, str(PROGRAM), *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield SimpleNamespace(port=int(process.stdout.readline()))
        finally:
            process.kill()


@pytest.mark.parametrize("point", ["write", "commit", "answer"])
def test_no_reading_is_lost_or_doubled_by_a_crash(point: str, world: World) -> None:
    world.configuration(output={"octets_per_file": 1000})
    gateway = world.gateway()
    deliveries = [world.delivery(gateway) for _ in range(6)]
    answers: dict[str, list[int]] = {one.delivery_id: [] for one in deliveries}

    async def bring(server: Any) -> None:
        async with world.client(server, gateway) as client:
            for delivery in deliveries:
                seen = answers[delivery.delivery_id]
                if not seen:
                    try:
                        seen.append((await world.deliver(client, gateway, delivery)).status_code)
                    except (TlsError, httpx.TransportError):
                        return

    for times in (*range(1, ROUNDS + 1), 1000):
        with running(world, point, times) as server:
            world.run(bring(server))
        acknowledged = [one for one in deliveries if answers[one.delivery_id]]
        lines = world.committed()
        assert all(line in lines for line in world.taken(*acknowledged))
    statuses = [status for seen in answers.values() for status in seen]
    known = ROUNDS if point == "answer" else 0  # who dies behind the commit has taken what it has not answered
    assert sorted(statuses) == [204] * (len(deliveries) - known) + [409] * known
    assert world.lines() == world.taken(*deliveries)
    assert len(list(world.data.glob("readings-*.jsonl"))) > 1


def test_two_servers_don_t_share_a_folder(world: World) -> None:
    world.configuration()
    with running(world, "never", 1):
        arguments = [str(world.folder / "emt.yaml"), world.now().isoformat(), "never", "1"]
        second = subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert "emt.data.in_use" in second.stderr
