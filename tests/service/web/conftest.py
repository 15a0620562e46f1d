"""A PKI with its web service, and participants that speak to it."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from smpki.ca.chain import chain_above
from smpki.ca.triples import Order
from smpki.ca.unit import load
from smpki.policy.model import CertificateType
from smpki.requests.build import RequestedNames
from smpki.requests.build_signed import build_authorised_package, build_renewal_package
from smpki.requests.keys import KeyTriple, Signer
from smpki.service.web.registering import Applicant, RegistrationDesk
from smpki.service.web.runner import Pace
from smpki.service.web.server import Settings, web_service
from smpki.soap.messages import Answer, Request
from smpki.soap.read import read_answer
from smpki.soap.write import write_request
from smpki.tls import http_client
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.profile import WAN_CLIENT
from smpki.tls.transport import Server

_spec = importlib.util.spec_from_file_location("ca_fixtures", Path(__file__).parents[2] / "ca" / "conftest.py")
assert _spec is not None and _spec.loader is not None
ca = sys.modules.setdefault("ca_fixtures", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(ca)

_workshop_template, workshops, workshop = ca._workshop_template, ca.workshops, ca.workshop
postgres_workshop, packages, changed_policy = ca.postgres_workshop, ca.packages, ca.changed_policy
issuing_program, crew = ca.issuing_program, ca.crew
empty_workshops, empty_workshop = ca.empty_workshops, ca.empty_workshop

NAMES = RequestedNames("post@firma.example", "https://firma.example/", ("ws.firma.example",))
XML = {"content-type": "text/xml; charset=utf-8"}


@dataclass
class Participant:
    """Somebody with a triple.

    :param certificates: TLS, SIG, ENC
    :param chain: root first
    """

    keys: KeyTriple
    certificates: tuple[x509.Certificate, ...]
    chain: tuple[x509.Certificate, ...]

    @property
    def identity(self) -> Identity:
        return Identity((self.certificates[0], *self.chain[:0:-1]), self.keys.tls)

    @property
    def signer(self) -> Signer:
        return Signer(self.keys.sig, self.certificates[1])

    def renewal(self, keys: KeyTriple | None = None, names: RequestedNames = NAMES) -> bytes:
        return build_renewal_package(self.certificates[0].subject, keys or ca.make_keys(), names, self.signer)

    def authorised(self, package: bytes) -> bytes:
        return build_authorised_package(package, self.signer)


@dataclass
class Service:
    """A service that runs."""

    world: "World"
    server: Server

    def client(self, identity: Identity | None, **options: Any) -> httpx.AsyncClient:
        profile = options.pop("profile", WAN_CLIENT)
        endpoint = Endpoint(profile, identity, lambda _: None, clock=lambda: self.world.workshop.now)
        return http_client.client(endpoint, "127.0.0.1", self.server.port, **options)

    async def ask(self, who: Participant | Identity, request: Request) -> Answer:
        identity = who.identity if isinstance(who, Participant) else who
        async with self.client(identity) as client:
            return await self.ask_over(client, request)

    async def ask_over(self, client: httpx.AsyncClient, request: Request) -> Answer:
        response = await client.post("/", content=write_request(request), headers=XML)
        assert response.status_code == 200, response.text
        return read_answer(response.content, request.operation)


@dataclass
class World:
    """A PKI and its web service.

    :ivar options: of :meth:`Workshop.open`: policy and the like
    """

    workshop: Any
    packages: Any
    settings: Settings = field(
        default_factory=lambda: Settings(
            "Beispiel.CA", "127.0.0.1", 0, refresh=0.05, end=2, pace=Pace(look=0.05, first=timedelta(seconds=10))
        )
    )
    options: dict[str, Any] = field(default_factory=dict)

    CA = "Beispiel.CA"
    make_keys = staticmethod(ca.make_keys)
    names = NAMES
    no_names = RequestedNames()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(asyncio.wait_for(coroutine, 600))

    def change(self, **changes: Any) -> None:
        self.settings = replace(self.settings, **changes)

    @asynccontextmanager
    async def service(self, **options: Any) -> AsyncIterator[Service]:
        with self.workshop.open(**self.options, **options) as pki:
            async with web_service(pki, self.settings) as server:
                yield Service(self, server)

    def service_of(self, server: Server) -> Service:
        return Service(self, server)

    def register(self, cn: str = "Firma.EMT.MAK", *, url: str | None = None, **attributes: Any) -> Participant:
        """Register a participant with its first package."""
        keys = ca.make_keys()
        package = self.packages.make(cn, keys=keys, **attributes)
        organisation, role = cn.split(".")[:2]
        applicant = Applicant(organisation, CertificateType(role.lower()), None, "post@firma.example", url)
        with self.workshop.open() as pki:
            _, certificates = RegistrationDesk(pki).register(applicant, package, self.CA, "package")
            return _participant(pki, keys, certificates)

    def administrator(self, cn: str = "Verwalter.GWA") -> Participant:
        return self.register(cn, OU=None)

    def issue(self, package: bytes, keys: KeyTriple) -> Participant:
        """Issue at the desk."""
        with self.workshop.open() as pki:
            (outcome,) = pki.issue([Order("package", package)], self.CA)
            assert outcome.error is None, outcome.error
            return _participant(pki, keys, outcome.certificates)

    def near_the_end(self) -> None:
        """Let the time for renewals come."""
        self.workshop.now += timedelta(days=690)

    def audit(self) -> list[tuple[str, str]]:
        return [(row["action"], row["outcome"]) for row in self.workshop.tables()["audit"]]


def _participant(pki: Any, keys: KeyTriple, certificates: Any) -> Participant:
    chain = tuple(map(load, chain_above(pki.store, certificates[0])))
    return Participant(keys, tuple(map(load, certificates)), chain)


@pytest.fixture
def world(workshop: Any, packages: Any) -> World:
    return World(workshop, packages)


@pytest.fixture
def worlds(workshops: Callable[[], Any], packages: Any) -> Callable[[], World]:
    return lambda: World(workshops(), packages)


@pytest.fixture
def other_pki(tmp_path: Path, packages: Any) -> Callable[[], World]:
    """Call it for a PKI with a root of its own."""
    return lambda: World(ca.with_hierarchy(ca.new_workshop(tmp_path / "other-pki")), packages)


@pytest.fixture
def world_of(packages: Any) -> Callable[[Any], World]:
    """Call it with a workshop for its world."""
    return lambda workshop: World(workshop, packages)
