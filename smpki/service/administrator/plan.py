"""Jobs as sequences of steps. A step can be taken again: a crash in the middle of it, or after it, does no harm."""

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from smpki.errors import GatewayError
from smpki.gateway.api import Administrator
from smpki.requests.keys import Signer
from smpki.service.administrator.authority import Authority
from smpki.service.administrator.management import Management
from smpki.service.administrator.pace import Pace
from smpki.service.administrator.sessions import Session
from smpki.service.administrator.store.gateways import RegisteredGateway
from smpki.service.administrator.store.jobs import Job
from smpki.service.administrator.store.store import AdministratorStore, Transaction
from smpki.service.administrator.vouching import Vouching


@dataclass(frozen=True)
class Office:
    """What all steps may need.

    :param administrator: what gateways are told of us
    :param signer: our SIG key
    :param authority: ``None``: there is none
    :param vouching: whether market participants' certificates hold
    :param hand_over_seconds: a gateway that stayed away for so long is with its new administrator
    """

    administrator: Administrator
    signer: Signer
    store: AdministratorStore
    pace: Pace
    vouching: Vouching
    hand_over_seconds: float
    issuer: Authority | None = None

    @property
    def authority(self) -> Authority:
        """The CA.

        :raises GatewayError: ``gwa.issuer.missing``
        """
        if self.issuer is None:
            hint = "name one in the configuration: issuer"
            raise GatewayError("gwa.issuer.missing", "no CA is configured", where="issuer", hint=hint)
        return self.issuer


@dataclass(frozen=True)
class Work:
    """What a step works with.

    :param gateway: as the registry has it when the step begins
    :param session: of the gateway; ``None`` for a step that needs none
    """

    office: Office
    job: Job
    gateway: RegisteredGateway
    session: Session | None

    @property
    def connection(self) -> Session:
        """The gateway's connection."""
        if self.session is None:
            raise RuntimeError(f"the step {self.job.step} was not said to need a connection")
        return self.session

    @property
    def management(self) -> Management:
        """What can be asked of the gateway."""
        return self.connection.management

    @property
    def has_switched(self) -> bool:
        """Whether the gateway's connection was made with its next certificate."""
        return self.gateway.next is not None and self.connection.certificate == self.gateway.next.tls


def _nothing(work: Transaction) -> None: ...


@dataclass(frozen=True)
class Advance:
    """A step was taken.

    :param data: added to what the job's steps have found so far
    :param result: of the job; ``None``: it stays as it is
    :param to: the step that comes next; ``None``: the one behind this one, or the job is done
    :param also: written in the transaction that notes it
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    to: str | None = None
    also: Callable[[Transaction], None] = _nothing


@dataclass(frozen=True)
class Wait:
    """There is nothing to do but to wait; the step is taken again then, or when the gateway connects before."""

    until: datetime


class Lane(enum.Enum):
    """Jobs of a gateway wait for one another in lanes, each for those that were ordered before it in its own."""

    GATEWAY = enum.auto()
    """What is done with the gateway."""
    AUTHORITY = enum.auto()
    """What needs the CA alone, and must not wait for a gateway that does not answer."""


@dataclass(frozen=True)
class Step:
    """A step.

    :param take: does it
    :param connected: it needs the gateway's connection, which is waited for, and the gateway woken
    :param comes: the gateway is about to connect by itself, and is woken only if it does not for a while
    """

    name: str
    take: Callable[[Work], Awaitable[Advance | Wait]]
    connected: bool = True
    comes: bool = False


@dataclass(frozen=True)
class Plan:
    """The steps of one kind of job."""

    steps: tuple[Step, ...]
    lane: Lane = Lane.GATEWAY

    @property
    def first(self) -> str:
        """The name of the first step."""
        return self.steps[0].name

    def step(self, name: str) -> Step:
        """The step of that name."""
        return next(step for step in self.steps if step.name == name)

    def after(self, name: str) -> str | None:
        """The name of the step behind one; ``None`` for the last."""
        names = [step.name for step in self.steps]
        return (*names[1:], None)[names.index(name)]
