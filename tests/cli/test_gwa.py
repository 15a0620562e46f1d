"""``smpki gwa``: an administrator in processes of its own, its keys in a token, and a gateway that runs."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import yaml

from smpki.hsm.pin import Pin, write_pin
from smpki.hsm.softhsm import SoftHsm
from smpki.service.administrator.store.store import AdministratorStore

SMPKI = [sys.executable, "-c", "from smpki_cli.main import main; main(prog_name='smpki')"]
# several command lines in one process: [exit code, output] of each
SEVERAL = """
import contextlib, io, json, sys
from smpki_cli.main import main

answers = []
for arguments in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            code = main(arguments, prog_name="smpki")
        except SystemExit as end:
            code = end.code
    answers.append([code or 0, output.getvalue()])
json.dump(answers, sys.stdout)
"""
CONTACT = ["--email", "post@firma.example", "--uri", "https://firma.example/"]
SUB_CA = ["--sub-ca", "Beispiel.CA"]
GATEWAY = "eabc0000000001"
PATIENCE = 60.0


def free_ports(kind: int, count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket(type=kind))) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass
class Scene:
    """A PKI in ``home``, an administrator with its keys in a token, and a gateway for it."""

    folder: Path
    ports: list[int] = field(default_factory=lambda: free_ports(socket.SOCK_STREAM, 3))
    wake_up: int = field(default_factory=lambda: free_ports(socket.SOCK_DGRAM, 1)[0])

    def environment(self, **more: str) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SMPKI_", "SOFTHSM2_"))}
        own = {"SMPKI_HOME": str(self.folder / "home"), "SMPKI_GWA_CONFIG": str(self.folder / "gwa.yaml")}
        return clean | own | more

    def run(self, *lines: Sequence[object], **more: str) -> list[tuple[int, str]]:
        """Exit code and output of each command line."""
        done = subprocess.run(
            [sys.executable, "-c", SEVERAL],
            input=json.dumps([list(map(str, line)) for line in lines]),
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment(**more),
        )
        assert done.returncode == 0, done.stderr
        return [(code, output) for code, output in json.loads(done.stdout)]

    def do(self, *lines: Sequence[object], **more: str) -> list[Any]:
        """What each command line answers in JSON."""
        answers = self.run(*([*line, "--json"] for line in lines), **more)
        for line, (code, output) in zip(lines, answers, strict=True):
            assert code == 0, (line, output)
        return [json.loads(output) for _, output in answers]

    @contextmanager
    def running(self, *line: object) -> Iterator["subprocess.Popen[str]"]:
        """A server, once it is ready; it ends well."""
        command = [*SMPKI, *map(str, line), "--json"]
        pipes = {"stdout": subprocess.PIPE, "stderr": (self.folder / f"{line[0]}.log").open("a")}
        with subprocess.Popen(command, text=True, cwd=self.folder, env=self.environment(), **pipes) as process:
            assert process.stdout is not None
            try:
                assert json.loads(process.stdout.readline())["ready"] is True
                yield process
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(PATIENCE) == 0
            finally:
                process.kill()

    def prepare(self) -> None:
        participants = self.folder / "home" / "participants"
        maker, administrator = participants / "Hersteller.GWH", participants / "Verwalter.GWA"
        softhsm, pin = SoftHsm(self.folder / "token"), Pin("2468013579")
        softhsm.create_token("gwa", pin, Pin("9753108642"))
        write_pin(self.folder / "pin", pin)
        keys = {"SMPKI_PIN_FILE": str(self.folder / "pin")}
        softhsm.activate(keys)
        in_token = ["--token", "gwa", "--out", administrator]
        self.do(["request", "new", "--cn", administrator.name, *CONTACT, *in_token], **keys)
        (self.folder / "ids").write_text(f"{GATEWAY}\n")
        management, admin, time = (f"127.0.0.1:{port}" for port in self.ports)
        places = ["--management", management, "--admin", admin, "--time", time]
        parties = ["--gwh", maker.name, "--gwa", administrator.name, "--wake-up", f"127.0.0.1:{self.wake_up}"]
        answers = self.run(
            ["init"],
            ["issue-sub-ca", "--name", "Beispiel"],
            ["request", "new", "--cn", maker.name, *CONTACT, "--out", maker],
            *(["issue", folder / "request.der", *SUB_CA, "--out", folder] for folder in (maker, administrator)),
            ["gateway", "provision", "--ids", "ids", *SUB_CA, *parties, *places, "--out", "out"],
            ["crl", "issue"],
            ["crl", "publish"],
        )
        assert [code for code, _ in answers] == [0] * 8, answers
        configuration = {
            "own": str(administrator),
            "token": {"folder": "token", "label": "gwa", "pin_file": "pin"},
            "database": "gwa.db",
            "listen": {"management": management, "admin_service": admin, "time": time},
            "trust": {"anchors": [f"out/{GATEWAY}/root.pem"], "crl_folder": "home/published"},
            "accept_from": ["Hersteller.GWH"],
            "issuer": {"home": "home", "sub_ca": "Beispiel.CA"},
        }
        (self.folder / "gwa.yaml").write_text(yaml.safe_dump(configuration))

    def job(self, number: int) -> Any:
        store = AdministratorStore.open(self.folder / "gwa.db")
        try:
            with store.view() as view:
                return view.jobs.get(number)
        finally:
            store.close()

    def until(self, true: Callable[[], Any]) -> None:
        end = monotonic() + PATIENCE
        while not true():
            assert monotonic() < end, "it does not happen"
            sleep(0.02)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Made once; the tests use different gateways, or change nothing."""
    scene = Scene(tmp_path_factory.mktemp("gwa"))
    scene.prepare()
    return scene


def test_a_gateway_is_taken_over_though_everything_is_killed_in_between(scene: Scene) -> None:
    delivery = scene.folder / "out" / GATEWAY / "delivery.json"
    (adopted,) = scene.do(["gwa", "adopt", delivery, "--wake-up", f"127.0.0.1:{scene.wake_up}"])
    assert [one["state"] for one in adopted["adopted"]] == ["adopted"]
    (ordered,) = scene.do(["gwa", "personalise", GATEWAY, "--no-wait"])
    gateway = ["gateway", "run", scene.folder / "out" / GATEWAY / "gateway.yaml"]
    with ExitStack() as at_the_end:
        with scene.running("gwa", "serve", "gwa.yaml") as server:
            at_the_end.enter_context(scene.running(*gateway))
            scene.until(lambda: scene.job(ordered["job"]).step != "prepare")
            server.kill()
            server.wait()
        with scene.running("gwa", "serve", "gwa.yaml"):
            scene.until(lambda: scene.job(ordered["job"]).state != "open")
            assert scene.job(ordered["job"]).state == "done", scene.job(ordered["job"])
            status, again, listed, log = scene.do(
                ["gwa", "status", GATEWAY],
                ["gwa", "adopt", delivery],
                ["gwa", "list"],
                ["gwa", "log", GATEWAY, "--count", "3"],
            )
            assert (status["result"]["wan_keys"], status["result"]["time"]["trusted"]) == ("settled", True)
            assert again["adopted"][0]["state"] == "known"
            (known,) = listed["gateways"]
            assert (known["id"], known["certificates"]["kind"]) == (GATEWAY, "smgw-w")
            assert known["wake_up"] == f"127.0.0.1:{scene.wake_up}"
            assert len(log["result"]["entries"]) == 3
            (suspended,) = scene.do(["gwa", "suspend", GATEWAY])
            assert suspended["result"]["state"] == "suspended"
            ((code, refusal),) = scene.run(["gwa", "wake", GATEWAY, "--json"])
            assert (code, json.loads(refusal)["error"]["code"]) == (1, "gwa.gateway.state")
            resumed, woken = scene.do(["gwa", "resume", GATEWAY], ["gwa", "wake", GATEWAY])
            assert resumed["result"]["state"] == "active"
            assert woken["result"] == {"connected": True}
            ((code, refusal),) = scene.run(["gwa", "renew", GATEWAY, "--json"])
            assert (code, json.loads(refusal)["error"]["code"]) == (1, "request.renewal.early")


def test_one_process_at_a_time_is_at_work(scene: Scene) -> None:
    with scene.running("gwa", "serve", "gwa.yaml"):
        ((code, output),) = scene.run(["gwa", "serve", "gwa.yaml", "--json"])
        assert (code, json.loads(output)["error"]["code"]) == (1, "gwa.at_work")


def test_records_that_are_refused(scene: Scene, tmp_path: Path) -> None:
    delivery = scene.folder / "out" / GATEWAY / "delivery.json"
    changed = tmp_path / "changed.json"
    changed.write_bytes(delivery.read_bytes().replace(b"Verwalter.GWA", b"Verwaltet.GWA"))
    (code, output), (several, text) = scene.run(
        ["gwa", "adopt", changed, "--json"], ["gwa", "adopt", delivery, changed, tmp_path / "missing"]
    )
    assert (code, json.loads(output)["error"]["code"]) == (1, "cms.signature.digest")
    assert several == 1
    assert GATEWAY in text
    (noted,) = scene.do(["gwa", "events", "--limit", "3"])
    assert "cms.signature.digest" in [one["event"] for one in noted["events"]]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"colour": "blue"}, "configuration.invalid"),
        ({"own": "nowhere"}, "configuration.certificate"),
        ({"own": "home/participants/Hersteller.GWH"}, "gwa.own"),
        ({"trust": {"anchors": ["gwa.yaml"]}}, "trust.file.unreadable"),
        ({"token": None}, "keys.missing"),
        ({"listen": dict.fromkeys(("management", "admin_service", "time"), "192.0.2.1:1")}, "tls.transport.listen"),
    ],
)
def test_configurations_that_can_not_be_served(change: Mapping[str, Any], code: str, scene: Scene) -> None:
    configuration = yaml.safe_load((scene.folder / "gwa.yaml").read_text()) | change
    other = scene.folder / "other.yaml"
    other.write_text(yaml.safe_dump(configuration))
    ((exit_code, output),) = scene.run(["gwa", "serve", other, "--json"])
    assert (exit_code, json.loads(output)["error"]["code"]) == (1, code)


def test_words_for_people(scene: Scene) -> None:
    answers = scene.run(
        ["gwa", "list"],
        ["gwa", "show", GATEWAY],
        ["gwa", "wake", "eabc0000000099"],
        ["gwa", "events"],
        ["gwa", "wake", "no gateway"],
    )
    (listed, list_text), (shown, show_text), (unknown, _), (happened, _), (bad, _) = answers
    assert (listed, shown, unknown, happened, bad) == (0, 0, 1, 0, 1)
    assert GATEWAY in list_text
    assert "gwa.adopt" in show_text
