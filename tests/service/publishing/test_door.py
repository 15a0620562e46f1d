"""LDAPS with certificates of the SM-PKI, asked by others' programs: ldapsearch behind openssl s_client."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.ca.crl_publish import publish, publish_certificates
from smpki.ca.crl_series import crl_series
from smpki.ca.published_authorities import published_authorities
from smpki.ca.unit import load
from smpki.service.publishing.door import open_door
from smpki.service.publishing.ldap_client import PROFILE, Place, connection_to
from smpki.service.trust_material import trust_material
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import exact_match
from smpki.tls.profile import WAN_CLIENT, WAN_SERVER
from smpki.tls.transport import Server, connect
from smpki.trust.tls_peer import trusted

SUFFIX = "o=SM-Test-PKI-DE,c=DE"
FIRM = "Firma.EMT.MAK"


@dataclass
class House:
    """A PKI, its directory and the door before that.

    :ivar triple: of a market participant, with its keys
    """

    publication: Any
    folder: Path
    triple: Any
    keys: Any
    tunnel: Any
    directory_port: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def write_lists(self) -> None:
        """What the door knows of CAs and revocations."""
        pki = self.publication.pki
        found = pki.store, pki.policy, pki.environment
        publish(pki.store, crl_series(*found), self.folder / "published")
        publish_certificates(published_authorities(*found), self.folder / "published")

    def now(self) -> Any:
        return self.publication.workshop.now

    @property
    def identity(self) -> Identity:
        """The Sub-CA's TLS certificate."""
        pki = self.publication.pki
        stored = next(one for one in pki.store.page(kind="sub-ca-tls").certificates)
        stored = pki.store.get(stored.serial)
        key = pki.keys.key(key_id=bytes.fromhex(stored.token_key_id))
        return Identity((load(stored),), key)

    @asynccontextmanager
    async def door(self) -> AsyncIterator[Server]:
        roots = [self.folder / "published" / "SM-Test-Root.CA.1.cer"]
        material = trust_material(roots, (), self.folder / "published", self.now)
        check = trusted(material, now=self.now)
        endpoint = Endpoint(WAN_SERVER, self.identity, check, clock=self.now)
        inside = "127.0.0.1", self.directory_port or self.publication.slapd.plain_port
        async with await open_door(endpoint, ("127.0.0.1", 0), inside, **self.options) as server:
            yield server

    def client(self, profile: Any = WAN_CLIENT) -> Endpoint:
        """Our own TLS as the participant."""
        tls = next(one for one in self.triple if one.purpose == "tls")
        check = exact_match(self.identity.certificates, now=self.now)
        return Endpoint(profile, Identity((load(tls),), self.keys.tls), check, clock=self.now)

    def credentials(self) -> list[str]:
        """The participant's certificate and key, for openssl."""
        tls = next(one for one in self.triple if one.purpose == "tls")
        certificate, key = self.folder / "tls.pem", self.folder / "tls.key"
        certificate.write_bytes(load(tls).public_bytes(Encoding.PEM))
        key.write_bytes(self.keys.tls.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return ["-cert", str(certificate), "-key", str(key)]

    def ask(self, *command: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """A program of ldap-utils, behind openssl, behind the door."""

        async def go() -> subprocess.CompletedProcess[str]:
            async with self.door() as server:
                with self.tunnel(server.port, options) as port:
                    whole = [command[0], "-H", f"ldap://127.0.0.1:{port}", *command[1:]]
                    run = lambda: subprocess.run(whole, capture_output=True, text=True, timeout=120)  # noqa: E731
                    return await asyncio.to_thread(run)

        return asyncio.run(go())

    def look_up(self, name: str, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return self.ask("ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-b", name, "-s", "base", options=options)


@pytest.fixture
def house(publication: Any, packages: Any, new_keys: Any, tunnel: Any, tmp_path: Path) -> House:
    keys = new_keys()
    triple = publication.workshop.issue(packages.make(keys=keys)).certificates
    publication.compare()
    made = House(publication, tmp_path, triple, keys, tunnel)
    made.write_lists()
    return made


def test_a_participant_looks_up_partners_and_crls(house: House, packages: Any) -> None:
    partner = house.publication.workshop.issue(packages.make("Partner.EMT")).certificates
    house.publication.compare()
    done = house.look_up(f"cn=Partner.EMT,{SUFFIX}", house.credentials())
    (found,) = house.publication.parsed(done.stdout).values()
    assert set(found["userCertificate;binary"]) == {one.der for one in partner}
    done = house.look_up(f"serialNumber=1,cn=Beispiel.CA,{SUFFIX}", house.credentials())
    (found,) = house.publication.parsed(done.stdout).values()
    crl = (house.folder / "published" / "Beispiel.CA.1.crl").read_bytes()
    assert found["certificateRevocationList;binary"] == [crl]


def test_without_a_certificate_nobody_comes_in(house: House, caplog: pytest.LogCaptureFixture) -> None:
    assert house.look_up(SUFFIX, []).returncode != 0
    assert "tls." in caplog.text


def test_a_certificate_of_another_pki(house: House, caplog: pytest.LogCaptureFixture) -> None:
    stranger = house.publication.slapd.client
    assert house.look_up(SUFFIX, ["-cert", str(stranger.file), "-key", str(stranger.key_file)]).returncode != 0
    assert "tls.peer.curve" in caplog.text


def test_a_revoked_certificate(house: House, caplog: pytest.LogCaptureFixture) -> None:
    pki = house.publication.pki
    assert house.look_up(SUFFIX, house.credentials()).returncode == 0
    pki.revocations.revoke([house.triple[0].serial], "key_compromise")
    house.publication.workshop.now += timedelta(hours=1)
    pki.crls.issue()
    house.write_lists()
    assert house.look_up(SUFFIX, house.credentials()).returncode != 0
    assert "trust.certificate.revoked" in caplog.text


def test_who_comes_through_the_door_is_nobody_in_particular(house: House) -> None:
    """The directory does not take the guest for the user who runs the door."""
    done = house.ask("ldapwhoami", "-x", options=house.credentials())
    assert (done.returncode, done.stdout) == (0, "anonymous\n")
    done = house.ask("ldapwhoami", "-Q", "-Y", "EXTERNAL", options=house.credentials())
    assert done.returncode != 0
    done = house.ask("ldapdelete", "-x", f"cn={FIRM},{SUFFIX}", options=house.credentials())
    assert done.returncode != 0
    assert house.publication.held(FIRM)


def test_a_publisher_may_come_through_the_door(house: House, packages: Any) -> None:
    slapd = house.publication.slapd
    slapd.configure(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nadd: olcRootDN\nolcRootDN: cn=smpki publisher\n-\n"
        f"add: olcAccess\nolcAccess: {{0}}to * by dn.exact=cn=admin,{SUFFIX} write by * break\n"
    )
    slapd.write(
        f"dn: cn=admin,{SUFFIX}\nchangetype: add\nobjectClass: device\nobjectClass: simpleSecurityObject\n"
        "cn: admin\nuserPassword: geheim\n"
    )
    gateway = house.publication.workshop.issue(packages.gateway()).certificates

    async def go() -> Any:
        async with house.door() as server:
            place = Place("127.0.0.1", server.port)
            async with connection_to(place, house.client(PROFILE), 10) as connection:
                await connection.bind(f"cn=admin,{SUFFIX}", "geheim")
                return await house.publication.publisher.session(connection).compare()

    assert asyncio.run(go()).added == 1
    assert house.publication.held("EABC0000000001.SMGW") == {one.der for one in gateway}


# what goes through


class Client(asyncio.Protocol):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.over: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(exc)


def test_large_messages_go_whole_both_ways_though_one_side_is_slow(house: House) -> None:
    size = 20_000_000

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def go() -> None:
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as inside:
            house.directory_port = inside.sockets[0].getsockname()[1]
            async with house.door() as server:
                transport, client = await connect(Client, house.client(), "127.0.0.1", server.port)
                assert isinstance(client, Client)
                sent = bytes(range(256)) * (size // 256)
                transport.write(sent)
                transport.pause_reading()
                await asyncio.sleep(0.5)
                transport.resume_reading()
                async with asyncio.timeout(30):
                    while len(client.data) < len(sent):
                        await asyncio.sleep(0.01)
                assert client.data == sent
                transport.close()
                await client.over

    asyncio.run(go())


def test_an_idle_connection_is_closed(house: House) -> None:
    house.options["idle"] = 0.4

    async def go() -> None:
        async with house.door() as server:
            transport, client = await connect(Client, house.client(), "127.0.0.1", server.port)
            assert isinstance(client, Client)
            loop = asyncio.get_running_loop()
            for _ in range(4):  # used, it is not idle
                await asyncio.sleep(0.2)
                assert not client.over.done()
                transport.write(bytes.fromhex("300c020101600702010304008000"))
            begin = loop.time()
            assert await client.over is None
            assert 0.3 < loop.time() - begin < 5
            assert client.data.startswith(b"\x30")

    asyncio.run(go())


def test_a_directory_that_is_away_and_comes_back(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.publication.slapd.stop()
    assert house.look_up(SUFFIX, house.credentials()).returncode != 0
    assert "can't be reached" in caplog.text
    house.publication.slapd.start()
    assert house.look_up(SUFFIX, house.credentials()).returncode == 0


def test_the_directory_ends_it(house: House) -> None:
    async def go() -> None:
        async with house.door() as server:
            _, client = await connect(Client, house.client(), "127.0.0.1", server.port)
            assert isinstance(client, Client)
            client.transport.write(bytes.fromhex("30050201014200"))  # unbind
            assert await client.over is None

    asyncio.run(go())
