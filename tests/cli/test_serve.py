"""``smpki register``, ``serve`` and ``queue`` at the command line: the CA's keys in SoftHSM, TLS by pkcs11-provider."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from smpki.service.own_triple import read_identity
from smpki.soap.messages import Answer, GetServiceStatus, Request, RequestCertificate, ReturnCode
from smpki.soap.read import read_answer
from smpki.soap.write import write_request
from smpki.tls import http_client
from smpki.tls.endpoint import Endpoint
from smpki.tls.profile import WAN_CLIENT

PROGRAM = [sys.executable, "-c", "from smpki_cli.main import main; main(prog_name='smpki')"]
XML = {"content-type": "text/xml"}


def smpki(home: Path, *arguments: str, code: int = 0) -> Any:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SMPKI_")}
    command = [*PROGRAM, "--home", str(home), *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[int]:
    """A service that runs; its port."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SMPKI_")}
    command = [*PROGRAM, "--home", str(home), "serve", "--listen", "127.0.0.1:0", *arguments, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield int(json.loads(line)["address"].rpartition(":")[2])
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.stderr.read()
        assert process.wait(120) == 0, said


class Files:
    """A :class:`KeySource` of plain key files."""

    def key_of(self, certificate: x509.Certificate, file: Path) -> Any:
        return load_pem_private_key(file.with_suffix(".key").read_bytes(), None)


def ask(folder: Path, port: int, request: Request) -> Answer:
    endpoint = Endpoint(WAN_CLIENT, read_identity(folder, Files()), lambda _: None, clock=lambda: datetime.now(UTC))

    async def story() -> Answer:
        async with http_client.client(endpoint, "127.0.0.1", port) as client:
            response = await client.post("/", content=write_request(request), headers=XML)
            return read_answer(response.content, request.operation)

    return asyncio.run(asyncio.wait_for(story(), 60))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    smpki(tmp_path / "home", "init")
    smpki(tmp_path / "home", "issue-sub-ca", "--name", "Beispiel")
    return tmp_path / "home"


def test_a_participant_is_registered_and_asks_the_service(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "emt"
    who = ["--cn", "Firma.EMT.MAK", "--ou", "9900000000001", "--email", "post@firma.example"]
    smpki(home, "request", "new", *who, "--uri", "https://firma.example/", "--out", str(folder))
    package = folder / "request.der"
    papers = ["--role", "emt", "--id", "9900000000001", "--contact", "post@firma.example", "--sub-ca", "Beispiel.CA"]
    other = smpki(home, "register", str(package), "--organisation", "Andere", *papers, code=1)
    assert other["error"]["code"] == "service.registration.other"
    registered = smpki(home, "register", str(package), "--organisation", "Firma", *papers, "--out", str(folder))
    assert len(registered["certificates"]) == 3
    assert smpki(home, "registry", "list")["registrations"] == [registered["registration"]]

    with serving(home, "--ca", "Beispiel.CA") as port:
        assert ask(folder, port, GetServiceStatus("1")).code is ReturnCode.OK_RECEIVED_CORRECTLY
        again = ask(folder, port, RequestCertificate(package.read_bytes()))
        own = x509.load_pem_x509_certificate((folder / "tls.pem").read_bytes())
        assert x509.load_der_x509_certificate(again.certificates[0]) == own
        smpki(home, "registry", "change", "Firma.EMT.MAK", "--blocked")
        blocked = ask(folder, port, RequestCertificate(package.read_bytes()))
        assert blocked.code is ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED
    assert smpki(home, "audit", "verify")["findings"] == []


def test_decisions_about_nothing(home: Path) -> None:
    for decision in ("approve", "refuse", "again"):
        assert smpki(home, "queue", decision, "7", code=1)["error"]["code"] == "service.queue.unknown"
