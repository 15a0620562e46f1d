"""Gateways that deliver readings, and the market participant that takes them; all keys in memory."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.gateway import cms
from smpki.gateway.api import CommunicationProfile, EvaluationProfile, MeterProfile
from smpki.gateway.cms_seal import Randomness
from smpki.gateway.configuration import Limits, Times
from smpki.gateway.journal import Journal
from smpki.gateway.media_type import cms as cms_type
from smpki.gateway.pace import Pace
from smpki.gateway.profiles import Profiles
from smpki.gateway.readings import Obis, Reading
from smpki.gateway.reporting import Reporting
from smpki.gateway.sealing import Sealer
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Group, Slot
from smpki.gateway.store.store import GatewayStore
from smpki.gateway.time_keeper import Measurement, TimeKeeper
from smpki.gateway.wan import Wan
from smpki.hsm.software_vault import SoftwareVault
from smpki.policy.device_id import DeviceId
from smpki.policy.names import DistinguishedName
from smpki.requests.model import Purpose
from smpki.service.market_participant.configuration import Configuration
from smpki.service.market_participant.triples import OwnTriple
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import exact_match
from smpki.tls.profile import WAN_CLIENT
from smpki.tls.transport import TIMING, connect

_NAME, _PATH = "Company", "/readings"
_ENERGY = Obis.parse("1-0:1.8.0")
_START = datetime(2026, 1, 1, tzinfo=UTC)
_CURVE = ec.BrainpoolP256R1()
_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
_NUMBERS = count(1)
_CA_KEY = ec.generate_private_key(_CURVE)


def _certify(name: str, purpose: Purpose, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
    subject, now = DistinguishedName.parse(name).to_x509(), datetime.now(UTC)
    used = "key_agreement" if purpose is Purpose.ENC else "digital_signature"
    builder = (
        x509.CertificateBuilder(subject, subject, key, next(_NUMBERS))
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.KeyUsage(**{usage: usage == used for usage in _USAGES}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
    if purpose is Purpose.TLS:
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    return builder.sign(_CA_KEY, hashes.SHA256())


class Participant:
    """A market participant who knows the gateways by their very certificates."""

    def __init__(self) -> None:
        self._tls_key, self._enc_key = ec.generate_private_key(_CURVE), ec.generate_private_key(_CURVE)
        name = f"CN={_NAME}.EMT, O=SM-Test-PKI-DE, C=DE"
        self.tls = _certify(name, Purpose.TLS, self._tls_key.public_key())
        self.enc = _certify(name, Purpose.ENC, self._enc_key.public_key())

    @property
    def triple(self) -> OwnTriple:
        """Certificates and keys."""
        return OwnTriple(Identity((self.tls,), self._tls_key), (self.enc, self._enc_key))

    def configuration(self, folder: Path, gateways: Sequence["Gateway"]) -> Configuration:
        """What its server does.

        :param folder: a new one, for the gateways' certificates and all that it writes
        """
        known = folder / "known"
        known.mkdir(parents=True)
        for gateway in gateways:
            own = (gateway.module.certificate(slot) for slot in (Slot.WAN_TLS, Slot.WAN_SIG))
            pem = b"".join(one.public_bytes(Encoding.PEM) for one in own)
            (known / f"{gateway.id}.pem").write_bytes(pem)
        return Configuration.model_validate(
            {
                "listen": "127.0.0.1:0",
                "path": _PATH,
                "recipients": [_NAME],
                "triples": ["in memory"],
                "senders": {"certificates": known},
                "data": folder / "data",
            }
        )

    def open(self, message: bytes, gateway: "Gateway") -> bytes:
        """Content protection alone, the recipient's part."""
        opened = cms.open(
            message,
            recipient_certificate=self.enc,
            recipient_key=self._enc_key,
            sender_certificate=gateway.module.certificate(Slot.WAN_SIG),
        )
        return opened.content


class Gateway:
    """A gateway as far as it delivers."""

    def __init__(self, number: int) -> None:
        self.id, self._meter = DeviceId.parse(f"EABC00{number:08}"), DeviceId.parse(f"1ABC00{number:08}")
        self.module = SecurityModule(SoftwareVault())
        name = f"CN={self.id}.SMGW, O=SM-Test-PKI-DE, OU=Admin.GWA, C=DE, serialNumber=1"
        for slot in Group.WAN.slots:
            self.module.install(slot.next, _certify(name, slot.purpose, self.module.generate(slot.next)))
        self.module.activate()
        now = datetime.now(UTC)
        self._keeper = TimeKeeper(now, time.monotonic)
        self._keeper.set(Measurement(now, time.monotonic(), 0, 1, 0, 0, 0, 0, b"GPS\0"))
        self._wan = Wan(self.module, (), self._keeper, TIMING)

    def start(self, folder: Path, participant: Participant, port: int) -> None:
        """Have a database, in which the participant's profiles are.

        :param port: of the participant's server
        """
        self._store = GatewayStore.create(folder / f"{self.id}.db")
        self._pace = Pace(self._keeper, asyncio.sleep, lambda: 0.5)
        journal = Journal(self._store, self._pace.shown)
        journal.news = self._noted
        self._reporting = Reporting(
            gateway=self.id,
            store=self._store,
            sealer=Sealer(self.module),
            wan=self._wan,
            journal=journal,
            pace=self._pace,
            times=Times(),
            limits=Limits(),
            new_id=lambda: f"{self.id}-{next(_NUMBERS)}",
        )
        url = f"https://127.0.0.1:{port}{_PATH}"
        meter, obis = self._meter, (_ENERGY,)
        with self._store.work() as work:
            for profile in (
                CommunicationProfile(name=_NAME, url=url, tls=participant.tls, enc=participant.enc),
                MeterProfile(meter=meter, obis=obis),
                EvaluationProfile(name="TAF7", meter=meter, obis=obis, recipients=(_NAME,), start=_START),
            ):
                Profiles(work).put(profile, now=self._pace.shown())
        self._readings = self._delivered = self._before = 0

    def measure(self, deliveries: int, readings: int) -> None:
        """Have the readings of so many more deliveries in the database.

        :param readings: in each delivery
        """
        self._reporting.limits = Limits(readings_per_delivery=readings)
        steps = range(self._readings, self._readings + deliveries * readings)
        values = (
            Reading(self._meter, _ENERGY, _START + timedelta(minutes=15 * step), 10**8 + step, -1, 30, 0xA0 << 56)
            for step in steps
        )
        with self._store.work() as work:
            work.readings.add(tuple(values), now=self._pace.shown())
        self._readings, self._before = steps.stop, self._delivered
        self._delivered += deliveries

    async def deliver(self) -> None:
        """The whole way: make deliveries of what is in the database, and bring them until all are acknowledged."""
        self._done = asyncio.Event()
        running = asyncio.create_task(self._reporting.run())
        await asyncio.sleep(0)  # so that there is a courier
        self._reporting.report_now([_NAME])
        await self._done.wait()
        running.cancel()

    def documents(self) -> list[bytes]:
        """What was delivered last."""
        with self._store.view() as view:
            return [one.document for one in view.outbox.page(after=self._before, limit=self._delivered)]

    def protect(self, document: bytes, participant: Participant) -> bytes:
        """Content protection alone, the sender's part, as reporting does it."""
        return cms.protect(
            document,
            sender_certificate=self.module.certificate(Slot.WAN_SIG),
            sender_key=self.module.key(Slot.WAN_SIG),
            recipient_certificate=participant.enc,
            randomness=Randomness(self.module.random, self.module.agree_once),
        )

    def _noted(self) -> None:
        """The log has another entry; perhaps the last delivery was acknowledged."""
        asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        with self._store.view() as view:
            if view.outbox.counts() == {(_NAME, "acknowledged"): self._delivered}:
                self._done.set()


async def post(identity: Identity, messages: Sequence[bytes], participant: Participant, port: int) -> None:
    """Bring messages that there are, one after another over one connection, with as little effort as can be.

    :param identity: the gateway's
    """
    reader = asyncio.StreamReader()
    check = exact_match([participant.tls], now=None)
    endpoint = Endpoint(WAN_CLIENT, identity, check, clock=lambda: datetime.now(UTC))
    transport, _ = await connect(lambda: asyncio.StreamReaderProtocol(reader), endpoint, "127.0.0.1", port)
    head = f"POST {_PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {cms_type('signedData', 'authEnvelopedData')}\r\n"
    for message in messages:
        transport.write(f"{head}Content-Length: {len(message)}\r\n\r\n".encode() + message)
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 204 " not in answer[:20]:
            raise SystemExit(f"refused: {answer.decode()}")
    transport.close()
