"""``smpki serve`` as an operator runs it: checked beforehand, monitored, its log in JSON; told to end, it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

PROGRAM = [sys.executable, "-c", "from smpki_cli.main import main; main(prog_name='smpki')"]


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SMPKI_")} | more


def smpki(home: Path, *arguments: str, code: int = 0, **more: str) -> Any:
    command = [*PROGRAM, "--home", str(home), *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(**more))
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki") / "home"
    smpki(folder, "init")
    smpki(folder, "issue-sub-ca", "--name", "Beispiel")
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "serve.yaml"
    file.write_text("ca: Beispiel.CA\nlisten: 127.0.0.1:0\nmetrics: 0\nlog: json\n")
    return file


def test_whether_it_could_serve_is_told_without_serving(home: Path, config: Path) -> None:
    check = ["serve", "--config", str(config), "--check"]
    assert smpki(home, *check)["ca"] == "Beispiel.CA"
    expired = smpki(home, *check, code=1, SMPKI_CLOCK="2036-01-01T00:00:00Z")
    assert expired["error"]["code"] == "issuing.issuer.expired"
    unknown = smpki(home, *check, code=1, SMPKI_SERVE_CA="Andere.CA")
    assert unknown["error"]["code"] == "issuing.issuer.unknown"
    portal = {"SMPKI_SERVE_PORTAL": "127.0.0.1:0", "SMPKI_SERVE_PORTAL_TLS": str(home)}
    assert smpki(home, *check, code=1, **portal)["error"]["code"] == "tls.people.certificate"
    assert smpki(home, "publish", "serve", "--check")["listen"] == "127.0.0.1:8080"


def test_it_says_when_it_is_ready_is_monitored_and_ends_when_told(home: Path, config: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        command = [*PROGRAM, "--home", str(home), "serve", "--config", str(config), "--json"]
        pipe = subprocess.PIPE
        environ = environment(NOTIFY_SOCKET=str(tmp_path / "notify"))
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environ) as process:
            assert process.stdout is not None and process.stderr is not None
            try:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                ready = json.loads(line)
                assert systemd.recv(100) == b"READY=1"
                monitor = f"http://{ready['metrics']}"
                assert httpx.get(f"{monitor}/health").json() == {"alive": True}
                assert httpx.get(f"{monitor}/ready").json() == {"ready": True}
                figures = httpx.get(f"{monitor}/metrics").text
                assert 'smpki_certificate_days_left{kind="sub-ca",name="Beispiel.CA",number="1"}' in figures
                assert "process_cpu_seconds_total" in figures
                host, _, port = ready["address"].rpartition(":")
                with socket.create_connection((host, int(port))) as stranger:
                    stranger.send(b"GET / HTTP/1.0\r\n\r\n")
                    while stranger.recv(1000):
                        pass
                process.send_signal(signal.SIGTERM)
                assert systemd.recv(100) == b"STOPPING=1"
                log = process.stderr.read()
                assert process.wait(60) == 0
            finally:
                process.kill()
    (failed,) = [json.loads(line) for line in log.splitlines()]
    assert (failed["event"], failed["level"], failed["authority"]) == ("tls.failed", "warning", "Beispiel.CA")
    assert failed["error"].startswith("tls.")
    assert "peer" not in failed
