"""A factory in one process, for the tests; it can be told the step at which it kills itself.

Every line of standard input is a :class:`Job` in JSON. It runs in a child forked from this process, which has all
modules loaded; its answer is a line of standard output.
"""

import gc
import importlib.util
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from smpki.errors import SmpkiError
from smpki.gateway.configuration import AdministratorConfiguration, WakeUpConfiguration
from smpki.gateway.factory import Report, make_gateways
from smpki.gateway.factory_folder import FactoryFolder
from smpki.gateway.factory_office import Office
from smpki.gateway.provisioning import commission_for
from smpki.gateway.workbench import Workbench
from smpki.hsm.token import Token
from smpki.hsm.token_vault import TokenVault
from smpki.policy.device_id import DeviceId
from smpki.requests.keys import Signer
from smpki.service.issuing import LocalSubCa
from smpki.service.parties import read_administrator, read_chain


def load(name: str, path: Path) -> Any:
    """A module of another room's tests."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


ca = load("ca_workshop", Path(__file__).parents[2] / "ca" / "conftest.py")
SUB_CA: str = ca.program.SUB_CA
OWNER = {"manufacturer": "Hersteller.GWH", "issuer": SUB_CA}


class Bench:
    """A crew of one, in this process (:class:`smpki.gateway.crew.Crew`).

    :ivar troubles: raised instead of the work on a gateway, each once
    """

    size = 1

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self.troubles: dict[DeviceId, SmpkiError] = {}

    def submit(self, act: Callable[..., Any], device: DeviceId, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            if trouble := self.troubles.pop(device, None):
                raise trouble
            future.set_result(act(self._workbench, device, *arguments))
        except SmpkiError as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Plant:
    """A manufacturer's place: a PKI, the triples of the parties, and a folder for gateways.

    :param world: has the PKI in ``home``, and a folder for each party
    :param maker: the name of the manufacturer's folder, ``receiver`` that of the administrator's
    """

    world: Path
    out: Path
    now: datetime = ca.NOW
    maker: str = "Hersteller.GWH"
    receiver: str = "Verwalter.GWA"

    @contextmanager
    def pki(self) -> Iterator[Any]:
        home = self.world / "home"
        workshop = ca.Workshop(ca.Home(home), f"sqlite:///{home / 'smpki.db'}", self.now)
        with workshop.open() as pki:
            yield pki

    @property
    def manufacturer(self) -> Signer:
        folder = self.world / self.maker
        key: Any = load_pem_private_key((folder / "sig.key").read_bytes(), None)
        return Signer(key, x509.load_pem_x509_certificate((folder / "sig.pem").read_bytes()))

    def office(self) -> Office:
        return Office(
            FactoryFolder(self.out),
            self.manufacturer,
            read_administrator(self.world / self.receiver),
            read_chain(self.world / self.maker),
            lambda: self.now,
        )

    def bench(self) -> Bench:
        administrator = read_administrator(self.world / self.receiver)
        place = AdministratorConfiguration(
            name=administrator.name,
            management="gwa.example:7001",
            admin_service="gwa.example:7002",
            time="gwa.example:7003",
            certificates=tuple(Path(f"gwa-{use}.pem") for use in ("tls", "sig", "enc")),
        )
        wake_up = WakeUpConfiguration(listen="127.0.0.1:0")
        commission = commission_for(self.manufacturer.certificate, administrator, place, wake_up)
        return Bench(Workbench(FactoryFolder(self.out), commission, os.environ))

    def make(self, devices: Iterable[DeviceId], *, bench: Bench | None = None, issuer: Any = None) -> list[Report]:
        """Make gateways; ``issuer`` makes one of an open PKI, a Sub-CA by default."""
        with self.pki() as pki, FactoryFolder(self.out).used_by(OWNER | {"manufacturer": self.maker}):
            counter = (issuer or (lambda pki: LocalSubCa(pki, SUB_CA)))(pki)
            crew: Any = bench or self.bench()
            return list(make_gateways(devices, self.office(), counter, crew))


@dataclass(frozen=True)
class Job:
    """Make a gateway.

    :param die: before the so-manieth step, from 1; 0: never
    """

    world: str
    out: str
    device: str
    die: int = 0


class Fate:
    """Counts steps, and kills the process at one of them.

    Steps are changes of files by Python, keys and objects that were made in a token, packages that were granted.
    """

    def __init__(self, job: Job) -> None:
        self.steps = 0
        self._job = job
        sys.addaudithook(self._system)
        self._watch(Token, "generate")
        self._watch(TokenVault, "store")
        self._watch(LocalSubCa, "issue")

    def step(self) -> None:
        self.steps += 1
        if self.steps == self._job.die:
            os.kill(os.getpid(), signal.SIGKILL)

    def _system(self, name: str, arguments: tuple[Any, ...]) -> None:
        writes = name in ("os.rename", "os.link", "os.mkdir", "os.remove", "subprocess.Popen")
        if name == "open" and str(arguments[0]).startswith(self._job.out):
            writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR)) and not str(arguments[0]).endswith("lock")
        if writes:
            self.step()

    def _watch(self, owner: type, name: str) -> None:
        own = getattr(owner, name)

        def watched(*arguments: Any, **keywords: Any) -> Any:
            done = own(*arguments, **keywords)
            self.step()
            return done

        setattr(owner, name, watched)


def run(job: Job) -> dict[str, Any]:
    fate = Fate(job)
    (report,) = Plant(Path(job.world), Path(job.out)).make([DeviceId.parse(job.device)])
    return {"state": report.state, "error": report.error and report.error.as_dict(), "steps": fate.steps}


def in_a_child(job: Job) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("r") as answer:
        child = os.fork()
        if child == 0:
            try:
                Path(answer.name).write_text(json.dumps(run(job)))
            except BaseException:
                Path(answer.name).write_text(json.dumps({"failed": traceback.format_exc()}))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return {"status": status} | json.loads(answer.read() or "{}")


if __name__ == "__main__":
    gc.freeze()
    for line in sys.stdin:
        print(json.dumps(in_a_child(Job(**json.loads(line)))), flush=True)
