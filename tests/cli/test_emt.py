"""``smpki emt``: a market participant serves, with keys in files or a token, and shows what it has taken."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.asn1.curves import CURVES
from smpki.gateway import cms
from smpki.gateway.api import Delivery
from smpki.gateway.media_type import cms as cms_type
from smpki.gateway.readings import Obis, Reading
from smpki.hsm.key import KeyUse
from smpki.policy.device_id import DeviceId
from smpki.policy.names import DistinguishedName
from smpki.tls import http_client
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import exact_match
from smpki.tls.profile import WAN_CLIENT
from smpki_cli.main import main

TokenHome = Any  # conftest.TokenHome
SMPKI = [sys.executable, "-c", "from smpki_cli.main import main; main(prog_name='smpki')", "emt"]
CURVE = CURVES["brainpoolP256r1"]
GATEWAY = DeviceId.parse("EABC0012345678")
USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
NOW = datetime.now(UTC).replace(microsecond=0)


def certify(name: str, use: str, key: Any) -> x509.Certificate:
    """A self-signed certificate, since participant and gateway know each other exactly."""
    subject = DistinguishedName.parse(name).to_x509()
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
    bits = "key_agreement" if use == "enc" else "digital_signature"
    builder = builder.add_extension(x509.KeyUsage(**{bit: bit == bits for bit in USAGES}), critical=True)
    if use == "tls":
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    return builder.sign(key, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


@dataclass
class Scene:
    """A participant's folder, and a gateway that it knows."""

    folder: Path
    make_key: Callable[[str], Any]
    token: dict[str, str] | None = None

    def __post_init__(self) -> None:
        emt = {use: self.make_key(use) for use in ("tls", "enc")}
        self.emt = {use: certify("CN=Firma.EMT, O=SM-Test-PKI-DE, C=DE", use, key) for use, key in emt.items()}
        self.keys = {use: ec.generate_private_key(CURVE) for use in ("tls", "sig")}
        name = f"CN={GATEWAY}.SMGW, O=SM-Test-PKI-DE, OU=Admin.GWA, serialNumber=1"
        self.gateway = {use: certify(name, use, key) for use, key in self.keys.items()}
        (self.folder / "gateways").mkdir()
        (self.folder / "gateways" / "one.pem").write_bytes(pem(*self.gateway.values()))
        for use, certificate in self.emt.items():
            (self.folder / "triple" / f"{use}.pem").write_bytes(pem(certificate))
        settings = {
            "listen": "127.0.0.1:0",
            "recipients": ["Firma"],
            "triples": ["triple"],
            "senders": {"certificates": "gateways"},
            "data": "data",
        }
        self.config.write_text(yaml.safe_dump(settings | ({"token": self.token} if self.token else {})))

    @property
    def config(self) -> Path:
        return self.folder / "emt.yaml"

    def deliver(self, port: int, delivery: Delivery) -> int:
        """Let the gateway deliver: the status of the answer."""

        def now() -> datetime:
            return datetime.now(UTC)

        identity = Identity((self.gateway["tls"],), self.keys["tls"])
        endpoint = Endpoint(WAN_CLIENT, identity, exact_match([self.emt["tls"]], now=now), clock=now)
        body = cms.protect(
            delivery.to_json(),
            sender_certificate=self.gateway["sig"],
            sender_key=self.keys["sig"],
            recipient_certificate=self.emt["enc"],
        )

        async def post() -> int:
            async with http_client.client(endpoint, "127.0.0.1", port) as client:
                kind = str(cms_type("signedData", "authEnvelopedData"))
                answer = await client.post("/readings", content=body, headers={"content-type": kind})
                return answer.status_code

        return asyncio.run(post())


def delivery(number: int) -> Delivery:
    meter, obis = DeviceId.parse("1EMH0012345678"), Obis.parse("1-0:1.8.0")
    readings = tuple(Reading(meter, obis, NOW - timedelta(hours=hour), 1000, -1, 30, 0) for hour in range(number))
    return Delivery(
        delivery_id=f"delivery-{number}", gateway=GATEWAY, recipient="Firma", created_at=NOW, readings=readings
    )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Keys in files."""

    def make(use: str) -> ec.EllipticCurvePrivateKey:
        key = ec.generate_private_key(CURVE)
        file = tmp_path / "triple" / f"{use}.key"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.chmod(0o600)
        return key

    return Scene(tmp_path, make)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Without what a tester's own environment says."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(("SMPKI_", "SOFTHSM2_"))}
    return found | {"SMPKI_HOME": str(tmp_path / "home")}


@contextmanager
def serving(scene: Scene, environment: dict[str, str]) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """The server: its port, and the process."""
    command = [*SMPKI, "serve", str(scene.config), "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            ready = json.loads(line)
            assert (ready["ready"], ready["path"]) == (True, "/readings")
            yield int(ready["address"].rpartition(":")[2]), process
        finally:
            process.kill()


def run(*line: str) -> Any:
    """A command in this process."""
    return CliRunner().invoke(main, ["emt", *line])


def test_deliveries_are_taken_and_shown(scene: Scene, environment: dict[str, str]) -> None:
    with serving(scene, environment) as (port, process):
        assert [scene.deliver(port, delivery(number)) for number in (2, 3, 3)] == [204, 204, 409]
        totals = run("list", str(scene.config), "--json")
        second = run("serve", str(scene.config), "--json")
        process.send_signal(signal.SIGINT)
        rest, log = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "")
    taken = [line for line in log.splitlines() if "was taken: " in line]
    assert len(taken) == 2
    assert "readings=2" in taken[0]
    assert GATEWAY.dns not in log
    assert "1emh0012345678" not in log
    (gateway,) = json.loads(totals.stdout)["gateways"]
    assert (gateway["gateway"], gateway["deliveries"], gateway["readings"]) == (GATEWAY.dns, 2, 5)
    assert (second.exit_code, json.loads(second.stdout)["error"]["code"]) == (1, "emt.data.in_use")
    which = ["list", str(scene.config), "--gateway", str(GATEWAY)]
    first, last = json.loads(run(*which, "--json").stdout)["deliveries"]
    assert (first["delivery_id"], first["readings"], last["delivery_id"]) == ("delivery-2", 2, "delivery-3")
    lines = (scene.folder / "data" / last["file"]).read_bytes()[last["from_octet"] : last["to_octet"]].splitlines()
    assert [json.loads(line)["delivery_id"] for line in lines] == ["delivery-3"] * 3
    after = run(*which, "--after", str(first["number"]), "--limit", "1")
    assert "delivery-3" in after.stdout
    assert "delivery-2" not in after.stdout
    assert GATEWAY.dns in run("list", str(scene.config)).stdout


def test_both_keys_in_a_token(token_home: TokenHome, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "triple").mkdir()
    pin = tmp_path / "pin"
    pin.write_text(token_home.pin.reveal())
    pin.chmod(0o600)
    with token_home.open() as token:
        uses = {"tls": KeyUse.SIGN, "enc": KeyUse.SIGN | KeyUse.DERIVE}
        named = {"folder": "hsm", "label": token_home.label, "pin_file": "pin"}
        scene = Scene(tmp_path, lambda use: token.generate(f"Firma {use}", CURVE, uses[use]), named)
    with serving(scene, environment) as (port, process):
        assert scene.deliver(port, delivery(2)) == 204
        process.terminate()
        assert process.wait(60) == 0
    pin.write_text("1111111111")
    command = [*SMPKI, "serve", str(scene.config), "--json"]
    refused = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert (refused.returncode, json.loads(refused.stdout)["error"]["code"]) == (1, "tls.provider.pin")


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        ({"token": "hsm"}, "configuration.invalid", "emt.yaml:9: token"),
        ({"senders": {}}, "configuration.invalid", "senders"),
        ({"path": "readings/"}, "configuration.invalid", "path"),
        ({"more": 1}, "configuration.invalid", "more"),
        ({"triples": ["other"]}, "configuration.certificate", "other/enc.pem"),
        ({"listen": "192.0.2.1:1"}, "tls.transport.listen", "192.0.2.1"),
    ],
)
def test_what_is_refused_at_the_start(change: dict[str, object], code: str, where: str, scene: Scene) -> None:
    settings = yaml.safe_load(scene.config.read_text())
    scene.config.write_text(yaml.safe_dump(settings | change, sort_keys=False))
    refused = run("serve", str(scene.config), "--json")
    error = json.loads(refused.stdout)["error"]
    assert (refused.exit_code, error["code"]) == (1, code)
    assert where in error["where"]


def test_nothing_was_taken_yet(scene: Scene) -> None:
    missing = run("list", str(scene.config), "--json")
    assert (missing.exit_code, json.loads(missing.stdout)["error"]["code"]) == (1, "store.missing")
    ready = run("serve", str(scene.config), "--for", "0")
    assert ready.exit_code == 0
    assert ready.stdout.startswith("ready: address 127.0.0.1:")
    assert json.loads(run("list", str(scene.config), "--json").stdout) == {"gateways": []}
