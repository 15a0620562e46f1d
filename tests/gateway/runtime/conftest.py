"""A gateway with its world: an administrator, market participants and a meter, in a time that tests move."""

import asyncio
import heapq
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import TlsError
from smpki.gateway import api, cms
from smpki.gateway.api_types import to_pem
from smpki.gateway.configuration import Configuration
from smpki.gateway.http_client_rules import Answer, Caller
from smpki.gateway.http_message import Request, Response
from smpki.gateway.http_rules import Service
from smpki.gateway.log_entry import LogEntry
from smpki.gateway.media_type import JSON
from smpki.gateway.module_contents import read_contents
from smpki.gateway.ntp_stream import NtpServerProtocol
from smpki.gateway.opening import open_store
from smpki.gateway.pace import Pace
from smpki.gateway.readings import Obis
from smpki.gateway.runtime import Gateway, Ready
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Group, Slot
from smpki.gateway.sml_telegram import Register, telegram
from smpki.gateway.store.store import GatewayStore
from smpki.gateway.time_keeper import Standing, TimeKeeper
from smpki.gateway.wakeup import build_wake_up
from smpki.hsm.file_vault import FileVault
from smpki.policy.device_id import DeviceId
from smpki.requests.model import Purpose
from smpki.requests.submission import read_submission
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_asker import Asker
from smpki.tls.http_client import accept_clients
from smpki.tls.http_server import serve_http
from smpki.tls.identity import Identity
from smpki.tls.peers import PeerCheck
from smpki.tls.profile import WAN_SERVER
from smpki.tls.transport import Server, TlsTransport, serve

START = datetime(2026, 11, 22, 11, 59, 0, tzinfo=UTC)
GATEWAY = DeviceId.parse("EABC0000000001")
METER = DeviceId.parse("1ABC0012345678")
A_PLUS = Obis.parse("1-0:1.8.0")
PATIENCE = 60.0  # real seconds; only a machine that is busy with something else needs so many


class RealTime:
    """Seconds that pass by themselves."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def now(self) -> float:
        return time.monotonic() - self._begun

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualTime:
    """Seconds that pass when the test says so; whoever sleeps wakes in the right order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), waking))
        await waking

    async def advance(self, seconds: float) -> None:
        """Let so much time pass, and whoever wakes do what can be done without the network."""
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, waking = heapq.heappop(self._sleepers)
            if not waking.done():
                self.now = max(self.now, at)
                waking.set_result(None)
                await settle()
        self.now = end


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def until(true: Callable[[], Any], time: VirtualTime | None = None) -> Any:
    """Wait, in real time, until something is so.

    :param time: let this go on meanwhile, a second at a time
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while not (found := true()):
        assert loop.time() < end, "it does not happen"
        await asyncio.sleep(0.005)
        if time is not None:
            await time.advance(1)
    return found


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 600))


@dataclass
class Triple:
    """Somebody's keys and certificates."""

    name: str
    keys: dict[Purpose, ec.EllipticCurvePrivateKey]
    certificates: dict[Purpose, x509.Certificate]

    @property
    def tls(self) -> x509.Certificate:
        return self.certificates[Purpose.TLS]

    @property
    def identity(self) -> Identity:
        return Identity((self.tls,), self.keys[Purpose.TLS])


MakeTriple = Callable[..., Triple]


@pytest.fixture(scope="session")
def make_triple(certificate_for: Callable[..., x509.Certificate]) -> MakeTriple:
    def make(name: str, **changes: Any) -> Triple:
        keys = {slot.purpose: ec.generate_private_key(ec.BrainpoolP256R1()) for slot in Group.WAN.slots}
        certificates = {
            slot.purpose: certificate_for(slot, keys[slot.purpose].public_key(), name, **changes)
            for slot in Group.WAN.slots
        }
        return Triple(name, keys, certificates)

    return make


def anybody(chain: tuple[x509.Certificate, ...]) -> None:
    """A check that accepts every gateway."""


class Administrator:
    """A gateway administrator: MANAGEMENT, ADMIN-SERVICE and time."""

    def __init__(self, triple: Triple, time: VirtualTime) -> None:
        self.triple, self.time = triple, time
        self.accepts: PeerCheck = anybody
        self.notifications: list[api.Notification] = []
        self.answer_notification: Callable[[api.Notification], int] = lambda _: 204
        self.offset = timedelta()
        """How wrong the time is that it tells."""
        self.calls: asyncio.Queue[Conversation] = asyncio.Queue()
        self.seen: list[x509.Certificate] = []
        self._servers: dict[str, Server] = {}
        self._ports: dict[str, int] = {}

    async def open(self, *parts: str) -> None:
        """Listen, at the ports of before if there were any."""
        endpoint = Endpoint(WAN_SERVER, self.triple.identity, self._check, clock=self._now)

        def time_server() -> NtpServerProtocol:
            return NtpServerProtocol(self._standing, log=lambda _: None, monotonic=self.time.monotonic)

        makers: dict[str, Callable[[int], Awaitable[Server]]] = {
            "management": lambda port: accept_clients(self._asked, endpoint, "127.0.0.1", port),
            "admin_service": lambda port: serve_http(Service(self._notified), endpoint, "127.0.0.1", port),
            "time": lambda port: serve(time_server, endpoint, "127.0.0.1", port),
        }
        for part in parts or makers:
            self._servers[part] = await makers[part](self._ports.get(part, 0))
            self._ports[part] = self._servers[part].port

    async def close(self, *parts: str) -> None:
        for part in parts or tuple(self._servers):
            await self._servers.pop(part).close()

    def address(self, part: str) -> str:
        return f"127.0.0.1:{self._ports[part]}"

    def body(self, **changes: Any) -> api.Administrator:
        values = {
            "name": self.triple.name,
            **{part: self.address(part) for part in ("management", "admin_service", "time")},
            "tls": (self.triple.tls,),
            "sig": (self.triple.certificates[Purpose.SIG],),
        }
        return api.Administrator(**{**values, **changes})

    async def call(self) -> "Conversation":
        """The next MANAGEMENT connection of a gateway."""
        return await asyncio.wait_for(self.calls.get(), PATIENCE)

    def events(self) -> list[str]:
        return [each.event for each in self.notifications]

    def _check(self, chain: tuple[x509.Certificate, ...]) -> None:
        self.accepts(chain)
        self.seen.append(chain[0])

    def _now(self) -> datetime:
        return START + timedelta(seconds=self.time.now)

    def _standing(self) -> Standing:
        return Standing(self._now() + self.offset, trusted=True, stratum=1, set_at=START)

    async def _asked(self, asker: Asker, transport: TlsTransport) -> None:
        conversation = Conversation(Caller(asker), transport)
        await self.calls.put(conversation)
        await conversation.over.wait()

    async def _notified(self, request: Request) -> Response:
        assert request.path == api.NOTIFY
        notification = request.json(api.Notification)
        status = self.answer_notification(notification)
        if status == 204:
            self.notifications.append(notification)
        return Response(status)


class Conversation:
    """A MANAGEMENT connection, as the administrator has it."""

    def __init__(self, caller: Caller, transport: TlsTransport) -> None:
        self.caller, self.transport = caller, transport
        self.over = asyncio.Event()

    async def ask(self, method: str, path: str, body: api.Body | None = None) -> Answer:
        return await self.caller.ask(method, path, body.to_json() if body else b"", JSON if body else None)

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    async def put(self, path: str, body: api.Body) -> int:
        return (await self.ask("PUT", path, body)).status

    async def post(self, path: str, body: api.Body | None = None) -> int:
        return (await self.ask("POST", path, body)).status

    async def status(self) -> api.Status:
        return (await self.ask("GET", api.STATUS)).json(api.Status)

    async def refusal(self, method: str, path: str, body: api.Body | None = None) -> tuple[int, str]:
        answer = await self.ask(method, path, body)
        return answer.status, answer.json(api.Problem).code

    def end(self) -> None:
        self.over.set()

    async def closed(self) -> None:
        """Wait until the gateway has closed it."""
        with suppress(TlsError):
            await asyncio.wait_for(self.transport.wait_closed(), PATIENCE)
        self.end()


class Participant:
    """A market participant that answers as a test wants."""

    def __init__(self, triple: Triple, sender: Callable[[], x509.Certificate]) -> None:
        self.triple, self.sender = triple, sender
        self.messages: list[bytes] = []
        self.types: list[str] = []
        self.protections: list[cms.Protection] = []
        self.deliveries: list[api.Delivery] = []
        self.answer: Callable[[int], int | Awaitable[int]] = lambda number: 204
        """The status for the n-th message, from 1."""
        self._server: Server | None = None
        self.port = 0

    async def open(self) -> None:
        now = lambda: START  # noqa: E731
        endpoint = Endpoint(WAN_SERVER, self.triple.identity, anybody, clock=now)
        self._server = await serve_http(Service(self._take), endpoint, "127.0.0.1", self.port)
        self.port = self._server.port

    async def close(self) -> None:
        if self._server:
            await self._server.close()
            self._server = None

    def profile(self, name: str = "supplier", **changes: Any) -> api.CommunicationProfile:
        values = {
            "name": name,
            "url": f"https://127.0.0.1:{self.port}/deliveries",
            "tls": self.triple.tls,
            "enc": self.triple.certificates[Purpose.ENC],
            "schedule_seconds": 60,
        }
        return api.CommunicationProfile(**{**values, **changes})

    def read(self, message: bytes) -> api.Delivery:
        opened = cms.open(
            message,
            recipient_certificate=self.triple.certificates[Purpose.ENC],
            recipient_key=self.triple.keys[Purpose.ENC],
            sender_certificate=self.sender(),
        )
        self.protections.append(opened.protection)
        return api.Delivery.model_validate_json(opened.content)

    @property
    def transports(self) -> tuple[TlsTransport, ...]:
        """The connections there are."""
        return self._server.connections if self._server else ()

    @property
    def taken(self) -> list[tuple[datetime, int]]:
        """Moments and values of the readings, of each delivery id once."""
        once = {each.delivery_id: each for each in self.deliveries}
        return [(reading.captured_at, reading.value) for each in once.values() for reading in each.readings]

    async def _take(self, request: Request) -> Response:
        assert request.path == "/deliveries"
        self.messages.append(request.body)
        self.types.append(request.fields["content-type"])
        status = self.answer(len(self.messages))
        status = status if isinstance(status, int) else await status
        if status < 300 or status == 409:
            self.deliveries.append(self.read(request.body))
        return Response(status)


@dataclass
class World:
    """One gateway and whom it knows."""

    folder: Path
    time: VirtualTime
    administrator: Administrator
    participant: Participant
    settings: dict[str, Any] = field(default_factory=dict)
    guess: timedelta = timedelta()
    """How wrong the gateway's clock is when it starts."""
    ready: Ready | None = None
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def meter_file(self) -> Path:
        return self.folder / "meter.bin"

    def write_administrator(self) -> None:
        """The certificates that the gateway's configuration names."""
        certificates = self.administrator.triple.certificates.values()
        (self.folder / "gwa.pem").write_text("".join(map(to_pem, certificates)))

    def module(self) -> SecurityModule:
        return SecurityModule(FileVault(self.folder / "keys.json"))

    def configuration(self) -> Configuration:
        values = {
            "id": GATEWAY.dns,
            "software_keys": str(self.folder / "keys.json"),
            "data": str(self.folder / "data"),
            "wake_up": {"listen": "127.0.0.1:0"},
            "administrator": {
                "name": self.administrator.triple.name,
                **{part: self.administrator.address(part) for part in ("management", "admin_service", "time")},
                "certificates": [str(self.folder / "gwa.pem")],
            },
            "meters": [{"source": f"file:{self.meter_file}"}],
            "times": {
                "retry_seconds": 5,
                "report_retry_seconds": 5,
                "notify_every_seconds": 1,
                "answer_seconds": 1,
                "connect_seconds": 1,
            },
        }
        return Configuration.model_validate({**values, **self.settings})

    def gateway(self, module: SecurityModule, store: GatewayStore) -> Gateway:
        keeper = TimeKeeper(START + timedelta(seconds=self.time.now) + self.guess, self.time.monotonic)
        pace = Pace(keeper, self.time.sleep, lambda: 0.5)
        return Gateway(
            self.configuration(),
            module=module,
            store=store,
            pace=pace,
            software="smpki test",
            new_id=lambda: f"delivery-{next(self.ids)}",
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The gateway, from its start to its graceful end."""
        stop = asyncio.Event()
        with self.module() as module:
            store = open_store(self.configuration())
            task = asyncio.create_task(self.gateway(module, store).run(stop, self._note_ready))
            try:
                await until(lambda: self.ready or task.done())
                yield
            finally:
                stop.set()
                self.ready = None
                await task
                store.close()

    def _note_ready(self, ready: Ready) -> None:
        self.ready = ready

    def store(self) -> GatewayStore:
        return GatewayStore.open(self.folder / "data" / "gateway.db")

    def log(self, log: str = "system") -> list[LogEntry]:
        store = self.store()
        with store.view() as view:
            entries = view.logs.page(log, limit=100_000)  # type: ignore[arg-type]
        store.close()
        return list(entries)

    def events(self) -> list[str]:
        return [entry.event for entry in self.log()]

    def wake(self, *, seconds: float = 0, signer: Triple | None = None) -> bytes:
        """Send a wake-up; returns it.

        :param seconds: how much later than now it says it was sent
        """
        assert self.ready is not None
        key = (signer or self.administrator.triple).keys[Purpose.SIG]
        message = build_wake_up(GATEWAY, START + timedelta(seconds=self.time.now + seconds), key)
        self.send(message)
        return message

    def send(self, message: bytes) -> None:
        assert self.ready is not None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(message, self.ready.wake_up)

    def measure(self, value: int, *, meter: DeviceId = METER, obis: Obis = A_PLUS, status: int | None = None) -> None:
        """The meter sends a telegram."""
        with self.meter_file.open("ab") as file:
            file.write(self.telegram(value, meter, obis, status))

    @staticmethod
    def telegram(value: int, meter: DeviceId = METER, obis: Obis = A_PLUS, status: int | None = None) -> bytes:
        return telegram(meter, [Register(obis, value, -1, 30, status)])

    def now(self) -> datetime:
        """The right time."""
        return START + timedelta(seconds=self.time.now)

    async def until(self, true: Callable[[], Any], *, passing: bool = False) -> Any:
        """Wait until something is so.

        :param passing: the gateway's time passes meanwhile
        """
        return await until(true, self.time if passing else None)

    async def at_mark(self, value: int, period: int = 60, *, status: int | None = None) -> datetime:
        """Let time pass until shortly before the next mark, have the meter send, let the mark pass."""
        await self.time.advance(period - self.now().timestamp() % period - 1)
        self.measure(value, status=status)
        await self.time.advance(3)
        return self.now() - timedelta(seconds=self.now().timestamp() % period)

    async def set_up(self, talk: Conversation, **changes: Any) -> None:
        """The profiles by which readings of the meter go to the participant, each minute."""
        base = api.BASE
        meter = api.MeterProfile(meter=METER, obis=(A_PLUS,), registration_period_seconds=60)
        evaluation = api.EvaluationProfile(
            name="load", meter=METER, obis=(A_PLUS,), taf="TAF14", recipients=("supplier",), start=START
        )
        profile = self.participant.profile(**changes)
        for path, body in (
            (f"{base}/rts/CommunicationProfile/supplier", profile),
            (f"{base}/rts/MeterProfile/{METER.dns}", meter),
            (f"{base}/rts/EvaluationProfile/load", evaluation),
        ):
            assert await talk.put(path, body) == 204

    async def renew(self, talk: Conversation, certificate_for: Any, name: str | None = None, **changes: Any) -> None:
        """Prepare new keys and put certificates for them."""
        answer = await talk.ask("POST", api.PREPARE_WAN_KEYS, api.PrepareWanKeys(kind="renewal"))
        package = answer.json(api.WanKeys).package
        submission = read_submission(package)
        for request in submission.package.requests:
            slot = next(slot.next for slot in Group.WAN.slots if slot.purpose is request.purpose)
            certificate = certificate_for(slot, request.public_key, name or f"{GATEWAY}.SMGW", **changes)
            assert await talk.put(f"{api.CERTIFICATES}{slot.value}", api.SlotCertificate(pem=certificate)) == 204


Story = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def real_time() -> RealTime:
    """For processes: what a test can't move."""
    return RealTime()


@pytest.fixture
def tell(
    tmp_path: Path, make_triple: MakeTriple, certificate_for: Callable[..., x509.Certificate]
) -> Callable[..., None]:
    """``tell(story, **settings)``: run a coroutine function with a world whose servers are open.

    ``time=...`` is another one than that which the test moves.
    """

    def tell(story: Story, *, time: Any = None, **settings: Any) -> None:
        run(_telling(story, tmp_path, make_triple, certificate_for, time or VirtualTime(), settings))

    return tell


async def _telling(
    story: Story,
    folder: Path,
    make_triple: MakeTriple,
    certificate_for: Any,
    time: Any,
    settings: dict[str, Any],
) -> None:
    with SecurityModule(FileVault(folder / "keys.json")) as module:
        for slot in Group.WAN.slots:
            public_key = module.generate(slot.next)
            module.install(slot.next, certificate_for(slot, public_key, f"{GATEWAY}.SMGW"))
        module.activate()
    administrator = Administrator(make_triple("Verwalter.GWA"), time)
    participant = Participant(make_triple("Lieferant.EMT"), lambda: current_sig(folder))
    await administrator.open()
    await participant.open()
    world = World(folder, time, administrator, participant, settings)
    world.write_administrator()
    world.meter_file.touch()
    try:
        await story(world)
    finally:
        await administrator.close()
        await participant.close()


def current_sig(folder: Path) -> x509.Certificate:
    """The SIG certificate that is current in the gateway's file of keys, which another process may have open."""
    vault = FileVault(folder / "keys.json")
    held = read_contents("smgw", vault.keys(), vault.objects()).held(Slot.WAN_SIG)
    assert held is not None and held.certificate is not None
    return held.certificate
