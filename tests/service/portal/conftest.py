"""A portal over a PKI, and browsers that visit it."""

import asyncio
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from smpki.service.accounts.accounts import Accounts
from smpki.service.accounts.actor import Role
from smpki.service.desk.desk import Desk
from smpki.service.portal.rooms import whole_portal
from smpki.service.portal.site import Site

_spec = importlib.util.spec_from_file_location("web_fixtures", Path(__file__).parents[1] / "web" / "conftest.py")
assert _spec is not None and _spec.loader is not None
web = sys.modules.get("web_fixtures")
if web is None:
    web = sys.modules["web_fixtures"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(web)

_workshop_template, workshops, workshop, packages = web._workshop_template, web.workshops, web.workshop, web.packages
world, world_of, postgres_workshop, changed_policy = (
    web.world,
    web.world_of,
    web.postgres_workshop,
    web.changed_policy,
)

ORIGIN = "http://testserver"
PASSWORD = "correct horse battery staple"


class Client:
    """Asks the portal in memory, with a loop and cookies of its own."""

    def __init__(self, application: Any, language: str) -> None:
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        headers = {"accept-language": language}
        self._client = httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers, follow_redirects=True)

    def get(self, path: str, **request: Any) -> httpx.Response:
        return self._runner.run(self._client.get(path, **request))

    def post(self, path: str, **request: Any) -> httpx.Response:
        return self._runner.run(self._client.post(path, **request))

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


@dataclass
class Browser:
    """Somebody's browser; forms carry what the page before put into them."""

    client: Client
    text: str = ""
    status: int = 0

    def get(self, path: str) -> "Browser":
        return self._took(self.client.get(path))

    def send(self, path: str, files: dict[str, bytes] | None = None, **fields: str) -> "Browser":
        """Fill in the form of this page and send it."""
        token = re.search(r'name="csrf" value="([^"]+)"', self.text)
        assert token is not None, self.text
        data = {"csrf": token[1], **fields}
        uploads = {name: ("file", content) for name, content in (files or {}).items()} or None
        return self._took(self.client.post(path, data=data, files=uploads, headers={"origin": ORIGIN}))

    def _took(self, response: Any) -> "Browser":
        self.text, self.status, self.response = response.text, response.status_code, response
        return self

    @property
    def heading(self) -> str:
        found = re.search(r"<h1>(.*?)</h1>", self.text, re.DOTALL)
        assert found is not None, self.text
        return unescape(found[1])

    @property
    def path(self) -> str:
        return str(self.response.url.path)

    def log_in(self, name: str, password: str = PASSWORD) -> "Browser":
        return self.get("/login").send("/login", name=name, password=password)


@dataclass
class Town:
    """A PKI with its desk and its portal."""

    world: Any
    desk: Desk
    site: Site
    clients: list[Client] = field(default_factory=list)

    def browser(self, language: str = "en") -> Browser:
        self.clients.append(Client(whole_portal(self.site), language))
        return Browser(self.clients[-1])

    def account(self, name: str, role: Role, common_name: str | None = None) -> None:
        accounts = self.desk.accounts
        accounts.join(accounts.invite(name, role, by="test", common_name=common_name), PASSWORD)

    def operator(self, name: str = "olga") -> Browser:
        self.account(name, Role.OPERATOR)
        return self.browser().log_in(name)

    def auditor(self) -> Browser:
        self.account("anna", Role.AUDITOR)
        return self.browser().log_in("anna")

    def participant(self, common_name: str = "Firma.EMT.MAK", name: str = "paul") -> Browser:
        self.account(name, Role.PARTICIPANT, common_name)
        return self.browser().log_in(name)


def new_town(world: Any, pki: Any) -> Town:
    quick = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)])
    desk = Desk(pki, world.CA, Accounts(pki, hasher=quick))
    return Town(world, desk, Site(desk, ORIGIN))


@pytest.fixture
def town_of() -> Callable[[Any, Any], Town]:
    """Call it with a world and its open PKI."""
    return new_town


@pytest.fixture
def town(world: Any) -> Iterator[Town]:
    with world.workshop.open() as pki:
        town = new_town(world, pki)
        yield town
        for client in town.clients:
            client.close()
