"""``smpki request new --send``: the first package goes over REST, and its triple comes back checked."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509

from smpki.errors import ServiceError
from smpki.participant.portal import Portal
from smpki.participant.sending import Sent
from smpki.service.accounts.actor import Role
from smpki.service.people import Address, people_server
from smpki_cli.main import main


@pytest.fixture
def service(town: Any, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A test-certificate service: its address, and a participant's token."""
    town.account("paul", Role.PARTICIPANT, "Firma.EMT")
    token, _ = town.desk.accounts.new_token(town.desk.accounts.store.named("paul").actor, "test")
    started, box = threading.Event(), {}

    async def run() -> None:
        box["loop"], box["end"] = asyncio.get_running_loop(), asyncio.Event()
        async with people_server(town.desk, Address("127.0.0.1", 0)) as port:
            box["url"] = f"http://127.0.0.1:{port}"
            started.set()
            await box["end"].wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert started.wait(60)
    yield box["url"], token
    box["loop"].call_soon_threadsafe(box["end"].set)
    thread.join()


def send(town: Any, url: str, token: str, package: bytes, folder: Path) -> Sent:
    async def sent() -> Sent:
        async with Portal(url, token, lambda: town.world.workshop.now) as portal:
            return await portal.send(package, folder)

    return asyncio.run(sent())


def test_a_triple_comes_back_and_again(town: Any, service: Any, tmp_path: Path) -> None:
    keys = town.world.make_keys()
    package = town.world.packages.make("Firma.EMT", keys=keys)
    (folder := tmp_path / "triple").mkdir()
    for _ in range(2):
        assert send(town, *service, package, folder) is Sent.STORED
    tls = x509.load_pem_x509_certificate((folder / "tls.pem").read_bytes())
    assert tls.public_key() == keys.tls.public_key()
    assert len(x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes())) == 2


@pytest.mark.parametrize(
    ("change", "code"), [("token", "portal.refused"), ("package", "portal.refused"), ("port", "portal.unreachable")]
)
def test_what_is_refused_says_so(town: Any, service: Any, tmp_path: Path, change: str, code: str) -> None:
    url, token = service
    package = town.world.packages.make("Andere.EMT" if change == "package" else "Firma.EMT")
    url = "http://127.0.0.1:1" if change == "port" else url
    with pytest.raises(ServiceError) as refusal:
        send(town, url, "wrong" if change == "token" else token, package, tmp_path)
    assert refusal.value.code == code
    assert token not in str(refusal.value) and list(tmp_path.glob("*.pem")) == []


@pytest.mark.parametrize(
    "url",
    ["http://portal.example", "ftp://localhost", "portal.example", "https://", "https://[", "https://portal.example:x"],
)
def test_a_token_goes_over_tls_only(town: Any, tmp_path: Path, url: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        send(town, url, "token", b"", tmp_path)
    assert refusal.value.code == "portal.url"


def test_what_is_no_token_is_not_sent(town: Any, tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as refusal:
        send(town, "http://127.0.0.1:1", "smpki_\ntöken", b"", tmp_path)
    assert refusal.value.code == "portal.token" and "töken" not in str(refusal.value)


def test_the_command_makes_sends_and_keeps(town: Any, service: Any, tmp_path: Path) -> None:
    url, token = service
    (access := tmp_path / "token").write_text(f"{token}\n")
    access.chmod(0o600)
    names = [
        "--cn",
        "Firma.EMT",
        "--ou",
        "9900000000001",
        "--email",
        "a@firma.example",
        "--uri",
        "https://firma.example/",
    ]
    arguments = ["request", "new", *names, "--out", str(tmp_path / "out"), "--send", url]
    environment = {"SMPKI_HOME": str(tmp_path / "none"), "SMPKI_CLOCK": town.world.workshop.now.isoformat()}
    assert CliRunner().invoke(main, arguments, env=environment).exit_code == 2
    for _ in range(2):
        done = CliRunner().invoke(main, [*arguments, "--access", str(access)], env=environment)
        assert done.exit_code == 0, done.output
        assert done.output.endswith("stored\n")
    assert {file.name for file in (tmp_path / "out").iterdir()} >= {"tls.key", "request.der", "sig.pem", "chain.pem"}
