"""A factory with its world: a PKI, two manufacturers and two administrators."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

PROGRAM = Path(__file__).with_name("factory_program.py")


def _load_program() -> Any:
    name = "factory_program"
    spec = importlib.util.spec_from_file_location(name, PROGRAM)
    assert spec is not None and spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


program = _load_program()


def enrol(world: Path, name: str) -> None:
    """A party's triple, in a folder of its own."""
    from smpki.ca.chain import chain_above
    from smpki.ca.triples import Order
    from smpki.participant.key_files import write_keys

    keys, folder = program.ca.make_keys(), world / name
    package = program.ca.Packages().make(name, keys=keys)
    write_keys(folder, keys)
    with program.Plant(world, world).pki() as pki:
        (outcome,) = pki.issue([Order(name, package)], program.SUB_CA)
        assert outcome.error is None, outcome.error
        files = {one.purpose: [one.der] for one in outcome.certificates}
        files["chain"] = [one.der for one in chain_above(pki.store, outcome.certificates[0])]
    for stem, those in files.items():
        pem = b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in those)
        (folder / f"{stem}.pem").write_bytes(pem)


@pytest.fixture(scope="session")
def _world_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = tmp_path_factory.mktemp("factory") / "world"
    world.mkdir()
    program.ca.with_hierarchy(program.ca.new_workshop(world / "home"))
    for name in ("Hersteller.GWH", "Anderer.GWH", "Verwalter.GWA", "Neu.GWA"):
        enrol(world, name)
    return world


@pytest.fixture
def world(_world_template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(_world_template, tmp_path / "world")


@pytest.fixture
def plant(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A factory whose folder is ``tmp_path / "out"``; see ``factory_program.py``."""
    monkeypatch.setenv("SOFTHSM2_CONF", "")  # so that it is put back after the test
    return program.Plant(world, tmp_path / "out")


@pytest.fixture
def device() -> Callable[[], Any]:
    """Call it for a device id; and for another."""
    numbers = count(1)
    return lambda: program.DeviceId(0x0E, "ABC", 0, next(numbers))


class Killer:
    """Lets jobs run in processes of their own; see ``factory_program.py``."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, PROGRAM], stdin=pipe, stdout=pipe, text=True)

    def run(self, **job: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(asdict(program.Job(**job)))}\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "failed" not in answer, answer["failed"]
        return answer

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="session")
def killer() -> Iterator[Killer]:
    client = Killer()
    yield client
    client.close()


@pytest.fixture(name="enrol")
def _enrol() -> Callable[[Path, str], None]:
    """``enrol(world, name)``: a party gets a triple."""
    return enrol
