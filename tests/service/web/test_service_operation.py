"""A web service as its operator sees it: what is counted, what the log says of whom, how it ends."""

import asyncio
import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry
from sqlalchemy import event

from smpki.ca.home import Home
from smpki.ca.store.records import serial_text
from smpki.db.engine import reading
from smpki.errors import StoreError
from smpki.hsm.key import KeyUse
from smpki.hsm.keystore import SoftwareKeys
from smpki.hsm.timed import TimedKeys
from smpki.service.operation.log import JsonLines
from smpki.service.operation.metrics import LookedUp
from smpki.service.web.metrics import WebMetrics
from smpki.service.web.server import _refresh, prepare
from smpki.service.web.store.queue import RequestQueue
from smpki.soap.messages import GetServiceStatus, RequestCertificate, ReturnCode
from smpki.soap.read import read_answer
from smpki.soap.write import write_request
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_server import serve_http
from smpki.tls.profile import WAN_SERVER

PROGRAM = Path(__file__).with_name("server_program.py")
XML = {"content-type": "text/xml"}


@asynccontextmanager
async def watched(world: Any) -> AsyncIterator[tuple[Any, CollectorRegistry]]:
    """The service, and its figures."""
    registry = CollectorRegistry()
    with world.workshop.open(**world.options) as pki:
        service = prepare(pki, world.settings)
        registry.register(LookedUp([service.figures], lambda: 0.0, keep=-1))
        async with service.running(WebMetrics(registry)) as server:
            yield world.service_of(server), registry


def test_messages_refusals_certificates_and_signatures_are_counted(world: Any) -> None:
    emt = world.register()
    world.near_the_end()
    package = emt.renewal()

    async def story() -> None:
        async with watched(world) as (service, registry):
            for _ in range(2):
                await service.ask(emt, RequestCertificate(package))
            other = world.packages.make("Andere.EMT")
            refused = await service.ask(emt, RequestCertificate(other))
            async with service.client(emt.identity) as client:
                assert (await client.post("/", content=b"<no", headers=XML)).status_code == 500
            value = registry.get_sample_value
            asked, ok = {"operation": "RequestCertificate"}, "ok_cert_available"
            assert value("smpki_messages_total", {**asked, "code": ok}) == 2
            assert value("smpki_messages_total", {"operation": "", "code": "Fault"}) == 1
            rule = {"code": refused.code, "rule": "service.unauthorised.subject"}
            assert value("smpki_refused_total", {**asked, **rule}) == 1
            assert value("smpki_answer_seconds_count", asked) == 3
            assert value("smpki_issued_total", {"type": "emt"}) == 3  # the second answer was found, not issued
            assert value("smpki_signature_seconds_count") == 3
            assert value("smpki_waiting_packages") == 0

    world.run(story())


def test_days_to_what_ends(world: Any) -> None:
    with world.workshop.open() as pki:
        pki.crls.issue()

    async def story() -> None:
        async with watched(world) as (_, registry):
            kind = {"kind": "sub-ca", "name": "Beispiel.CA", "number": "1"}
            tls = {"kind": "tls", "name": "Beispiel.CA.TLS", "number": "1"}
            assert registry.get_sample_value("smpki_crl_days_left", kind) == 10
            before = registry.get_sample_value("smpki_certificate_days_left", kind)
            assert before is not None and before > 1800
            assert 700 < (registry.get_sample_value("smpki_certificate_days_left", tls) or 0) < 740
            world.workshop.now += timedelta(days=11)
            assert registry.get_sample_value("smpki_crl_days_left", kind) == -1
            assert registry.get_sample_value("smpki_certificate_days_left", kind) == before - 11
            assert registry.get_sample_value("smpki_queue_requests", {"state": "waiting"}) == 0

    world.run(story())


def test_no_figure_reads_whole_tables(world: Any) -> None:
    """They are asked for every few seconds, beside a million certificates."""
    with world.workshop.open() as pki:
        pki.crls.issue()
        service, asked = prepare(pki, world.settings), list[tuple[str, Any]]()
        engine = pki.store._engine
        event.listen(
            engine, "before_cursor_execute", lambda _c, _k, statement, values, *_: asked.append((statement, values))
        )
        assert len(list(service.figures())) == 3
        steps = []
        with reading(engine) as connection:
            for statement, values in [one for one in asked if one[0].startswith("SELECT")]:
                steps += [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert len(steps) > 10
    assert {step for step in steps if step.startswith("SCAN")} == {
        "SCAN certificate USING INDEX ix_certificate_authority"
    }


def test_the_log_says_which_rule_and_which_certificate_but_not_who(
    world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    emt = world.register()

    async def story() -> None:
        async with world.service() as service:
            await service.ask(emt, RequestCertificate(world.packages.make("Andere.EMT")))
            await service.ask(emt, GetServiceStatus("1"))

    with caplog.at_level(logging.INFO, "smpki"):
        world.run(story())
    records = [record for record in caplog.records if record.name.startswith("smpki")]
    lines = [JsonLines().format(record) for record in records]
    refused, answered = (json.loads(line) for line in lines if '"web.' in line)
    serial = serial_text(emt.certificates[0].serial_number)
    assert (refused["event"], refused["operation"], refused["role"]) == ("web.refused", "RequestCertificate", "emt")
    assert refused["error"] == "service.unauthorised.subject"
    assert refused["serial"] == answered["serial"] == serial
    assert (answered["event"], answered["code"]) == ("web.answered", "ok_received_correctly")
    assert not [line for line in lines if "Firma" in line or "Andere" in line]
    assert any("Firma" in JsonLines(personal=True).format(record) for record in records)


def test_an_error_that_nobody_expected_does_not_end_the_looks_for_revocations() -> None:
    class Peers:
        looks = 0

        def refresh(self) -> None:
            self.looks += 1
            raise ValueError if self.looks % 2 else StoreError("store.io", "away")

    async def look(peers: Any) -> None:
        async with asyncio.timeout(30):
            looking = asyncio.create_task(_refresh(peers, 0.0))
            while peers.looks < 3 and not looking.done():
                await asyncio.sleep(0.001)
            looking.cancel()

    peers = Peers()
    asyncio.run(look(peers))
    assert peers.looks >= 3


def test_keys_that_are_timed_are_the_same_keys() -> None:
    seconds: list[float] = []
    ticks = iter(range(10))
    keys = SoftwareKeys()
    timed = TimedKeys(keys, seconds.append, lambda: float(next(ticks)))
    made = timed.generate("a", ec.BrainpoolP256R1(), KeyUse.SIGN)
    found = timed.key(label="a")
    signature = found.sign(b"data", ec.ECDSA(hashes.SHA256()))
    made.public_key().verify(signature, b"data", ec.ECDSA(hashes.SHA256()))
    assert seconds == [1.0]
    assert timed.key_id(found) == keys.key_id(keys.key(label="a"))
    with pytest.raises(TypeError):
        found.private_numbers()
    timed.destroy(found)
    assert not keys._keys


class Stalling:
    """A participant's service that takes a result and does not answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.set()
        await asyncio.Event().wait()


def test_a_result_that_is_under_way_when_it_ends_is_given_back_at_once(world: Any, changed_policy: Any) -> None:
    """So that another process, or the next start, need not wait for the lease to end."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    emt = world.register(url=f"https://127.0.0.1:{port}/results")
    world.near_the_end()
    world.options["policy"] = changed_policy({"issuing.manual_approval": ["emt"]})

    async def story() -> None:
        receiver = Stalling()
        endpoint = Endpoint(WAN_SERVER, emt.identity, lambda _: None, clock=lambda: world.workshop.now)
        async with await serve_http(receiver, endpoint, "127.0.0.1", port):
            async with world.service() as service:
                later = await service.ask(emt, RequestCertificate(emt.renewal(), "id 1"))
                assert later.code is ReturnCode.OK_SYNTAX
                with world.workshop.open() as pki:
                    queue = pki.store.beside(RequestQueue)
                    (request,) = queue.list()
                    queue.approve(request.id)
                await receiver.asked.wait()
                (taken,) = rows(world)
                assert (taken["state"], taken["taken_by"] is None) == ("answered", False)
            (given_back,) = rows(world)
            assert (given_back["state"], given_back["taken_by"], given_back["attempts"]) == ("answered", None, 0)

    world.run(story())
    world.workshop.assert_chain_holds()


def rows(world: Any) -> list[dict[str, Any]]:
    return list(world.workshop.tables()["queued_request"])


def test_told_to_end_in_the_middle_of_a_request_it_answers_first(world: Any) -> None:
    emt = world.register()
    world.near_the_end()
    message = write_request(RequestCertificate(emt.renewal()))
    home: Home = world.workshop.home
    job = json.dumps([str(home.folder), world.workshop.database, world.workshop.now.isoformat()])
    process = subprocess.Popen([sys.executable, PROGRAM, job], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline())

    async def halves() -> AsyncIterator[bytes]:
        yield message[:100]
        process.send_signal(signal.SIGTERM)
        while listens(port):
            await asyncio.sleep(0.01)
        yield message[100:]

    async def story() -> None:
        service = world.service_of(type("Server", (), {"port": port})())
        async with service.client(emt.identity, timeout=60) as client:
            fields = {**XML, "content-length": str(len(message))}
            answer = await client.post("/", content=halves(), headers=fields)
            assert read_answer(answer.content, RequestCertificate.operation).code is ReturnCode.OK_CERT_AVAILABLE

    try:
        world.run(story())
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.communicate()
    world.workshop.assert_chain_holds()


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
