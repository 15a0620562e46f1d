"""REST where machines find it, beside SOAP over mutual TLS, and where people do, over ordinary TLS or plain."""

import asyncio
import importlib.util
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from smpki.ca.store.records import serial_text
from smpki.errors import SmpkiError, TlsError
from smpki.service.people import Address, people_server
from smpki.service.web.registering import RegistrationDesk
from smpki.soap.messages import GetServiceStatus, ReturnCode

_spec = importlib.util.spec_from_file_location("web_fixtures", Path(__file__).parents[1] / "web" / "conftest.py")
assert _spec is not None and _spec.loader is not None
web = sys.modules.setdefault("web_fixtures", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(web)
world = web.world

OCTETS = {"content-type": "application/octet-stream"}


def test_a_participant_is_known_by_its_tls_certificate(world: Any) -> None:
    me, other = world.register(), world.register("Andere.EMT")

    async def story() -> None:
        async with world.service() as service, service.client(me.identity) as client:
            assert (await client.get("/api/v1/me")).json()["common_name"] == "Firma.EMT.MAK"
            mine = (await client.get("/api/v1/certificates")).json()["items"]
            assert [one["common_name"] for one in mine] == ["Firma.EMT.MAK"] * 3
            theirs = serial_text(other.certificates[0].serial_number)
            assert (await client.get(f"/api/v1/certificates/{theirs}")).status_code == 404
            assert (await client.get("/api/v1/audit")).status_code == 403
            assert (await client.post("/api/v1/tokens", json={"label": "x"})).status_code == 403
            too_early = await client.post("/api/v1/packages", content=me.renewal(), headers=OCTETS)
            assert too_early.json()["code"] == "request.renewal.early"
            # SOAP is where it was
            answer = await service.ask_over(client, GetServiceStatus("m"))
            assert answer.code is ReturnCode.OK_RECEIVED_CORRECTLY
            with world.workshop.open() as pki:
                RegistrationDesk(pki).change("Firma.EMT.MAK", blocked=True)
            blocked = await client.get("/api/v1/me")
            assert (blocked.status_code, blocked.json()["code"]) == (403, "service.not_accepted.blocked")

    world.run(story())


def test_who_has_a_certificate_and_is_not_registered_is_told_so(world: Any) -> None:
    keys = world.make_keys()
    stranger = world.issue(world.packages.make("Fremde.EMT", keys=keys), keys)

    async def story() -> None:
        async with world.service() as service, service.client(stranger.identity) as client:
            answer = await client.get("/api/v1/me")
            assert (answer.status_code, answer.json()["code"]) == (403, "service.not_accepted.unregistered")
            assert (await client.get("/api/v1/crls")).status_code == 200

    world.run(story())


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A folder with a certificate as the web has them."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=localhost")
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (tmp_path / "tls.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (tmp_path / "tls.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return tmp_path


def test_people_come_by_ordinary_tls(service: Any, certificate: Path) -> None:
    async def story() -> None:
        trust = ssl.create_default_context(cafile=str(certificate / "tls.pem"))
        async with people_server(service.office.desk, Address("localhost", 0, certificate)) as port:
            async with httpx.AsyncClient(verify=trust, base_url=f"https://localhost:{port}") as client:
                assert (await client.get("/api/v1/crls")).status_code == 200
                assert (await client.get("/api/v1/me")).status_code == 401
                assert (await client.get("/")).status_code == 404
            async with httpx.AsyncClient(base_url=f"http://localhost:{port}") as client:
                with pytest.raises(httpx.HTTPError):
                    await client.get("/api/v1/crls")

    asyncio.run(asyncio.wait_for(story(), 60))


def test_pages_stand_beside_rest_over_plain_http(service: Any) -> None:
    async def pages(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    async def story() -> None:
        async with (
            people_server(service.office.desk, Address("127.0.0.1", 0), pages) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            assert (await client.get("/api/v1x")).text == "/api/v1x"
            assert (await client.get("/api/v1/nowhere")).status_code == 404
            assert (await client.get("/api/v1/crls")).status_code == 200

    asyncio.run(asyncio.wait_for(story(), 60))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "portal.example"])
def test_plain_http_is_for_loopback_alone(host: str, service: Any) -> None:
    async def story() -> None:
        async with people_server(service.office.desk, Address(host, 0)):
            pass

    with pytest.raises(TlsError) as refusal:
        asyncio.run(story())
    assert refusal.value.code == "tls.people.plain"


def test_certificates_that_people_can_not_be_served_with(service: Any, certificate: Path) -> None:
    async def story(folder: Path) -> None:
        async with people_server(service.office.desk, Address("127.0.0.1", 0, folder)):
            pass

    def refused(folder: Path) -> str:
        with pytest.raises(SmpkiError) as refusal:
            asyncio.run(story(folder))
        assert refusal.value.__cause__ is None
        return refusal.value.code

    assert refused(certificate / "nowhere") == "tls.people.certificate"
    other = ec.generate_private_key(ec.SECP256R1())
    sealed = BestAvailableEncryption(b"secret")
    for protection in (NoEncryption(), sealed):
        key = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        (certificate / "tls.key").write_bytes(key)
        assert refused(certificate) == "tls.people.certificate"
    (certificate / "tls.key").write_bytes(b"nonsense")
    assert refused(certificate) == "tls.people.certificate"
