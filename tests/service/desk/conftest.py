"""A PKI with its desk, and people at it."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from smpki.policy.model import CertificateType
from smpki.service.accounts.accounts import Accounts
from smpki.service.accounts.actor import Actor, Role
from smpki.service.desk.desk import Desk
from smpki.service.desk.registrations import Form

_spec = importlib.util.spec_from_file_location("ca_fixtures", Path(__file__).parents[2] / "ca" / "conftest.py")
assert _spec is not None and _spec.loader is not None
ca = sys.modules.setdefault("ca_fixtures", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(ca)

_workshop_template, workshops, workshop = ca._workshop_template, ca.workshops, ca.workshop
postgres_workshop, packages, changed_policy = ca.postgres_workshop, ca.packages, ca.changed_policy
new_keys = ca.new_keys

SUB_CA = "Beispiel.CA"
CHEAP = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
"""The rules of passwords are what is tested, not how long argon2 takes."""


@dataclass
class Office:
    """A desk that is open, its people, and its clock."""

    workshop: Any
    pki: Any
    packages: Any
    desk: Desk = field(init=False)

    def __post_init__(self) -> None:
        accounts = Accounts(self.pki, hasher=CHEAP)
        self.desk = Desk(self.pki, SUB_CA, accounts)

    def staff(self, role: Role = Role.OPERATOR, name: str | None = None) -> Actor:
        """An operator or auditor; another for each name."""
        accounts = self.desk.accounts
        return accounts.join(accounts.invite(name or role.value, role, by="the test")).actor

    def participant(
        self, organisation: str = "Firma", role: CertificateType = CertificateType.EMT, extension: str | None = "MAK"
    ) -> Actor:
        """A participant that applied and was approved, by two where it takes two."""
        form = Form(organisation, role, "post@firma.example", "9900000000001", extension)
        application, claim = self.desk.registrations.apply(form)
        for name in ("first", "second"):
            operator = self.desk.accounts.store.find(name)
            actor = operator.actor if operator else self.staff(name=name)
            if self.desk.registrations.approve(actor, application.id).state == "approved":
                break
        return self.desk.accounts.join(claim).actor

    def token(self, actor: Actor) -> str:
        """A token of an account."""
        return self.desk.accounts.new_token(actor, "test")[0]

    def wait(self, **time: float) -> datetime:
        """Let time go by."""
        self.workshop.now += timedelta(**time)
        return self.workshop.now

    def audit(self) -> list[tuple[str, str]]:
        """Action and outcome of each entry."""
        return [(row["action"], row["outcome"]) for row in self.workshop.tables()["audit"]]


@pytest.fixture
def office_of(packages: Any) -> Callable[[Any, Any], Office]:
    """Call it with a workshop and its PKI for a desk."""
    return lambda workshop, pki: Office(workshop, pki, packages)


@pytest.fixture
def office(workshop: Any, office_of: Callable[[Any, Any], Office]) -> Iterator[Office]:
    """A desk of its own for the test."""
    with workshop.open() as pki:
        yield office_of(workshop, pki)
