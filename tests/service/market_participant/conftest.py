"""A market participant with its folders, gateways that deliver to it, and a small PKI above both."""

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.gateway import cms
from smpki.gateway.api import Delivery
from smpki.gateway.media_type import cms as cms_type
from smpki.gateway.readings import Obis, Reading
from smpki.policy.device_id import DeviceId
from smpki.service.market_participant.configuration import Configuration, load_configuration
from smpki.service.market_participant.server import database, market_participant
from smpki.service.market_participant.store.store import DeliveryStore
from smpki.service.market_participant.triples import load_triples
from smpki.service.own_triple import FileOrTokenSource
from smpki.tls import http_client
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import exact_match
from smpki.tls.profile import WAN_CLIENT
from smpki.tls.transport import Server, connect

_spec = importlib.util.spec_from_file_location("small_pki", Path(__file__).parents[2] / "trust" / "conftest.py")
assert _spec is not None and _spec.loader is not None
small_pki = sys.modules.setdefault("small_pki", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(small_pki)

METER = DeviceId.parse("1EMH0012345678")
ENERGY = Obis.parse("1-0:1.8.0")
_NUMBERS = count(1)


@pytest.fixture(scope="session")
def pki() -> Any:
    """The small PKI of the tests of chains; its new generation is the one that counts here."""
    return small_pki.SmallPki()


@dataclass(frozen=True)
class Gateway:
    """A gateway with its certificates."""

    id: DeviceId
    tls: Any
    sig: Any


def readings(number: int = 3, *, meter: DeviceId = METER) -> tuple[Reading, ...]:
    start = small_pki.AT - timedelta(days=1)
    return tuple(
        Reading(meter, ENERGY, start + timedelta(minutes=15) * step, 1000 + step, -1, 30, 0xA0)
        for step in range(number)
    )


@dataclass
class World:
    """A market participant before it starts.

    :ivar offset: how far the clock was put forward
    """

    folder: Path
    pki: Any
    offset: timedelta = timedelta()
    settings: dict[str, Any] = field(default_factory=dict)

    METER = METER
    readings = staticmethod(readings)

    def __post_init__(self) -> None:
        new = self.pki.new
        self.enc, self.tls = new.emt["enc"], new.emt["tls"]
        self.write_triple("triple", self.tls, self.enc)
        (self.folder / "root.pem").write_bytes(pem(new.root.certificate))
        (self.folder / "above.pem").write_bytes(b"".join(map(pem, new.helpers)))
        self.write_crls()
        self.settings = {
            "listen": "127.0.0.1:0",
            "path": "/readings",
            "recipients": ["Firma"],
            "triples": ["triple"],
            "senders": {"trust": {"anchors": ["root.pem"], "authorities": ["above.pem"], "crl_folder": "crl"}},
            "data": "data",
        }

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def now(self) -> datetime:
        at: datetime = small_pki.AT
        return at + self.offset

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(asyncio.wait_for(coroutine, 600))

    def gateway(self, id: str = "EABC0012345678", *, administrator: str = "Admin.GWA", **options: Any) -> Gateway:
        """A gateway in operation with new certificates."""
        name = f"CN={id}.SMGW, {self.pki.TEST}, OU={administrator}, serialNumber={options.pop('number', 1)}"
        new = self.pki.new
        tls, sig = (self.pki.issue(name, new.sub_ca, use, crl=new.of_sub_ca, **options) for use in ("tls", "sig"))
        return Gateway(DeviceId.parse(id), tls, sig)

    def participant(self, number: int) -> dict[str, Any]:
        """The next triple of the participant."""
        name = f"CN=Firma.EMT, {self.pki.TEST}, OU=9900000000001, serialNumber={number}"
        new = self.pki.new
        return {use: self.pki.issue(name, new.sub_ca, use, crl=new.of_sub_ca) for use in ("tls", "enc")}

    def write_triple(self, name: str, tls: Any, enc: Any) -> None:
        folder = self.folder / name
        folder.mkdir()
        for use, holder in (("tls", tls), ("enc", enc)):
            (folder / f"{use}.pem").write_bytes(pem(holder.certificate))
            key = folder / f"{use}.key"
            key.write_bytes(holder.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            key.chmod(0o600)

    def write_crls(self, *entries: Any, **options: Any) -> None:
        folder = self.folder / "crl"
        folder.mkdir(exist_ok=True)
        for number, crl in enumerate(self.pki.new.crls(*entries, **options)):
            (folder / f"{number}.new").write_bytes(crl.public_bytes(Encoding.DER))
            (folder / f"{number}.new").replace(folder / f"{number}.crl")

    def suspend(self, *holders: Any) -> None:
        hold = small_pki.x509.ReasonFlags.certificate_hold
        self.write_crls(*(self.pki.Entry(one.certificate, hold) for one in holders), number=2)
        self.offset += timedelta(seconds=2)

    def configuration(self, **changes: Any) -> Configuration:
        file = self.folder / "emt.yaml"
        file.write_text(yaml.safe_dump(merged(self.settings, changes)))
        return load_configuration(file)

    @asynccontextmanager
    async def serving(self, **changes: Any) -> AsyncIterator[Server]:
        """The server; changes of the configuration are merged into it."""
        configuration = self.configuration(**changes)
        triples = load_triples(configuration.triples, FileOrTokenSource(None, lambda: None))
        async with market_participant(configuration, triples, self.now) as server:
            yield server

    def endpoint(self, gateway: Gateway, *above: Any, trusts: Any = None) -> Endpoint:
        check = exact_match([(trusts or self.tls).certificate], now=self.now)
        chain = tuple(one.certificate for one in (gateway.tls, *above))
        return Endpoint(WAN_CLIENT, Identity(chain, gateway.tls.key), check, clock=self.now)

    def client(self, server: Server, gateway: Gateway, *above: Any, trusts: Any = None) -> httpx.AsyncClient:
        """A gateway's HTTP client, which may send certificates above its own."""
        return http_client.client(self.endpoint(gateway, *above, trusts=trusts), "127.0.0.1", server.port)

    @asynccontextmanager
    async def raw(self, server: Server, gateway: Gateway) -> AsyncIterator[tuple[asyncio.StreamReader, Any]]:
        """A TLS connection for a peer who writes HTTP by hand."""
        reader = asyncio.StreamReader()
        transport, _ = await connect(
            lambda: asyncio.StreamReaderProtocol(reader), self.endpoint(gateway), "127.0.0.1", server.port
        )
        try:
            yield reader, transport
        finally:
            transport.abort()

    def delivery(self, gateway: Gateway, **changes: Any) -> Delivery:
        values = {
            "delivery_id": f"delivery-{next(_NUMBERS)}",
            "gateway": gateway.id,
            "recipient": "Firma",
            "created_at": self.now(),
            "readings": readings(),
        }
        return Delivery(**(values | changes))

    def protect(self, content: bytes, gateway: Gateway, *, enc: Any = None, **protection: Any) -> bytes:
        return cms.protect(
            content,
            sender_certificate=gateway.sig.certificate,
            sender_key=gateway.sig.key,
            recipient_certificate=(enc or self.enc).certificate,
            protection=replace(cms.Protection(), **protection),
        )

    async def deliver(
        self, client: httpx.AsyncClient, gateway: Gateway, delivery: Delivery | bytes | None = None, **options: Any
    ) -> httpx.Response:
        """Protect a delivery, or any content, and post it."""
        content = delivery if isinstance(delivery, bytes) else (delivery or self.delivery(gateway)).to_json()
        layers = ["signedData", "authEnvelopedData", *(["compressedData"] if options.get("compress") else [])]
        body = self.protect(content, options.pop("signer", gateway), **options)
        return await client.post("/readings", content=body, headers={"content-type": str(cms_type(*layers))})

    def lines(self) -> list[dict[str, Any]]:
        """All lines that the participant has written."""
        files = sorted(self.data.glob("readings-*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def committed(self) -> list[dict[str, Any]]:
        """The lines that count."""
        store = DeliveryStore.open(database(self.data))
        with store.view() as view:
            taken = view.page(limit=1000).values()
        store.close()
        return [
            json.loads(line)
            for one in taken
            for line in (self.data / f"readings-{one.file:08}.jsonl")
            .read_bytes()[one.from_octet : one.to_octet]
            .decode()
            .splitlines()
        ]

    def taken(self, *deliveries: Delivery) -> list[dict[str, Any]]:
        """The lines that deliveries become."""
        return [
            {"gateway": one.gateway.dns, "delivery_id": one.delivery_id} | reading.as_json()
            for one in deliveries
            for reading in one.readings
        ]


def pem(certificate: Any) -> bytes:
    data: bytes = certificate.public_bytes(Encoding.PEM)
    return data


def merged(settings: Any, changes: Any) -> Any:
    if not isinstance(settings, dict) or not isinstance(changes, dict):
        return changes
    both = {name: merged(settings.get(name), value) for name, value in changes.items()}
    return {name: value for name, value in (settings | both).items() if value is not None}


@pytest.fixture
def world(tmp_path: Path, pki: Any) -> World:
    """A market participant who trusts the small PKI, and its clock."""
    return World(tmp_path, pki)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], Sequence[str]]:
    """``said()``: the warnings and errors in the log since it was last called."""

    def lines() -> Sequence[str]:
        found = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
        caplog.clear()
        return found

    return lines


@pytest.fixture
def codes() -> Callable[[Iterable[httpx.Response]], list[tuple[int, str]]]:
    """``codes(answers)``: status and the rule's code of each."""
    return lambda answers: [(answer.status_code, answer.json()["code"] if answer.content else "") for answer in answers]
