"""Directories: Debian's slapd in a folder of its own, at a local socket and behind TLS; and PKIs to publish."""

import asyncio
import base64
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.service.publishing.ldap_client import LdapConnection, Place, connection_to
from smpki.service.publishing.publisher import Publisher, Session

ROOT = Path(__file__).parents[3]
SUFFIX = "o=SM-Test-PKI-DE,c=DE"
LOCAL_ROOT = "gidNumber=0+uidNumber=0,cn=peercred"
LOCAL_USER = f"gidNumber={os.getgid()}+uidNumber={os.getuid()},cn=peercred"

_spec = importlib.util.spec_from_file_location("pki_conftest", ROOT / "tests" / "ca" / "conftest.py")
assert _spec is not None and _spec.loader is not None
_pkis = sys.modules.setdefault("pki_conftest", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(_pkis)
_workshop_template, workshops, workshop = _pkis._workshop_template, _pkis.workshops, _pkis.workshop
packages, changed_policy, new_keys = _pkis.packages, _pkis.changed_policy, _pkis.new_keys
crew, _office_template, offices, office = _pkis.crew, _pkis._office_template, _pkis.offices, _pkis.office
new_offices = _pkis.new_offices

CONFIGURATION = """\
dn: cn=config
objectClass: olcGlobal
cn: config
{tls}
dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

{schema}
dn: olcDatabase=config,cn=config
objectClass: olcDatabaseConfig
objectClass: olcConfig
olcDatabase: config
olcAccess: to * by dn.exact="{user},cn=external,cn=auth" manage
"""
TLS = """\
olcTLSCertificateFile: {server}
olcTLSCertificateKeyFile: {key}
olcTLSCACertificateFile: {client}
olcTLSVerifyClient: demand
"""


@dataclass
class Credential:
    """A self-signed certificate on an ordinary curve with its key, in files."""

    folder: Path
    name: str
    key: Any = field(init=False)
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
        self.certificate = builder.sign(self.key, hashes.SHA256())
        self.file.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        self.key_file.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.key_file.chmod(0o600)

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name.replace(' ', '-')}.pem"

    @property
    def key_file(self) -> Path:
        return self.file.with_suffix(".key")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Slapd:
    """Debian's slapd with our database and nothing in it. With TLS it lets in the publisher, and a guest to read.

    :param without: object classes that its schema lacks
    :ivar url: of its local socket
    :ivar plain_port: where it listens without TLS; for a door before it
    :ivar tls_port: where it listens with TLS, of its own
    """

    def __init__(self, folder: Path, *, without: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.server, self.client = Credential(folder, "directory"), Credential(folder, "smpki publisher")
        self.guest = Credential(folder, "guest")
        trusted = folder / "trusted.pem"
        trusted.write_bytes(self.client.file.read_bytes() + self.guest.file.read_bytes())
        self.url = f"ldapi://{quote(str(folder / 'socket'), safe='')}"
        self.plain_port = self.tls_port = 0
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("configuration", "data"):
            (folder / name).mkdir()
        tls = TLS.format(server=self.server.file, key=self.server.key_file, client=trusted)
        schema = Path("/etc/ldap/schema/core.ldif").read_text(encoding="utf-8")
        for name in without:
            schema = re.sub(rf"^olcObjectClasses: \( \S+ NAME '{name}'\n( .*\n)*", "", schema, flags=re.MULTILINE)
        text = CONFIGURATION.format(tls=tls, schema=schema, user=LOCAL_USER)
        # a copy, since AppArmor on Ubuntu lets Debian's own have its own folders only
        self._program = shutil.copy(shutil.which("slapd", path=_environment()["PATH"]) or "slapd", folder)
        self._run([self._program, "-Tadd", "-n0", "-F", folder / "configuration"], text)
        self.start()
        ours = (ROOT / "smpki" / "service" / "publishing" / "directory.ldif").read_text(encoding="utf-8")
        ours = ours.replace("/var/lib/ldap/sm-test-pki", str(folder / "data"))
        ours = ours.replace("olcDbMaxSize: 17179869184", "olcDbMaxSize: 268435456").replace(LOCAL_ROOT, LOCAL_USER)
        self.configure(ours)

    @property
    def tls_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def start(self) -> None:
        """At the ports it had before, if it ran before."""
        for _ in range(20):
            self.plain_port, self.tls_port = self.plain_port or free_port(), self.tls_port or free_port()
            urls = f"{self.url} ldap://127.0.0.1:{self.plain_port} {self.tls_url}"
            command = [self._program, "-d", "0", "-F", self.folder / "configuration", "-h", urls]
            self._process = subprocess.Popen(command, env=_environment(), stderr=subprocess.DEVNULL)
            while self._process.poll() is None:
                done = subprocess.run(["ldapwhoami", "-x", "-H", self.url], capture_output=True)
                if done.returncode == 0:
                    return
            self.plain_port = self.tls_port = 0  # somebody else was faster
        pytest.fail("slapd does not start")

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(120)
            self._process = None

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait(120)
        self._process = None

    def configure(self, text: str) -> None:
        """Change its configuration by LDIF."""
        self._run(["ldapmodify", "-Q", "-Y", "EXTERNAL", "-H", self.url], text)

    def write(self, text: str) -> None:
        """Change what it holds by LDIF, as somebody else than the publisher does."""
        self.configure(text)

    def search(self, base: str, *more: str, url: str = "", scope: str = "base") -> dict[str, dict[str, list[bytes]]]:
        """What ``ldapsearch`` finds without logging in: attributes by the entry's name."""
        command = ["ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", url or self.url, "-b", base, "-s", scope]
        done = subprocess.run([*command, *more], capture_output=True, text=True)
        if done.returncode == 32:
            return {}
        assert done.returncode == 0, done.stderr
        return parsed(done.stdout)

    def everything(self) -> dict[str, dict[str, list[bytes]]]:
        return self.search(SUFFIX, scope="sub")

    def _run(self, command: list[Any], text: str) -> None:
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=_environment())
        assert done.returncode == 0, done.stdout + done.stderr


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}


def parsed(ldif: str) -> dict[str, dict[str, list[bytes]]]:
    found: dict[str, dict[str, list[bytes]]] = {}
    for block in ldif.split("\n\n"):
        lines = [line.partition(":") for line in block.splitlines() if line and not line.startswith(("#", "ref"))]
        values = [
            (kind, base64.b64decode(rest[1:]) if rest[:1] == ":" else rest.strip().encode()) for kind, _, rest in lines
        ]
        if values:
            entry = found.setdefault(values[0][1].decode(), {})
            for kind, value in values[1:]:
                entry.setdefault(kind, []).append(value)
    return found


@pytest.fixture
def new_slapd() -> Iterator[Callable[..., Slapd]]:
    """Call it for an empty directory."""
    if not shutil.which("slapd", path=_environment()["PATH"]) or not shutil.which("ldapsearch"):
        pytest.skip("these tests need Debian's packages slapd and ldap-utils")
    made: list[Slapd] = []
    folders: list[tempfile.TemporaryDirectory[str]] = []

    def make(**options: Any) -> Slapd:
        # not under pytest's folders: the paths of local sockets are short
        folders.append(tempfile.TemporaryDirectory(prefix="smpki-slapd-"))
        made.append(Slapd(Path(folders[-1].name), **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
    for folder in folders:
        folder.cleanup()


@pytest.fixture
def slapd(new_slapd: Callable[..., Slapd]) -> Slapd:
    """An empty directory."""
    return new_slapd()


@asynccontextmanager
async def bound(slapd: Slapd) -> AsyncIterator[LdapConnection]:
    async with connection_to(Place.parse(slapd.url), None, 10) as connection:
        await connection.bind()
        yield connection


@dataclass
class Publication:
    """A PKI whose directory is kept; CRLs are there from the start."""

    workshop: Any
    pki: Any
    slapd: Slapd
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def publisher(self) -> Publisher:
        return Publisher(
            self.pki.store, self.pki.policy, self.pki.environment, lambda: self.workshop.now, **self.options
        )

    parsed = staticmethod(parsed)

    def connect(self) -> AbstractAsyncContextManager[LdapConnection]:
        return bound(self.slapd)

    def run(self, *steps: Callable[[Session], Any]) -> list[Any]:
        """What the steps return, taken one after the other over one connection."""

        async def go() -> list[Any]:
            async with self.connect() as connection:
                session = self.publisher.session(connection)
                return [await step(session) for step in steps]

        return asyncio.run(go())

    def compare(self) -> Any:
        (report,) = self.run(Session.compare)
        return report

    def held(self, name: str) -> set[bytes]:
        """The certificates at a holder's entry."""
        found = self.slapd.search(f"cn={name},{SUFFIX}")
        return {value for entry in found.values() for value in entry.get("userCertificate;binary", [])}


@pytest.fixture
def publication(workshop: Any, slapd: Slapd) -> Iterator[Publication]:
    """A PKI with the Sub-CA ``Beispiel.CA`` and CRLs, and an empty directory."""
    with workshop.open() as pki:
        assert all(outcome.record for outcome in pki.crls.issue())
        yield Publication(workshop, pki, slapd)


@contextmanager
def _tunnel(port: int, options: Sequence[str]) -> Iterator[int]:
    """A port; who connects there is connected to another by ``openssl s_client``, with brainpool and TLS 1.2."""
    command = ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}", "-tls1_2"]
    command += ["-curves", "brainpoolP256r1", *options]
    listener = socket.create_server(("127.0.0.1", 0))
    started: list[subprocess.Popen[bytes]] = []

    def serve() -> None:
        one, _ = listener.accept()
        with one:
            started.append(subprocess.Popen(command, stdin=one, stdout=one, stderr=subprocess.DEVNULL))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        thread.join()
        listener.close()
        for program in started:
            program.kill()
            program.wait()


@pytest.fixture(scope="session")
def tunnel() -> Callable[[int, Sequence[str]], AbstractContextManager[int]]:
    """Call it with a port, and openssl's options for a certificate: a port that leads there through TLS."""
    return _tunnel
