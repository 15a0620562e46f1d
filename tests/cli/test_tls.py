"""``smpki tls``: an operator tries a peer, from either side."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from smpki.asn1.curves import CURVES
from smpki.errors import TlsError
from smpki.hsm.key import KeyUse
from smpki.tls import provider

TokenHome = Any  # conftest.TokenHome
SMPKI = [sys.executable, "-c", "from smpki_cli.main import main; main(prog_name='smpki')", "tls"]
Side = list[str]


@pytest.fixture
def certify(tmp_path: Path) -> Callable[..., Path]:
    """``certify(name, key)``: a file with a self-signed certificate of the key."""

    def make(name: str, key: ec.EllipticCurvePrivateKey) -> Path:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        now = datetime.now(UTC)
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        file = tmp_path / f"{name}.pem"
        file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return file

    return make


@pytest.fixture
def side(tmp_path: Path, certify: Callable[..., Path]) -> Callable[[str], Side]:
    """``side(name)``: the options of one who has a key in a file."""

    def make(name: str) -> Side:
        file = tmp_path / f"{name}.key"
        if not file.exists():
            key = ec.generate_private_key(CURVES["brainpoolP256r1"])
            file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.chmod(0o600)
            certify(name, key)
        return ["--cert", str(tmp_path / f"{name}.pem"), "--key", str(file)]

    return make


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Without what a tester's own environment says."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("SMPKI_")}
    return found | {"SMPKI_HOME": str(tmp_path / "home")}


@contextmanager
def listening(environment: dict[str, str], *options: str) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """A listener for one connection: its port, and the process."""
    command = [*SMPKI, "listen", "--count", "1", "--json", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stderr
            line = process.stderr.readline()
            assert line.startswith("listening at 127.0.0.1 port "), line + process.stderr.read()
            yield int(line.split()[-1]), process
        finally:
            process.kill()


def heard(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What the listener says of its one connection."""
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    (connection,) = json.loads(output)["connections"]
    assert isinstance(connection, dict)
    return connection


def probe(environment: dict[str, str], port: int, *options: str) -> tuple[int, dict[str, Any]]:
    command = [*SMPKI, "probe", f"127.0.0.1:{port}", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("profile", "version", "name"),
    [("wan", "1.2", "TLSv1.2"), ("wan", "1.3", "TLSv1.3"), ("han", "both", "TLSv1.3"), ("lmn", "both", "TLSv1.3")],
)
def test_both_sides_show_what_was_agreed_on(
    profile: str, version: str, name: str, side: Callable[[str], Side], environment: dict[str, str]
) -> None:
    ours, theirs = side("ours"), side("theirs")
    how = ["--profile", profile]
    with listening(environment, *how, *theirs, "--peer", ours[1]) as (port, process):
        asked = [*how, "--tls", version, "--name", "gwa.example.org", "--peer", theirs[1]]
        code, shown = probe(environment, port, *ours, *asked)
        assert code == 0
        other = heard(process)
    assert (shown["version"], shown["server_name"], shown["peer"]["subject"]) == (name, "gwa.example.org", "CN=theirs")
    assert other["peer"]["subject"] == "CN=ours"
    assert {key: shown[key] for key in ("version", "suite", "group")} == {
        key: other[key] for key in ("version", "suite", "group")
    }


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_who_is_refused_sees_the_alert(version: str, side: Callable[[str], Side], environment: dict[str, str]) -> None:
    stranger, theirs = side("stranger"), side("theirs")
    with listening(environment, *theirs, "--peer", side("ours")[1]) as (port, process):
        code, shown = probe(environment, port, *stranger, "--tls", version)
        other = heard(process)
    assert code == 1
    assert (shown["error"]["alert"], shown["error"]["alert_by"]) == ("bad_certificate", "peer")
    assert (other["error"]["code"], other["error"]["alert_by"]) == ("tls.peer.unknown", "this side")


def test_who_refuses_says_why(side: Callable[[str], Side], environment: dict[str, str]) -> None:
    ours, theirs = side("ours"), side("theirs")
    with listening(environment, *theirs) as (port, process):
        code, shown = probe(environment, port, *ours, "--peer", side("another")[1])
        other = heard(process)
    assert (code, shown["error"]["code"], shown["error"]["alert_by"]) == (1, "tls.peer.unknown", "this side")
    assert (other["error"]["alert"], other["error"]["alert_by"]) == ("bad_certificate", "peer")


def test_nonsense_is_shown_too(side: Callable[[str], Side], environment: dict[str, str]) -> None:
    with listening(environment, *side("theirs")) as (port, process):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(b"hello?\n" * 10)
        assert heard(process)["error"]["code"] == "tls.failed"


def test_keys_in_a_token_at_both_ends(
    token_home: TokenHome, certify: Callable[..., Path], environment: dict[str, str], tmp_path: Path
) -> None:
    with token_home.open() as token:
        files = {
            name: str(certify(name, token.generate(name, CURVES["brainpoolP256r1"], KeyUse.SIGN)))
            for name in ("ours", "theirs")
        }
    pin = tmp_path / "pin"
    pin.write_text(token_home.pin.reveal())
    pin.chmod(0o600)
    theirs = ["--cert", files["theirs"], "--token-key", "theirs", "--pin-file", str(pin)]
    ours = ["--cert", files["ours"], "--token-key", "ours", "--token", token_home.label]
    with listening(environment, *theirs, "--peer", files["ours"]) as (port, process):
        by_variable = environment | {"SMPKI_PIN": token_home.pin.reveal()}
        code, shown = probe(by_variable, port, *ours, "--peer", files["theirs"])
        assert (code, shown["peer"]["subject"]) == (0, "CN=theirs")
        assert heard(process)["peer"]["subject"] == "CN=ours"
    code, refused = probe(environment | {"SMPKI_PIN": "1111111111"}, port, *ours)
    assert (code, refused["error"]["code"]) == (1, "tls.provider.pin")
    missing = [*ours[:2], "--token-key", "none", "--pin-file", str(pin)]
    code, refused = probe(environment, port, *missing)
    assert (code, refused["error"]["code"]) == (1, "tls.provider.key")


def invoke(*line: str) -> Any:
    from click.testing import CliRunner

    from smpki_cli.main import main

    return CliRunner().invoke(main, ["tls", *line], env={"SMPKI_PIN": None, "SMPKI_PIN_FILE": None})


def test_without_the_provider_no_other_key_takes_the_place_of_the_tokens(
    side: Callable[[str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Path:
        return find(root=Path("/nonexistent"))

    find = provider.find_provider
    monkeypatch.setattr(provider, "find_provider", missing)
    refused = invoke("probe", "127.0.0.1:1", *side("ours")[:2], "--token-key", "ours")
    assert refused.exit_code == 1
    assert "tls.provider.missing" in refused.stderr
    assert "bookworm-backports" in refused.stderr
    with pytest.raises(TlsError):
        missing()


def test_for_people(side: Callable[[str], Side], environment: dict[str, str]) -> None:
    with listening(environment, *side("theirs")) as (port, process):
        shown = invoke("probe", f"127.0.0.1:{port}", *side("ours"))
        assert shown.exit_code == 0, shown.stderr
        assert "version          TLSv1.3\n" in shown.stdout
        assert "peer's subject   CN=theirs\n" in shown.stdout
        heard(process)
    refused = invoke("probe", f"127.0.0.1:{port}", *side("ours"))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "tls.transport.unreachable" in refused.stderr
    nobody = invoke("listen", *side("theirs"), "--for", "0")
    assert (nobody.exit_code, nobody.stdout) == (0, "")


@pytest.mark.parametrize(
    "line",
    [
        ["probe", "127.0.0.1:x"],
        ["probe", "127.0.0.1:0"],
        ["probe", "127.0.0.1", "--cert", "ours.pem"],
        ["probe", "127.0.0.1", "--key", "ours.key"],
        ["listen"],
        ["probe", "127.0.0.1", "--tls", "1.1"],
    ],
)
def test_wrong_calls(line: list[str]) -> None:
    assert invoke(*line).exit_code == 2
