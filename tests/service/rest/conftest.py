"""A desk over REST, and clients that ask it in memory."""

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from smpki.service.accounts.actor import Actor, Role
from smpki.service.people import rest_by_token

_spec = importlib.util.spec_from_file_location("desk_fixtures", Path(__file__).parents[1] / "desk" / "conftest.py")
assert _spec is not None and _spec.loader is not None
desk = sys.modules.setdefault("desk_fixtures", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(desk)

_workshop_template, workshops, workshop = desk._workshop_template, desk.workshops, desk.workshop
postgres_workshop, packages, changed_policy = desk.postgres_workshop, desk.packages, desk.changed_policy
office_of, office, new_keys = desk.office_of, desk.office, desk.new_keys

BINARY = {"content-type": "application/octet-stream"}


@dataclass
class Client:
    """Asks below ``/api/v1``, as somebody or nobody."""

    application: Any
    token: str | None = None
    address: str = "192.0.2.1"

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def story() -> httpx.Response:
            transport = httpx.ASGITransport(self.application, client=(self.address, 4711), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, f"/api/v1{path}", **request)

        given = {"authorization": f"Bearer {self.token}"} if self.token else {}
        request["headers"] = given | request.get("headers", {})
        response = asyncio.run(story())
        assert response.status_code != 500, response.text
        if response.status_code >= 400:
            problem = response.json()
            assert response.headers["content-type"] == "application/problem+json"
            assert problem["status"] == response.status_code
            assert problem["type"] == f"urn:smpki:problem:{problem['code']}"
        return response

    def get(self, path: str, **request: Any) -> httpx.Response:
        return self.ask("GET", path, **request)

    def post(self, path: str, value: Any = None, **request: Any) -> httpx.Response:
        if isinstance(value, bytes):
            request = {"content": value, "headers": BINARY, **request}
        elif value is not None:
            request["json"] = value
        return self.ask("POST", path, **request)


@dataclass
class Service:
    """A desk over REST."""

    office: Any
    application: Any

    @property
    def nobody(self) -> Client:
        return Client(self.application)

    def client(self, actor: Actor) -> Client:
        return Client(self.application, self.office.token(actor))

    def staff(self, role: Role = Role.OPERATOR, name: str | None = None) -> Client:
        return self.client(self.office.staff(role, name))

    def participant(self, *which: Any) -> Client:
        return self.client(self.office.participant(*which))


@pytest.fixture
def service(office: Any) -> Service:
    return Service(office, rest_by_token(office.desk))


@pytest.fixture
def service_of(office_of: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Service]:
    """Call it with a workshop and its PKI for its service."""

    def make(workshop: Any, pki: Any) -> Service:
        office = office_of(workshop, pki)
        return Service(office, rest_by_token(office.desk))

    return make
