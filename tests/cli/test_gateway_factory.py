"""``smpki gateway provision`` and ``check-delivery``: in processes of their own, with their keys in SoftHSM."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from smpki.hsm.pin import write_pin

TokenHome = Any  # conftest.TokenHome

SMPKI = [sys.executable, "-c", "from smpki_cli.main import main; main(prog_name='smpki')"]
CONTACT = ["--email", "post@firma.example", "--uri", "https://firma.example/"]
SUB_CA = ["--sub-ca", "Beispiel.CA"]
PLACES = ["--management", "gwa.example:7001", "--admin", "gwa.example:7002", "--time", "gwa.example:7003"]
PARTIES = ["--gwh", "Hersteller.GWH", "--gwa", "Verwalter.GWA"]
PROVISION = ["gateway", "provision", *SUB_CA, *PARTIES, *PLACES]


@dataclass(frozen=True)
class Factory:
    """A folder with a PKI in ``home``, and a manufacturer and an administrator among its participants."""

    folder: Path

    @property
    def participants(self) -> Path:
        return self.folder / "home" / "participants"

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SMPKI_")}
        return clean | {"SMPKI_HOME": str(self.folder / "home")} | more

    def start(self, line: Sequence[object], **more: Any) -> "subprocess.Popen[str]":
        environment = self.environment(more.pop("env", {}))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        return subprocess.Popen([*SMPKI, *map(str, line)], text=True, cwd=self.folder, env=environment, **pipes)

    def run(self, *line: object, **environment: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a command."""
        with self.start(line, env=environment) as process:
            output, errors = process.communicate()
            return process.returncode, output, errors

    def do(self, *line: object, **environment: str) -> str:
        code, output, errors = self.run(*line, **environment)
        assert code == 0, output + errors
        return output

    def enrol(self, name: str, *more: str, **environment: str) -> None:
        folder = self.participants / name
        self.do("request", "new", "--cn", name, *CONTACT, "--out", folder, *more, **environment)
        self.do("issue", folder / "request.der", *SUB_CA, "--out", folder)

    def issued(self) -> list[Any]:
        """All Guetesiegel certificates of the PKI."""
        found: list[Any] = json.loads(self.do("list", "--kind", "smgw-g", "--json"))["certificates"]
        return found


@pytest.fixture(scope="module")
def _factory_template(tmp_path_factory: pytest.TempPathFactory) -> Factory:
    factory = Factory(tmp_path_factory.mktemp("cli-factory"))
    factory.do("init")
    factory.do("issue-sub-ca", "--name", "Beispiel")
    for name in ("Hersteller.GWH", "Verwalter.GWA"):
        factory.enrol(name)
    return factory


@pytest.fixture
def factory(_factory_template: Factory, tmp_path: Path) -> Factory:
    shutil.copytree(_factory_template.folder, tmp_path, dirs_exist_ok=True)
    return Factory(tmp_path)


def test_gateways_are_made_and_their_records_hold(factory: Factory) -> None:
    (factory.folder / "ids").write_text("EABC0000000007\neabc0000000001\n")
    lines = [json.loads(line) for line in factory.do(*PROVISION, "--ids", "ids", "--out", "out", "--json").splitlines()]
    assert {line["id"]: line["state"] for line in lines[:2]} == {
        "eabc0000000001": "provisioned",
        "eabc0000000007": "provisioned",
    }
    assert lines[2:] == [{"provisioned": 2, "known": 0, "failed": 0, "out": "out"}]
    serials = sorted(serial for line in lines[:2] for serial in line["serials"])
    assert serials == sorted(one["serial"].lstrip("0") for one in factory.issued())
    (factory.folder / "out" / "eabc0000000002").mkdir()
    (factory.folder / "out" / "eabc0000000002" / "notes").touch()
    more = ["--count", "2", "--manufacturer", "ABC", "--workers", "1", "--out", "out"]
    code, output, _ = factory.run(*PROVISION, *more)
    assert code == 1
    known, failed, summary = sorted(output.splitlines())[1:] + sorted(output.splitlines())[:1]
    assert known == "eabc0000000001 known"
    assert failed.startswith("eabc0000000002 failed: ")
    assert "[provision.folder.foreign]" in failed
    assert summary == "0 provisioned, 1 known, 1 failed; out"

    records = sorted((factory.folder / "out").glob("*/delivery.json"))
    value = json.loads(factory.do("gateway", "check-delivery", *records, "--json"))
    assert value["valid"] is True
    assert [one["gateway"] for one in value["deliveries"]] == ["eabc0000000001", "eabc0000000007"]
    records[0].write_text(records[0].read_text().replace("gwa.example", "gwb.example").replace("SoftHSM", "HardHSM"))
    sig = factory.participants / "Verwalter.GWA" / "sig.pem"
    root = factory.folder / "out" / "eabc0000000007" / "root.pem"
    code, output, _ = factory.run("gateway", "check-delivery", *records, "--gwh-cert", sig, "--trust", root)
    assert code == 1
    assert "delivery.manufacturer.other" in output
    code, output, _ = factory.run("gateway", "check-delivery", *records)
    assert code == 1
    assert output.count("NOT VALID") == 1
    assert "cms.signature.digest" in output


def test_a_bar_on_a_terminal_and_a_line_for_each_gateway(factory: Factory) -> None:
    ours, theirs = pty.openpty()
    with factory.start([*PROVISION, "--count", "1", "--out", "out"], stderr=theirs, env={"TERM": "xterm"}) as process:
        os.close(theirs)
        bar = b""
        try:
            while piece := os.read(ours, 4096):
                bar += piece
        except OSError:  # the end of a terminal
            pass
        os.close(ours)
        assert process.stdout is not None
        output = process.stdout.read()
    assert process.returncode == 0
    assert output.splitlines() == ["exxx0000000001 provisioned", "1 provisioned, 0 known, 0 failed; out"]
    assert b"1/1" in bar


def keys_and_record(folder: Path) -> tuple[int, dict[str, Any]]:
    """How many private keys a gateway's token has, and its record."""
    from smpki.hsm.pin import read_pin
    from smpki.hsm.softhsm import SoftHsm
    from smpki.hsm.token import Token

    softhsm = SoftHsm(folder / "token")
    softhsm.activate(os.environ)
    with Token.open(
        None, folder.name, read_pin(file=folder / "pin", value=None, prompt=None), lock=softhsm.lock
    ) as token:
        return len(token.keys()), json.loads((folder / "delivery.json").read_bytes())["record"]


def workers(pid: int) -> list[int]:
    """The processes that a process has spawned, the Sub-CA's among them."""
    found = [child for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    return [int(child) for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "the run was over before"
        assert time.monotonic() < end
        time.sleep(0.005)


def test_what_a_kill_leaves_is_taken_up(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTHSM2_CONF", "")  # so that it is put back after the test
    count, out = 3, factory.folder / "out"
    line = [*PROVISION, "--count", count, "--workers", 2, "--out", "out"]

    for file in ("request.der", "tls.pem"):
        with factory.start(line, start_new_session=True) as process:
            wait_for(lambda file=file: list(out.glob(f"*/{file}")), process)  # type: ignore[misc]
            os.killpg(process.pid, signal.SIGKILL)

    with factory.start(line) as process:  # only its children die
        wait_for(lambda: len(workers(process.pid)) == 3, process)
        for worker in workers(process.pid):
            os.kill(worker, signal.SIGKILL)
        output, errors = process.communicate()
    assert process.returncode == 1
    assert "process.died" in output + errors

    assert factory.do(*line).splitlines()[-1].endswith(" 0 failed; out")
    issued = {one["serial"].lstrip("0") for one in factory.issued()}
    assert len(issued) == 3 * count
    for number in range(1, count + 1):
        keys, record = keys_and_record(out / f"exxx{number:010}")
        assert keys == 3
        assert record["gateway"]["manufacturer"] == "Hersteller.GWH"


def test_the_manufacturers_key_may_be_in_a_token(factory: Factory, token_home: TokenHome, tmp_path: Path) -> None:
    pin = tmp_path / "token-pin"
    write_pin(pin, token_home.pin)
    token = {"SOFTHSM2_CONF": os.environ["SOFTHSM2_CONF"]}
    label = ["--token", token_home.label, "--key-label", "gwh"]
    folder = factory.participants / "Chip.GWH"
    factory.do(
        *("request", "new", "--cn", "Chip.GWH", *CONTACT, "--out", folder, *label), SMPKI_PIN_FILE=str(pin), **token
    )
    factory.do("issue", folder / "request.der", *SUB_CA, "--out", folder)
    key = ["--token-key", "gwh sig", "--token", token_home.label, "--pin-file", pin]
    line = ["gateway", "provision", *SUB_CA, "--gwh", folder, "--gwa", "Verwalter.GWA", *PLACES]
    factory.do(*line, *key, "--count", 1, "--out", "out", **token)
    factory.do("gateway", "check-delivery", *(factory.folder / "out").glob("*/delivery.json"))


REFUSALS = {
    ("--sub-ca", "Niemand.CA", "--count", "1"): "issuing.issuer.unknown",
    ("--gwh", "Niemand.GWH", "--count", "1"): "keys.missing",
    ("--gwa", "Niemand.GWA", "--count", "1"): "file.unreadable",
    ("--gwh", "Verwalter.GWA", "--count", "1"): "provision.gwh.role",
    ("--gwa", "Hersteller.GWH", "--count", "1"): "provision.gwa.role",
    ("--count", "2", "--first", "99999999"): "device_id.number",
    ("--ids", "twice"): "provision.ids.duplicate",
    ("--ids", "nothing"): "file.unreadable",
    ("--count", "1", "--out", "."): "provision.out.foreign",
}

# Runs command lines one after another in one process; a line of output for each.
RUNNER = """
import contextlib, io, json, sys
from smpki_cli.main import main

if __name__ == "__main__":
    for arguments in json.loads(sys.argv[1]):
        with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(SystemExit):
            main(arguments, prog_name="smpki")
        print(json.dumps(json.loads(output.getvalue())))
"""


def test_what_stands_against_all_of_it_is_said_before(_factory_template: Factory, tmp_path: Path) -> None:
    folder = _factory_template.folder  # nothing is changed
    (folder / "twice").write_text("EABC0000000001\nEABC0000000001\n")
    out = tmp_path / "out"
    lines = [[*PROVISION, "--out", str(out), *change, "--json"] for change in REFUSALS]
    environment = _factory_template.environment({})
    command = [sys.executable, "-c", RUNNER, json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    codes = [json.loads(line)["error"]["code"] for line in done.stdout.splitlines()]
    assert dict(zip(REFUSALS, codes, strict=True)) == REFUSALS
    assert not out.exists()


@pytest.mark.parametrize(
    "change",
    [
        [],
        ["--count", "1", "--ids", "ids"],
        ["--count", "1", "--url", "https://ca.example/"],
        ["--count", "1", "--block", "XY"],
        ["--count", "1", "--time", "gwa.example"],
        ["--count", "1", "--wake-up", "gwa.example:99999"],
    ],
)
def test_calls_that_say_too_little_or_too_much(change: list[str], tmp_path: Path) -> None:
    from click.testing import CliRunner

    from smpki_cli.gateway import gateway_command

    result = CliRunner().invoke(gateway_command, [*PROVISION[1:], "--out", str(tmp_path / "out"), *change])
    assert result.exit_code == 2, result.output
    assert list(tmp_path.iterdir()) == []
