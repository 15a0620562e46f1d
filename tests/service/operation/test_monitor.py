"""Health, readiness and metrics over HTTP; figures are looked up seldom, and a look that hangs hurts nobody."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from smpki.errors import StoreError
from smpki.service.operation.health import Readiness
from smpki.service.operation.metrics import LookedUp, new_registry
from smpki.service.operation.monitor import monitor
from smpki.service.plain_http import http_server


class Server:
    """Something that is monitored.

    :ivar error: what is in the way
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.seconds = 0.0
        self.looks = 0
        self.registry = CollectorRegistry()
        self.registry.register(LookedUp([self.look], lambda: self.seconds))
        self.readiness = Readiness(self.check, lambda: self.seconds)

    def check(self) -> None:
        self.looks += 1
        if self.error:
            raise self.error

    def look(self) -> Iterator[Metric]:
        self.check()
        return iter([GaugeMetricFamily("figure", "A figure.", value=self.looks)])

    def figures(self) -> dict[str, float]:
        with asyncio.Runner() as runner:
            text = runner.run(self.ask("/metrics")).text
        return {
            sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples
        }

    async def ask(self, path: str, method: str = "GET") -> httpx.Response:
        transport = httpx.ASGITransport(monitor(self.readiness, self.registry))
        async with httpx.AsyncClient(transport=transport, base_url="http://monitor") as client:
            return await client.request(method, path)


@pytest.fixture
def server() -> Server:
    return Server()


def run(*coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
    async def together() -> list[Any]:
        return await asyncio.gather(*coroutines)

    return asyncio.run(asyncio.wait_for(together(), 30))


def test_it_lives_and_is_ready(server: Server) -> None:
    health, ready = run(server.ask("/health"), server.ask("/ready"))
    assert (health.status_code, health.json()) == (200, {"alive": True})
    assert (ready.status_code, ready.json()) == (200, {"ready": True})


def test_it_lives_but_is_not_ready_until_what_is_in_the_way_is_gone(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.error = StoreError("store.unreachable", "the database cannot be reached")
    health, ready = run(server.ask("/health"), server.ask("/ready"))
    assert health.status_code == 200
    assert (ready.status_code, ready.json()) == (503, {"ready": False, "error": "store.unreachable"})
    server.seconds += 6
    run(server.ask("/ready"))
    server.error = None
    server.seconds += 6
    (ready,) = run(server.ask("/ready"))
    assert ready.status_code == 200
    told = [record.msg.name for record in caplog.records if record.name == "smpki.service"]
    assert told == ["ready.not"]  # once


def test_who_asks_often_gets_what_was_found_a_moment_ago(server: Server) -> None:
    for _ in range(3):
        assert run(server.ask("/ready"))[0].status_code == 200
    assert server.looks == 1
    server.seconds += 6
    run(server.ask("/ready"))
    assert server.looks == 2


def test_a_check_that_hangs_is_no_answer_and_is_not_begun_again() -> None:
    end, looks = threading.Event(), list[int]()

    def hang() -> None:
        looks.append(1)
        end.wait(30)

    async def story() -> list[str | None]:
        readiness = Readiness(hang, lambda: 0.0, keep=-1, patience=0.01)
        found = [await readiness.complaint() for _ in range(3)]
        end.set()
        return [one.code if one else None for one in found]

    assert run(story()) == [["service.check.hangs"] * 3]
    assert looks == [1]


def test_a_server_without_a_check_is_ready() -> None:
    assert run(Readiness(None, lambda: 0.0).complaint()) == [None]


def test_figures_are_looked_up_seldom(server: Server) -> None:
    assert server.figures() == server.figures() == {"figure": 1, "smpki_looks_failed": 0}
    server.seconds += 11
    assert server.figures()["figure"] == 2


def test_where_a_look_fails_the_rest_is_told(server: Server) -> None:
    server.error = StoreError("store.unreachable", "the database cannot be reached")
    assert server.figures() == {"smpki_looks_failed": 1}
    server.error = None
    server.seconds += 11
    assert server.figures() == {"figure": 2, "smpki_looks_failed": 0}


def test_a_check_that_fails_in_another_way_is_no_yes(server: Server) -> None:
    server.error = RuntimeError("something")
    (ready,) = run(server.ask("/ready"))
    assert (ready.status_code, ready.json()["error"]) == (503, "service.check.failed")


OTHERS: dict[str, tuple[str, str, int]] = {
    "another path": ("GET", "/", 404),
    "a change": ("POST", "/metrics", 405),
    "a head": ("HEAD", "/metrics", 200),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_requests(name: str, server: Server) -> None:
    method, path, status = OTHERS[name]
    (answer,) = run(server.ask(path, method))
    assert (answer.status_code, answer.content) == (status, b"")


def test_over_a_socket(server: Server) -> None:
    async def story() -> httpx.Response:
        async with (
            http_server(monitor(server.readiness, new_registry()), "127.0.0.1", 0) as port,
            httpx.AsyncClient() as client,
        ):
            return await client.get(f"http://127.0.0.1:{port}/metrics")

    (answer,) = run(story())
    assert answer.headers["content-type"].startswith("text/plain")
    assert "process_cpu_seconds_total" in answer.text
