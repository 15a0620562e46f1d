"""Two servers on one PostgreSQL: each package is answered once, also when one of them is killed."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509

from smpki.errors import TlsError
from smpki.soap.messages import RequestCertificate, ReturnCode
from smpki.soap.read import read_answer
from smpki.soap.write import write_request
from smpki.tls import http_client
from smpki.tls.endpoint import Endpoint
from smpki.tls.profile import WAN_CLIENT

PROGRAM = Path(__file__).with_name("server_program.py")
CLIENTS, PACKAGES = 4, 6


def start(world: Any) -> tuple[subprocess.Popen[str], int]:
    workshop = world.workshop
    job = json.dumps([str(workshop.home.folder), workshop.database, workshop.now.isoformat()])
    process = subprocess.Popen([sys.executable, PROGRAM, job], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_no_package_is_lost_or_granted_twice_when_a_server_is_killed(
    postgres_workshop: Any, world_of: Any, packages: Any
) -> None:
    world = world_of(postgres_workshop)
    gwa = world.administrator()
    names = [f"EABC{number:010}.SMGW" for number in range(CLIENTS * PACKAGES)]
    wanted = [
        gwa.authorised(packages.make(cn, OU="Verwalter.GWA", serialNumber="1", names=world.no_names)) for cn in names
    ]
    servers = [start(world), start(world)]
    ports = [port for _, port in servers]
    killed = asyncio.Event()

    async def ask(package: bytes, port: int) -> tuple[bytes, ...]:
        endpoint = Endpoint(WAN_CLIENT, gwa.identity, lambda _: None, clock=lambda: world.workshop.now)
        for attempt in range(20):
            try:
                async with http_client.client(endpoint, "127.0.0.1", ports[(port + attempt) % 2]) as client:
                    content = write_request(RequestCertificate(package))
                    response = await client.post("/", content=content, headers={"content-type": "text/xml"})
                    answer = read_answer(response.content, RequestCertificate.operation)
                    if answer.code is ReturnCode.OK_CERT_AVAILABLE:
                        return answer.certificates
            except (TlsError, httpx.HTTPError):
                pass
            await asyncio.sleep(0.1)
        raise AssertionError("no answer")

    async def client(number: int) -> list[tuple[bytes, ...]]:
        found = []
        for package in wanted[number * PACKAGES : (number + 1) * PACKAGES]:
            found.append(await ask(package, number))
            if len(found) == 2 and not killed.is_set():
                killed.set()
                servers[1][0].send_signal(signal.SIGKILL)
        return found

    async def story() -> list[tuple[bytes, ...]]:
        answers = await asyncio.gather(*map(client, range(CLIENTS)))
        return [one for those in answers for one in those]

    try:
        answers = world.run(story())
        assert answers == world.run(_again(ask, wanted))
    finally:
        for process, _ in servers:
            process.terminate()
            process.communicate()
    issued = [x509.load_der_x509_certificate(one) for those in answers for one in those]
    assert len({one.serial_number for one in issued}) == 3 * len(names)
    assert len([row for row in world.workshop.tables()["certificate"] if row["kind"] == "smgw-w"]) == len(issued)
    with world.workshop.open() as pki:
        pki.store.recover()
    world.workshop.assert_chain_holds()


async def _again(ask: Any, wanted: list[bytes]) -> list[tuple[bytes, ...]]:
    return [await ask(package, 0) for package in wanted]
