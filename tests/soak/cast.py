"""Who plays in the soak: a PKI, an administrator, a market participant, gateways and their meters."""

import asyncio
import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import soak_faults as faults
import yaml
from cryptography import x509
from soak_gwa import ca, gwa

from smpki.errors import SmpkiError
from smpki.gateway import api
from smpki.gateway.configuration import Configuration as GatewayConfiguration
from smpki.gateway.opening import at_work, open_store
from smpki.gateway.pace import Pace as GatewayPace
from smpki.gateway.readings import Obis
from smpki.gateway.runtime import Gateway, Ready
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.sml_telegram import Register, telegram
from smpki.gateway.store.store import GatewayStore
from smpki.gateway.time_keeper import TimeKeeper
from smpki.hsm.file_vault import FileVault
from smpki.policy.device_id import DeviceId
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import Policy
from smpki.service.administrator.adoption import Adoption
from smpki.service.administrator.authority import issue_at, loaded, process_at
from smpki.service.administrator.configuration import load_configuration
from smpki.service.administrator.orders import Orders
from smpki.service.administrator.pace import Pace
from smpki.service.administrator.server import AdministratorServer
from smpki.service.administrator.store.store import AdministratorStore
from smpki.service.administrator.waking import send_packet
from smpki.service.market_participant.configuration import load_configuration as load_emt
from smpki.service.market_participant.server import market_participant
from smpki.service.market_participant.triples import load_triples
from smpki.service.own_triple import FileOrTokenSource
from smpki.service.trust_material import trust_material

START: datetime = ca.NOW
GWA, SUPPLIER = gwa.US, "Lieferant.EMT"
REGISTERS = (Obis.parse("1-0:1.8.0"), Obis.parse("1-0:2.8.0"))
PERIOD, SCHEDULE = 60, 300
PORT, METERS_PORT = 4300, 4400


@cache
def policy() -> Policy:
    """Gateways' certificates live for two hours, and can be renewed in the second one."""
    document = yaml.safe_load(default_policy_text())
    document["certificates"]["smgw-w"]["validity"]["value"] = "2h"
    document["certificates"]["smgw-w"]["key_use"]["value"] = "2h"
    document["renewal"]["opens_before_end"]["value"] = "1h"
    document["issuing"]["not_after_end_of_day"]["value"] = False
    return load_policy(yaml.safe_dump(document))


class Workshop(ca.Workshop):  # type: ignore[misc]
    """The PKI with that policy."""

    def open(self, **settings: Any) -> Any:
        return super().open(**{"policy": policy(), **settings})


class Office(gwa.Office):  # type: ignore[misc]
    """It and those who turn to it."""

    @property
    def pki(self) -> Workshop:
        home = self.folder / "home"
        return Workshop(ca.Home(home), f"sqlite:///{home / 'smpki.db'}")


def found(folder: Path, gateways: int) -> Office:
    """A PKI, an administrator, a participant, and gateways as their manufacturer delivers them."""
    ca.new_workshop(folder / "home")
    office = Office(folder)
    with office.opened(START) as pki:
        pki.create_root()
        pki.create_sub_ca(ca.SubCaOrder("Beispiel"))
    for name in (GWA, SUPPLIER, gwa.MAKER):
        office.enrol(name)
    root, *_ = x509.load_pem_x509_certificates((folder / GWA / "chain.pem").read_bytes())
    (folder / "root.pem").write_bytes(gwa.pem(root))
    office.publish(START)
    AdministratorStore.create(folder / "gwa.db").close()
    GatewayStore.create(folder / "gateway.db").close()
    for number in range(1, gateways + 1):
        id = gwa.gateway_id(number)
        office.provision(id, folder / id.dns, GWA, START)
    return office


@dataclass
class Stage:
    """Where and when they play.

    :param addresses: the first three octets of addresses of this computer that nobody else uses
    """

    office: Office
    chance: random.Random
    weather: faults.Weather
    addresses: str
    mishaps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ids = count(1)

    @property
    def folder(self) -> Path:
        return self.office.folder

    def now(self) -> datetime:
        return START + timedelta(seconds=self.loop.time())

    def noticed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Something failed that nobody waited for; for the loop."""
        if (error := context.get("exception")) is None or not faults.is_death(error):
            self.mishaps.append(f"{context['message']}: {error!r}")

    def some(self, least: float, most: float) -> float:
        """So many seconds."""
        return self.chance.uniform(least, most)


class Computer:
    """Something that runs, dies, and is started again.

    :param address: of its own
    :ivar starts: how often it was ready
    """

    def __init__(self, stage: Stage, name: str, number: int) -> None:
        self.stage, self.name = stage, name
        self.address = f"{stage.addresses}.{number}"
        self.life: faults.Life | None = None
        self.starts = self.deaths = 0
        self.acts_to_live: tuple[int, int] | None = None
        self._stop = asyncio.Event()

    async def stay(self) -> None:
        """Run until told to end; whoever dies is started again a while later."""
        self._stop.clear()
        while not self._stop.is_set():
            await self._live()
            if not self._stop.is_set():
                self.deaths += 1
                await asyncio.sleep(self.stage.some(1, 120))

    def die(self) -> None:
        if self.life:
            self.life.die()

    def end(self) -> None:
        """In order."""
        self._stop.set()

    async def _live(self) -> None:
        acts = self.acts_to_live and self.stage.chance.randint(*self.acts_to_live)
        self.life = life = faults.Life(self.name, acts)
        task = asyncio.create_task(self._run_as(life))
        dead = asyncio.create_task(life.died.wait())
        await asyncio.wait((task, dead), return_when=asyncio.FIRST_COMPLETED)
        dead.cancel()
        if not life.is_alive:
            task.cancel()
        done, _ = await asyncio.wait((task,), timeout=3600)
        if not done:
            self.stage.mishaps.append(f"{self.name} does not end")
        elif not life.is_alive:
            if not task.cancelled() and not faults.is_death(error := task.exception()):
                self.stage.mishaps.append(f"{self.name} dies of something else: {error!r}")
        elif not self._stop.is_set():
            self.stage.mishaps.append(
                f"{self.name} ended by itself: {None if task.cancelled() else task.exception()!r}"
            )
            life.die()
        elif not task.cancelled() and task.exception():
            self.stage.mishaps.append(f"{self.name} did not end in order: {task.exception()!r}")

    async def _run_as(self, life: faults.Life) -> None:
        faults.LIFE.set(life)
        await self.run(self._stop)

    async def run(self, stop: asyncio.Event) -> None:
        raise NotImplementedError


class Meter:
    """A meter with an adapter that gateways connect to; its registers count.

    :ivar told: what it said at each mark, register by register
    :ivar heard: that of it which nothing kept the gateway from hearing
    """

    def __init__(self, stage: Stage, owner: "GatewayComputer", number: int) -> None:
        self.stage, self.owner = stage, owner
        self.id = DeviceId.parse(f"1ABC00{number:08}")
        self.heard: dict[tuple[datetime, Obis], int] = {}
        self.told: dict[tuple[datetime, Obis], int] = {}
        self.is_silent = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._value = 1000 * number

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, self.owner.address, METERS_PORT)

    def close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def tick(self) -> None:
        """Say at each mark what the registers hold; now and then garbled."""
        while True:
            now = self.stage.now()
            await asyncio.sleep(PERIOD - now.timestamp() % PERIOD + 0.2)
            mark = datetime.fromtimestamp(self.stage.now().timestamp() // PERIOD * PERIOD, UTC)
            await self._say(mark)
            await asyncio.sleep(PERIOD / 2)
            await self._say(None)  # who says nothing for a minute is taken for dead

    async def _say(self, mark: datetime | None) -> None:
        self._value += self.stage.chance.randint(1, 50)
        values = {REGISTERS[0]: self._value, REGISTERS[1]: self._value // 7}
        message = bytearray(telegram(self.id, [Register(obis, value, -1) for obis, value in values.items()]))
        if is_garbled := self.stage.chance.random() < self.stage.weather.bad / 3:
            message[self.stage.chance.randrange(8, len(message))] ^= 1 << self.stage.chance.randrange(8)
        elif mark:
            self.told |= {(mark, obis): value for obis, value in values.items()}
        if self.is_silent:
            return
        line, starts = self._line(), self.owner.starts
        for writer in self._writers:
            writer.write(bytes(message))
        await asyncio.sleep(0.5)
        if mark and line is not None and self._line() is line and self.owner.starts == starts and not is_garbled:
            self.heard |= {(mark, obis): value for obis, value in values.items()}

    def _line(self) -> faults.Line | None:
        """The gateway's end of a connection that carries what is said to a gateway that can keep it."""
        life = self.owner.life
        if life is None or not life.is_alive or life.is_full:
            return None
        return next((line for line in life.lines if line.port == METERS_PORT and line.is_fine), None)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError):
                while await reader.read(100):
                    pass
        finally:
            self._writers.discard(writer)
            writer.close()


class GatewayComputer(Computer):
    """A gateway."""

    def __init__(self, stage: Stage, administrator: "AdministratorComputer", number: int) -> None:
        self.id = gwa.gateway_id(number)
        super().__init__(stage, self.id.dns, number)
        self.administrator = administrator
        self.folder = stage.folder / self.id.dns
        shutil.copyfile(stage.folder / "gateway.db", self.folder / "data" / "gateway.db")
        self.meter = Meter(stage, self, number)
        triple = stage.folder / GWA
        self.configuration = GatewayConfiguration.model_validate(
            {
                "id": self.id.dns,
                "software_keys": str(self.folder / "keys.json"),
                "data": str(self.folder / "data"),
                "wake_up": {"listen": f"{self.address}:{PORT}"},
                "administrator": {
                    "name": GWA,
                    **administrator.places,
                    "certificates": [str(triple / "tls.pem"), str(triple / "sig.pem")],
                },
                "trust": {"chain": [str(triple / "chain.pem")]},
                "meters": [{"source": f"tcp://{self.address}:{METERS_PORT}"}],
                "times": {
                    "management_every_seconds": 3600,
                    "retry_seconds": 10,
                    "longest_retry_seconds": 120,
                    "report_retry_seconds": 10,
                    "report_longest_retry_seconds": 120,
                    "time_every_seconds": 1800,
                },
            }
        )

    async def run(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        pace = GatewayPace(TimeKeeper(self.stage.now(), loop.time), asyncio.sleep, self.stage.chance.random)
        with (
            at_work(self.configuration),
            SecurityModule(FileVault(self.folder / "keys.json")) as module,
            closing(open_store(self.configuration)) as store,
        ):
            gateway = Gateway(
                self.configuration,
                module=module,
                store=store,
                pace=pace,
                software="smpki soak",
                new_id=lambda: f"delivery-{next(self.stage.ids)}",
            )
            await gateway.run(stop, self._ready)

    def _ready(self, ready: Ready) -> None:
        self.starts += 1

    @contextmanager
    def looking(self) -> Iterator[Any]:
        """What its database holds."""
        with closing(GatewayStore.open(self.folder / "data" / "gateway.db")) as store, store.view() as view:
            yield view


@dataclass
class Ca:
    """The PKI as the administrator's jobs see it. Now and then it fails, or its answer gets lost."""

    stage: Stage
    lost: int = 0

    async def issue(self, package: bytes) -> Any:
        return self._answer(lambda: loaded(issue_at(self._open, ca.program.SUB_CA, package)))

    async def process(self, request: bytes) -> None:
        self._answer(lambda: process_at(self._open, request))

    def _answer(self, work: Any) -> Any:
        faults.moment()
        life = faults.LIFE.set(None)  # the PKI's computer is not the administrator's
        try:
            answer = work()
        finally:
            faults.LIFE.reset(life)
        faults.moment()
        if self.stage.chance.random() < 2 * self.stage.weather.bad:
            self.lost += 1
            raise SmpkiError("process.died", "the answer got lost")
        return answer

    def _open(self) -> Any:
        return self.stage.office.opened(self.stage.now())


class AdministratorComputer(Computer):
    """The administrator."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage, GWA, 251)
        parts = ("management", "admin_service", "time")
        self.places = {part: f"{self.address}:{PORT + number}" for number, part in enumerate(parts)}
        self.ca = Ca(stage)
        self.own = stage.office.own(GWA)
        file = stage.folder / "gwa.yaml"
        values = {
            "own": str(stage.folder / GWA),
            "database": "gwa.db",
            "listen": self.places,
            "trust": {"anchors": ["root.pem"], "crl_folder": "published"},
            "accept_from": [gwa.MAKER],
            "times": {
                "longest_retry_seconds": 120,
                "longest_wake_seconds": 120,
                "look_seconds": 60,
                "renew_before_days": 1,
                "renew_again_seconds": 3700,
            },
            "limits": {"renewals": 5},
        }
        file.write_text(yaml.safe_dump(values))
        self.configuration = load_configuration(file)

    def adopt(self, gateway: GatewayComputer) -> None:
        material = trust_material([self.stage.folder / "root.pem"], [], None, self.stage.now)
        with self.looking() as store:
            adoption = Adoption(store, self.own.certificates, self.configuration.accept_from, material, self.stage.now)
            adoption.adopt(
                (gateway.folder / "delivery.json").read_bytes(), "delivery.json", f"{gateway.address}:{PORT}"
            )

    def order(self, gateway: GatewayComputer, kind: str, arguments: Any = None) -> None:
        with self.looking() as store:
            Orders(store, GWA, clock=self.stage.now, within=timedelta(days=1)).order(gateway.id, kind, arguments)

    def set_profiles(self, gateway: GatewayComputer, participant: "ParticipantComputer") -> None:
        """Order whatever is needed for the meter's readings to be delivered."""
        meter, start = gateway.meter.id, self.stage.now()
        profiles = (
            (api.COMMUNICATION_PROFILES, "supplier", participant.profile),
            (
                api.METER_PROFILES,
                meter.dns,
                api.MeterProfile(meter=meter, obis=REGISTERS, registration_period_seconds=PERIOD),
            ),
            (
                api.EVALUATION_PROFILES,
                "load",
                api.EvaluationProfile(
                    name="load", meter=meter, obis=REGISTERS, taf="TAF14", recipients=("supplier",), start=start
                ),
            ),
        )
        bodies = [
            {"folder": folder, "path": f"{folder}{name}", "body": body.to_json().decode()}
            for folder, name, body in profiles
        ]
        self.order(gateway, "set", {"profiles": bodies})

    def done(self, kind: str) -> int:
        """How many jobs of a kind are done."""
        with self.looking() as store, store.view() as view:
            jobs = [job for one in view.gateways.page() for job in view.jobs.of(one.id, limit=1000)]
        return sum(job.kind == kind and job.state == "done" for job in jobs)

    @contextmanager
    def looking(self) -> Iterator[AdministratorStore]:
        """Its database, as another process has it."""
        with closing(AdministratorStore.open(self.stage.folder / "gwa.db")) as store:
            yield store

    async def run(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        pace = Pace(self.stage.now, loop.time, asyncio.sleep)
        with closing(AdministratorStore.open(self.stage.folder / "gwa.db")) as store:
            server = AdministratorServer(self.configuration, self.own, store, self.ca, pace, send=self._send)
            await server.run(stop, self._ready)

    def _ready(self, _: object) -> None:
        self.starts += 1

    async def _send(self, message: bytes, host: str, port: int) -> None:
        if not self.stage.weather.loses_packet():
            await send_packet(message, host, port)


class ParticipantComputer(Computer):
    """The market participant."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage, SUPPLIER, 252)
        file = stage.folder / "emt.yaml"
        values = {
            "listen": f"{self.address}:{PORT}",
            "recipients": ["supplier"],
            "triples": [SUPPLIER],
            "senders": {"trust": {"anchors": ["root.pem"], "crl_folder": "published"}, "administrators": [GWA]},
            "data": "readings",
            "output": {"octets_per_file": 50_000},
        }
        file.write_text(yaml.safe_dump(values))
        self.configuration = load_emt(file)
        self._triples = load_triples(self.configuration.triples, FileOrTokenSource(None, lambda: None))

    @property
    def profile(self) -> api.CommunicationProfile:
        certificate = partial(self.stage.office.certificate, SUPPLIER)
        return api.CommunicationProfile(
            name="supplier",
            url=f"https://{self.address}:{PORT}/readings",
            tls=certificate("tls"),
            enc=certificate("enc"),
            schedule_seconds=SCHEDULE,
        )

    async def run(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        async with market_participant(self.configuration, self._triples, self.stage.now, loop.time):
            self.starts += 1
            await stop.wait()

    def lines(self) -> list[dict[str, Any]]:
        """All that it has taken."""
        files = sorted((self.stage.folder / "readings").glob("readings-*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def own_addresses() -> str:
    """The first three octets of loopback addresses that are this process's."""
    number = os.getpid() % (200 * 250)
    return f"127.{50 + number // 250}.{1 + number % 250}"
