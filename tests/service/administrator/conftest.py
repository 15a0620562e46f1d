"""An administrator with its world: a PKI, manufacturers, another administrator, and real gateways, in a time that
tests move."""

import asyncio
import importlib.util
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.chain import chain_above
from smpki.ca.crl_publish import publish
from smpki.ca.crl_series import crl_series
from smpki.ca.triples import Order
from smpki.gateway import api
from smpki.gateway.configuration import Configuration as GatewayConfiguration
from smpki.gateway.delivery_record import (
    Administrator,
    DeliveryRecord,
    Module,
    Triple,
    sign_delivery,
)
from smpki.gateway.delivery_record import Gateway as DeliveredGateway
from smpki.gateway.opening import open_store
from smpki.gateway.pace import Pace as GatewayPace
from smpki.gateway.runtime import Gateway, Ready
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Group
from smpki.gateway.store.store import GatewayStore
from smpki.gateway.time_keeper import TimeKeeper
from smpki.hsm.file_vault import FileVault
from smpki.participant.acts import authorise
from smpki.participant.key_files import write_keys
from smpki.policy.device_id import DeviceId
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.keys import Signer
from smpki.service.administrator import runner
from smpki.service.administrator.adoption import Adoption
from smpki.service.administrator.authority import issue_at, loaded, process_at
from smpki.service.administrator.configuration import Configuration, load_configuration
from smpki.service.administrator.orders import Orders
from smpki.service.administrator.own import Own, load_own
from smpki.service.administrator.pace import Pace
from smpki.service.administrator.server import AdministratorServer, Running
from smpki.service.administrator.store.jobs import Job
from smpki.service.administrator.store.store import AdministratorStore
from smpki.service.own_triple import FileOrTokenSource
from smpki.service.trust_material import trust_material


def _load(name: str, *path: str) -> Any:
    """Another room's fixtures, for what is in their module."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2].joinpath(*path))
    assert spec is not None and spec.loader is not None
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


ca = _load("ca_workshop", "ca", "conftest.py")
gateway_world = _load("gateway_world", "gateway", "runtime", "conftest.py")
gateway_world.PATIENCE = 120.0  # real seconds: a job takes several connections

START: datetime = ca.NOW
US, OTHER, MAKER = "Verwalter.GWA", "Neu.GWA", "Hersteller.GWH"
CONTACT = RequestedNames("post@firma.example", "https://firma.example/", ("ws.firma.example",))
SOFTWARE = Module(label="-", manufacturer="-", model="-", serial="-", library="-", firmware="-")


READY_MADE = 3
"""Gateways that are made for us before the tests begin."""


def gateway_id(number: int) -> DeviceId:
    return DeviceId.parse(f"EABC00{number:08}")


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


@dataclass
class Office:
    """A PKI in a folder, and the triples of those who turn to it.

    :param folder: of the PKI, and of who is enrolled
    :param template: of those who were enrolled before
    """

    folder: Path
    template: Path | None = None

    def triple(self, name: str) -> Path:
        """The folder of somebody's triple."""
        own = self.folder / name
        return own if own.exists() or self.template is None else self.template / name

    @property
    def pki(self) -> Any:
        home = self.folder / "home"
        return ca.Workshop(ca.Home(home), f"sqlite:///{home / 'smpki.db'}")

    def issue(
        self, package: bytes, now: datetime, *, again: bool = False
    ) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
        """Certificates for a package, and the chain above them."""
        pki = self.pki
        pki.now = now
        with pki.open() as opened:
            (outcome,) = opened.issue([Order("package", package, again=again)], ca.program.SUB_CA)
            assert outcome.error is None, outcome.error
            found = outcome.certificates, chain_above(opened.store, outcome.certificates[0])
            certificates, chain = ([x509.load_der_x509_certificate(one.der) for one in part] for part in found)
            return certificates, chain

    def enrol(self, name: str, *, again: bool = False) -> None:
        """A triple in a folder of its own."""
        keys = ca.make_keys()
        subject = DistinguishedName.of(CN=name, O="SM-Test-PKI-DE", OU="9900000000001", C="DE", serialNumber="1")
        package = build_initial_package(subject.to_x509(), keys, CONTACT)
        certificates, chain = self.issue(package, START, again=again)
        folder = self.folder / name
        write_keys(folder, keys)
        for use, certificate in zip(("tls", "sig", "enc"), certificates, strict=True):
            (folder / f"{use}.pem").write_bytes(pem(certificate))
        (folder / "chain.pem").write_bytes(pem(*chain))

    def own(self, name: str) -> Own:
        return load_own(self.triple(name), FileOrTokenSource(None, lambda: None))

    def signer(self, name: str) -> Signer:
        file = self.triple(name) / "sig.pem"
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        return Signer(FileOrTokenSource(None, lambda: None).key_of(certificate, file), certificate)

    def certificate(self, name: str, use: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.triple(name) / f"{use}.pem").read_bytes())

    def provision(self, id: DeviceId, folder: Path, administrator: str, now: datetime) -> None:
        """Make a gateway: its keys in ``keys.json``, its record in ``delivery.json``, an empty database."""
        slots = Group.WAN.slots
        (folder / "data").mkdir(parents=True)
        with SecurityModule(FileVault(folder / "keys.json")) as module:
            for slot in slots:
                module.generate(slot.next)
            name = DistinguishedName.of(
                CN=f"{id}.SMGW", O="SM-Test-PKI-DE", OU="Hersteller GmbH", C="DE", serialNumber="0"
            )
            package = build_initial_package(name.to_x509(), module.next_triple(), RequestedNames())
            certificates, chain = self.issue(authorise(package, self.signer(MAKER), now), now)
            for slot, certificate in zip(slots, certificates, strict=True):
                module.install(slot.next, certificate)
            module.activate()
        uses = ("tls", "sig", "enc")
        record = DeliveryRecord(
            version=1,
            gateway=DeliveredGateway(id=id, manufacturer=MAKER),
            certificates=Triple(**dict(zip(uses, certificates, strict=True))),
            chain=tuple(chain),
            trust_anchors=tuple(chain[:1]),
            gwa=Administrator(name=administrator, **{use: self.certificate(administrator, use) for use in uses}),
            module=SOFTWARE,
            package="0" * 64,
            created_at=now,
        )
        signer = self.signer(MAKER)
        (folder / "delivery.json").write_bytes(sign_delivery(record, signer.certificate, signer.key))
        shutil.copyfile((self.template or self.folder) / "gateway.db", folder / "data" / "gateway.db")

    def publish(self, now: datetime) -> None:
        """New revocation lists, in the folder ``published``."""
        with self.opened(now) as pki:
            pki.crls.issue()
            publish(pki.store, list(crl_series(pki.store, pki.policy, pki.environment)), self.folder / "published")

    @contextmanager
    def opened(self, now: datetime) -> Iterator[Any]:
        pki = self.pki
        pki.now = now
        with pki.open() as opened:
            yield opened


@pytest.fixture(scope="session")
def _office_of_gwa(tmp_path_factory: pytest.TempPathFactory) -> Office:
    folder = tmp_path_factory.mktemp("office")
    ca.with_hierarchy(ca.new_workshop(folder / "home"))
    office = Office(folder)
    for name in (US, OTHER, MAKER):
        office.enrol(name)
    AdministratorStore.create(folder / "gwa.db").close()
    GatewayStore.create(folder / "gateway.db").close()
    for number in range(1, READY_MADE + 1):
        id = gateway_id(number)
        office.provision(id, folder / id.dns, US, START)
    return office


@dataclass
class Ca:
    """The PKI as an administrator's jobs see it.

    :ivar refuses: raised instead of an answer, each once
    :ivar packages: those it was given
    """

    office: Office
    clock: Callable[[], datetime]
    troubles: list[Exception] = field(default_factory=list)
    packages: list[bytes] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)

    async def issue(self, package: bytes) -> Any:
        self._trouble()
        self.packages.append(package)
        return loaded(issue_at(self._open, ca.program.SUB_CA, package))

    async def process(self, request: bytes) -> None:
        self._trouble()
        self.requests.append(request)
        process_at(self._open, request)

    def _open(self) -> Any:
        return self.office.opened(self.clock())

    def _trouble(self) -> None:
        if self.troubles:
            raise self.troubles.pop(0)


@dataclass
class Desk:
    """One administrator: its configuration, its database, and what runs of it."""

    world: "World"
    name: str
    folder: Path
    settings: dict[str, Any]
    running: Running | None = None
    ports: dict[str, str] = field(default_factory=dict)
    wake_ups: list[tuple[bytes, str, int]] = field(default_factory=list)
    trust: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server: AdministratorServer
        self.task: asyncio.Task[None]
        self.folder.mkdir()
        shutil.copyfile((self.world.office.template or self.world.office.folder) / "gwa.db", self.folder / "gwa.db")
        self.ca = Ca(self.world.office, self.world.now)
        self.own = self.world.office.own(self.name)

    @property
    def configuration(self) -> Configuration:
        values = {
            "own": str(self.world.office.triple(self.name)),
            "database": "gwa.db",
            "listen": {part: self.ports.get(part, "127.0.0.1:0") for part in ("management", "admin_service", "time")},
            "trust": {"anchors": [str(self.world.folder / "root.pem")], **self.trust},
            "accept_from": [MAKER, US, OTHER],
        }
        file = self.folder / "gwa.yaml"
        file.write_text(yaml.safe_dump(values | self.settings))
        return load_configuration(file)

    @cached_property
    def store(self) -> AdministratorStore:
        """The database, as another process has it."""
        return AdministratorStore.open(self.folder / "gwa.db")

    @asynccontextmanager
    async def serving(self, **changes: Any) -> AsyncIterator["Desk"]:
        """The administrator's servers and jobs, at the same ports again."""
        pace = Pace(self.world.now, self.world.time.monotonic, self.world.time.sleep)
        store, stop = AdministratorStore.open(self.folder / "gwa.db"), asyncio.Event()
        self.server = server = AdministratorServer(
            self.configuration, self.own, store, self.ca, pace, send=changes.get("send", self._send)
        )
        self.task = task = asyncio.create_task(server.run(stop, self._note_running))
        try:
            await self.world.until(lambda: self.running or task.done())
            yield self
        finally:
            stop.set()
            self.running = None
            try:
                await task
            finally:
                store.close()

    async def end(self) -> None:
        """Wait until it ends without being told to."""
        await self.world.until(self.task.done)

    def _note_running(self, running: Running) -> None:
        self.running = running
        self.ports = running.places.model_dump()

    async def _send(self, message: bytes, host: str, port: int) -> None:
        self.wake_ups.append((message, host, port))
        for gateway in self.world.gateways:
            if gateway.ready and gateway.ready.wake_up == (host, port):
                gateway.send(message)

    def adopt(self, record: bytes, wake_up: str | None = None) -> Any:
        material = trust_material([self.world.folder / "root.pem"], [], None, self.world.now)
        adoption = Adoption(self.store, self.own.certificates, self.configuration.accept_from, material, self.world.now)
        return adoption.adopt(record, "delivery.json", wake_up)

    @property
    def orders(self) -> Orders:
        within = timedelta(seconds=self.configuration.times.job_seconds)
        return Orders(self.store, self.name, clock=self.world.now, within=within)

    def order(self, gateway: "TestGateway", kind: str, arguments: Any = None) -> Job:
        job = self.orders.order(gateway.id, kind, arguments)
        if self.running:
            self.running.look()
        return job

    def job(self, job: Job) -> Job:
        with self.store.view() as view:
            return view.jobs.get(job.number)

    async def done(self, job: Job) -> Job:
        """The job, once it is over."""
        await self.world.until(lambda: self.job(job).state != "open")
        return self.job(job)

    async def late(self, job: Job) -> Job:
        """The job, once its time is up."""
        await self.world.leap((job.deadline - self.world.now()).total_seconds())
        return await self.done(job)

    async def do(self, gateway: "TestGateway", kind: str, arguments: Any = None) -> Job:
        """Order a job, and wait until it is done."""
        job = await self.done(self.order(gateway, kind, arguments))
        assert job.state == "done", job.error
        return job

    def gateway(self, gateway: "TestGateway") -> Any:
        with self.store.view() as view:
            return view.gateways.get(gateway.id)

    def events(self, gateway: "TestGateway | None" = None) -> list[str]:
        """What has happened, the first in front."""
        with self.store.view() as view:
            return [one.event for one in reversed(view.journal.events(gateway and gateway.id, limit=1000))]

    def body(self) -> api.Administrator:
        """Who it is, for gateways."""
        own = self.own.certificates
        return api.Administrator(name=self.name, tls=(own.tls,), sig=(own.sig,), **self.ports)


@dataclass
class TestGateway:
    """A real gateway, its keys in a file."""

    __test__ = False

    world: "World"
    id: DeviceId
    folder: Path
    administrator: Desk
    settings: dict[str, Any] = field(default_factory=dict)
    ready: Ready | None = None
    record: bytes = b""

    def module(self) -> SecurityModule:
        return SecurityModule(FileVault(self.folder / "keys.json"))

    def provision(self) -> None:
        """What its manufacturer does, or did."""
        office, name = self.world.office, self.administrator.name
        made = (office.template or office.folder) / self.id.dns
        if made.exists() and name == US:
            shutil.copytree(made, self.folder)
        else:
            office.provision(self.id, self.folder, name, self.world.now())
        self.record = (self.folder / "delivery.json").read_bytes()

    def configuration(self) -> GatewayConfiguration:
        gwa = self.world.office.triple(self.administrator.name)
        values = {
            "id": self.id.dns,
            "software_keys": str(self.folder / "keys.json"),
            "data": str(self.folder / "data"),
            "wake_up": {"listen": "127.0.0.1:0"},
            "administrator": {
                "name": self.administrator.name,
                **self.administrator.ports,
                "certificates": [str(gwa / "tls.pem"), str(gwa / "sig.pem")],
            },
            "trust": {"chain": [str(gwa / "chain.pem")]},
            "times": {"retry_seconds": 5, "notify_every_seconds": 1, "answer_seconds": 1},
        }
        return GatewayConfiguration.model_validate({**values, **self.settings})

    @asynccontextmanager
    async def running(self) -> AsyncIterator["TestGateway"]:
        """The gateway, from its start to its graceful end."""
        time, stop = self.world.time, asyncio.Event()
        pace = GatewayPace(TimeKeeper(self.world.now(), time.monotonic), time.sleep, lambda: 0.5)
        with self.module() as module:
            store = open_store(self.configuration())
            gateway = Gateway(
                self.configuration(),
                module=module,
                store=store,
                pace=pace,
                software="smpki test",
                new_id=lambda: f"delivery-{next(self.world.numbers)}",
            )
            task = asyncio.create_task(gateway.run(stop, self._note_ready))
            try:
                await self.world.until(lambda: self.ready or task.done())
                self.administrator.adopt(self.record, self.wake_up)
                yield self
            finally:
                stop.set()
                self.ready = None
                await task
                store.close()

    @property
    def wake_up(self) -> str:
        assert self.ready is not None
        host, port = self.ready.wake_up
        return f"{host}:{port}"

    def send(self, message: bytes) -> None:
        """A packet to its wake-up port."""
        assert self.ready is not None
        with gateway_world.socket.socket(type=gateway_world.socket.SOCK_DGRAM) as udp:
            udp.sendto(message, self.ready.wake_up)

    def _note_ready(self, ready: Ready) -> None:
        self.ready = ready

    def current(self) -> Any:
        """The certificates in its current slots."""
        vault = FileVault(self.folder / "keys.json")
        contents = gateway_world.read_contents("smgw", vault.keys(), vault.objects())
        return tuple(contents.held(slot).certificate for slot in Group.WAN.slots)


@dataclass
class World:
    """All of it."""

    office: Office
    folder: Path
    time: Any = field(default_factory=gateway_world.VirtualTime)
    gateways: list[TestGateway] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    new_keys = staticmethod(ca.make_keys)
    certificate = staticmethod(lambda text: x509.load_pem_x509_certificate(text.encode()))

    US, OTHER, MAKER = US, OTHER, MAKER

    def __post_init__(self) -> None:
        chain = x509.load_pem_x509_certificates((self.office.triple(US) / "chain.pem").read_bytes())
        (self.folder / "root.pem").write_bytes(pem(chain[0]))

    def now(self) -> datetime:
        return START + timedelta(seconds=self.time.now)

    def desk(self, name: str = US, **settings: Any) -> Desk:
        """An administrator."""
        return Desk(self, name, self.folder / name, settings)

    def gateway(self, administrator: Desk, **settings: Any) -> TestGateway:
        """A gateway that was made for an administrator, whose ports are known."""
        id = gateway_id(next(self.numbers))
        made = TestGateway(self, id, self.folder / id.dns, administrator, settings)
        made.provision()
        self.gateways.append(made)
        return made

    async def leap(self, seconds: float) -> None:
        """Let much time pass at once: what goes on every second meanwhile does so but once."""
        self.time.now += seconds
        await self.time.advance(1)

    async def until(self, true: Callable[[], Any]) -> Any:
        """Let time pass until something is so."""
        return await gateway_world.until(true, self.time)


Story = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def world(_office_of_gwa: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(runner, "_LOOK", 5.0)  # orders come from this process; to look for others' takes its time
    office = Office(tmp_path / "office", _office_of_gwa.folder)
    shutil.copytree(_office_of_gwa.folder / "home", office.folder / "home")
    return World(office, tmp_path)


@pytest.fixture
def tell(world: World) -> Callable[[Story], None]:
    """``tell(story)``: run a coroutine function with the world."""
    return lambda story: gateway_world.run(story(world))


@pytest.fixture
def opened(world: World) -> Callable[..., Any]:
    """``async with opened() as (desk, gateway)``: our administrator at work, and a gateway of ours that is adopted."""

    @asynccontextmanager
    async def open(*, start: bool = True, gateway: dict[str, Any] | None = None, **settings: Any) -> Any:
        desk = world.desk(**settings)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(desk.serving())
            made = world.gateway(desk, **(gateway or {}))
            desk.adopt(made.record)
            if start:
                await stack.enter_async_context(made.running())
            yield desk, made

    return open
