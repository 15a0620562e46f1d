"""``smpki gateway``: an administrator wakes gateways."""

import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.gateway.wakeup import Accepted, Claim, WakeUpReader
from smpki.hsm.key import KeyUse
from smpki.policy.device_id import DeviceId
from smpki_cli import gateway as module
from smpki_cli.gateway import gateway_command

TokenHome = Any  # conftest.TokenHome
GATEWAY = "EABC0012345678"
NOW = datetime.now(UTC).replace(microsecond=0)
KEY = ec.generate_private_key(ec.BrainpoolP256R1())


def sig_certificate(key: ec.EllipticCurvePrivateKey = KEY) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Verwalter.GWA")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
    usage = x509.KeyUsage(True, *[False] * 8)
    return builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the administrator's key and certificate."""
    key = tmp_path / "sig.key"
    key.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)
    (tmp_path / "sig.pem").write_bytes(sig_certificate().public_bytes(Encoding.PEM))
    return tmp_path


def run(*line: object, **environment: str) -> Result:
    clean = {name: None for name in os.environ if name.startswith("SMPKI_")}
    return CliRunner().invoke(gateway_command, [str(each) for each in line], env=clean | environment)


def holds(message: bytes, certificate: x509.Certificate, at: datetime) -> bool:
    claim = WakeUpReader(DeviceId.parse(GATEWAY), [certificate]).read(message, at)
    return isinstance(claim, Claim) and isinstance(claim.verify(), Accepted)


@pytest.fixture(params=["127.0.0.1", "::1"])
def receiver(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((request.param, 0))
        receiver.settimeout(10)
        yield receiver


def test_it_is_signed_and_sent(folder: Path, receiver: socket.socket) -> None:
    host, port, *_ = receiver.getsockname()
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    done = run("wake", GATEWAY, target, "--key", folder / "sig.key", "--json")
    assert done.exit_code == 0, done.output
    message = receiver.recv(1024)
    assert holds(message, sig_certificate(), datetime.now(UTC))
    value = json.loads(done.output)
    assert value["sent_to"] == {"host": host, "port": port, "times": 1}
    assert (value["gateway"], value["octets"]) == (GATEWAY, 108)


def test_it_is_sent_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        target = f"localhost:{receiver.getsockname()[1]}"
        done = run("wake", GATEWAY, target, "--key", folder / "sig.key", "--repeat", 3)
        assert done.exit_code == 0
        assert len({receiver.recv(1024) for _ in range(3)}) == 1


def test_it_is_written_to_a_file_and_checked(folder: Path) -> None:
    out = folder / "message"
    made = run("wake", GATEWAY.lower(), "--out", out, "--key", folder / "sig.key", "--at", "2026-11-22T12:00:00+01:00")
    assert (made.exit_code, made.output) == (0, f"{out}\n")
    assert out.read_bytes()[12:20] == int(datetime(2026, 11, 22, 11, tzinfo=UTC).timestamp()).to_bytes(8, "little")


@pytest.mark.parametrize(("verdict", "after"), [("accepted", 0), ("late", 61), ("early", -61)])
def test_a_message_is_checked(folder: Path, verdict: str, after: int) -> None:
    out = folder / "message"
    run("wake", GATEWAY, "--out", out, "--key", folder / "sig.key", "--at", NOW.isoformat())
    line = ["check-wake", out, "--id", GATEWAY, "--gwa-cert", folder / "sig.pem"]
    at = ["--at", (NOW + timedelta(seconds=after)).isoformat()]
    told, asked = run(*line, *at), run(*line, *at, "--json")
    if verdict == "accepted":
        expected: dict[str, object] = {"accepted": True, "time": NOW.isoformat()}
        assert told.output == f"accepted, of {NOW.isoformat()}\n"
    else:
        expected = {"accepted": False, "reason": verdict}
        assert told.output == f"refused: {verdict}\n"
    assert json.loads(asked.output) == expected
    assert told.exit_code == asked.exit_code == int(verdict != "accepted")
    assert run(*line, *at, "--window", 61).exit_code == 0
    assert run(*line, *at, "--window", 61, "--id", "EABC0012345679").output == "refused: recipient\n"


def test_a_key_in_a_token_signs(tmp_path: Path, token_home: TokenHome) -> None:
    with token_home.open() as token:
        certificate = sig_certificate(token.generate("gwa-sig", ec.BrainpoolP256R1(), KeyUse.SIGN))
    pin = tmp_path / "pin"
    pin.write_text(token_home.pin.reveal())
    pin.chmod(0o600)
    out = tmp_path / "message"
    options = ["--token-key", "gwa-sig", "--token", token_home.label, "--pin-file", pin]
    done = run("wake", GATEWAY, "--out", out, *options, "--home", tmp_path / "none")
    assert (done.exit_code, done.output) == (0, f"{out}\n")
    assert holds(out.read_bytes(), certificate, datetime.now(UTC))


def test_refusals(folder: Path) -> None:
    key, out = ["--key", folder / "sig.key"], ["--out", folder / "message"]
    codes = {
        "device_id.text": ["wake", "E", *out, *key],
        "wakeup.recipient": ["wake", "1ABC0012345678", *out, *key],
        "keys.missing": ["wake", GATEWAY, *out, "--key", folder / "nothing"],
        "wakeup.unsent": ["wake", GATEWAY, "no-such-host.invalid", *key],
        "file.unreadable": ["check-wake", folder / "nothing", "--id", GATEWAY, "--gwa-cert", folder / "sig.pem"],
    }
    for code, line in codes.items():
        done = run(*line, "--json")
        assert done.exit_code == 1
        assert json.loads(done.output)["error"]["code"] == code
    assert not (folder / "message").exists()


@pytest.mark.parametrize("target", ["host:", "host:0", "host:65536", "host:x", ":22357", "[]:1", "host:٣"])
def test_what_is_no_address(folder: Path, target: str) -> None:
    done = run("wake", GATEWAY, target, "--key", folder / "sig.key")
    assert done.exit_code == 2
    assert "HOST" in done.output


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        ("127.0.0.1", "127.0.0.1", 22357),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
        ("::1", "::1", 22357),
        ("[::1]", "::1", 22357),
        ("[::1]:65535", "::1", 65535),
    ],
)
def test_addresses(folder: Path, target: str, host: str, port: int) -> None:
    done = run("wake", GATEWAY, target, "--key", folder / "sig.key", "--json")
    assert json.loads(done.output)["sent_to"] == {"host": host, "port": port, "times": 1}


def test_somewhere_to_send_it(folder: Path) -> None:
    assert run("wake", GATEWAY, "--key", folder / "sig.key").exit_code == 2
