"""Two servers on one PostgreSQL: each package is answered once, also when one of them is killed and comes back."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from smpki.errors import TlsError
from smpki.soap.messages import RequestCertificate, ReturnCode
from smpki.soap.read import read_answer
from smpki.soap.write import write_request

PROGRAM = Path(__file__).with_name("server_program.py")
XML = {"content-type": "text/xml"}
PATIENCE = 600  # seconds; the machine may be busy with something else

Certificates = tuple[bytes, ...]


class Server:
    """A server in a process of its own."""

    def __init__(self, world: Any) -> None:
        workshop = world.workshop
        self._job = [str(workshop.home.folder), workshop.database, workshop.now.isoformat()]
        self.start()

    def start(self) -> None:
        """Start it, or another in its place."""
        command = [sys.executable, PROGRAM, json.dumps(self._job)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Load:
    """Clients that each ask for their packages, one after another, and go to the other server when one fails them.

    :param wanted: an administrator and its packages, for each client
    :param kill_at: so many answers after which the second server is killed
    :param back: whether it is started again
    """

    def __init__(self, world: Any, wanted: Sequence[tuple[Any, Sequence[bytes]]], *, kill_at: int, back: bool) -> None:
        self._world = world
        self._wanted = wanted
        self._kill_at = kill_at
        self._back = back
        self._servers = [Server(world), Server(world)]
        self.answers: dict[bytes, Certificates] = {}

    def run(self) -> None:
        try:
            asyncio.run(asyncio.wait_for(self._run(), PATIENCE))
        finally:
            for server in self._servers:
                server.kill()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(len(self._wanted)):
                group.create_task(self._client(number))
        if self._back:
            await self._restart
        everything = [(gwa, package) for gwa, packages in self._wanted for package in packages]
        for gwa, package in everything[:: max(1, len(everything) // 24)]:  # once more: the same certificates
            assert await self._ask(gwa, [package], 0) == [self.answers[package]]

    async def _client(self, number: int) -> None:
        gwa, packages = self._wanted[number]
        await self._ask(gwa, packages, number)

    async def _ask(self, gwa: Any, packages: Sequence[bytes], which: int) -> list[Certificates]:
        """The answers; the connection is kept as long as the server lives."""
        waiting = list(reversed(packages))
        found = []
        while waiting:
            service = self._world.service_of(self._servers[which % 2])
            try:
                async with service.client(gwa.identity, timeout=PATIENCE) as client:
                    while waiting:
                        content = write_request(RequestCertificate(waiting[-1]))
                        response = await client.post("/", content=content, headers=XML)
                        answer = read_answer(response.content, RequestCertificate.operation)
                        if answer.code is not ReturnCode.OK_CERT_AVAILABLE:
                            break
                        found.append(answer.certificates)
                        self._answered(waiting.pop(), answer.certificates)
            except (TlsError, httpx.HTTPError):
                pass
            which += 1
            await asyncio.sleep(0.1)
        return found

    def _answered(self, package: bytes, certificates: Certificates) -> None:
        assert self.answers.setdefault(package, certificates) == certificates
        if len(self.answers) == self._kill_at:
            self._servers[1].kill()
            if self._back:
                self._restart = asyncio.create_task(asyncio.to_thread(self._servers[1].start))


def check(load: Load, world: Any, packages: int) -> None:
    """Every package was answered, once; nothing else was issued; the audit chain is whole."""
    issued = [x509.load_der_x509_certificate(one) for those in load.answers.values() for one in those]
    assert (len(load.answers), len(issued)) == (packages, 3 * packages)
    assert len({one.serial_number for one in issued}) == len(issued)
    tables = world.workshop.tables()
    stored = {row["der"] for row in tables["certificate"] if row["kind"] == "smgw-w"}
    assert stored == {one for those in load.answers.values() for one in those}
    granted = Counter(
        json.loads(row["detail"])["package"]
        for row in tables["audit"]
        if (row["action"], row["outcome"]) == ("issue", "done") and row["subject"].endswith(".SMGW")
    )
    assert (len(granted), set(granted.values())) == (packages, {1})
    with world.workshop.open() as pki:
        assert not [one for one in pki.store.open_intents() if not one.closed]
    world.workshop.assert_chain_holds()


def wanted(world: Any, clients: int, each: int) -> list[tuple[Any, list[bytes]]]:
    found = []
    for number in range(clients):
        gwa = world.administrator(f"Verwalter {number}.GWA")
        names = (f"EABC{number:05}{one:05}.SMGW" for one in range(each))
        options = {"OU": f"Verwalter {number}.GWA", "serialNumber": "1", "names": world.no_names}
        found.append((gwa, [gwa.authorised(world.packages.make(cn, **options)) for cn in names]))
    return found


def test_no_package_is_lost_or_granted_twice_when_a_server_is_killed(postgres_workshop: Any, world_of: Any) -> None:
    world = world_of(postgres_workshop)
    load = Load(world, wanted(world, 4, 6), kill_at=8, back=False)
    load.run()
    check(load, world, 24)


@pytest.mark.slow
def test_2000_packages_by_32_clients_while_a_server_is_killed_and_started_again(
    postgres_workshop: Any, world_of: Any
) -> None:
    world = world_of(postgres_workshop)
    each = -(-2000 // 32)
    load = Load(world, wanted(world, 32, each), kill_at=700, back=True)
    load.run()
    check(load, world, 32 * each)
