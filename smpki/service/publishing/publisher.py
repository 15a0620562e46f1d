"""Keeps a directory as the store is; what it missed is found by comparing, for nothing is remembered elsewhere."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from smpki.ca.store.holdings import Shown
from smpki.ca.store.store import Store
from smpki.errors import SmpkiError
from smpki.events import LogEvent, why
from smpki.policy.directory_name import DirectoryName
from smpki.policy.model import END_USERS, CertificateType, EnvironmentName, Policy
from smpki.service.publishing.authorities import Authorities
from smpki.service.publishing.directory import Report, context_of
from smpki.service.publishing.holders import Holders
from smpki.service.publishing.layout import base_of
from smpki.service.publishing.ldap_client import LdapConnection

HOLDERS = (
    *(CertificateType.ROOT_TLS, CertificateType.SUB_CA_TLS_ROOT, CertificateType.SUB_CA_TLS),
    *END_USERS,
)
"""Whose certificates a directory shows, besides those of CAs."""

_LONGEST_PAUSE = 60.0
_MOST_TOLD = 10

log = logging.getLogger("smpki.publishing")


@dataclass(frozen=True)
class Publisher:
    """What is published.

    :param kinds: types of holders whose certificates are shown
    :param revoked: whether certificates are shown that are revoked or suspended
    :param clock: the time now
    """

    store: Store
    policy: Policy
    environment: EnvironmentName
    clock: Callable[[], datetime]
    kinds: Sequence[CertificateType] = HOLDERS
    revoked: bool = False

    def session(self, connection: LdapConnection) -> "Session":
        """Publish over a connection that is bound.

        :raises SmpkiError: ``publish.layout``, ``name.directory``
        """
        base = base_of(self.policy, self.environment)
        organisation = self.policy.environments[self.environment].organization.value
        shown = Shown(tuple(kind.value for kind in self.kinds), self.revoked)
        return Session(
            connection,
            base,
            Authorities(connection, self.store, self.policy, self.environment),
            Holders(connection, self.store, base, organisation, shown, self.clock),
        )


@dataclass(frozen=True)
class Session:
    """Publishing over one connection.

    :param base: what all names stand under
    """

    connection: LdapConnection
    base: DirectoryName
    authorities: Authorities
    holders: Holders

    async def compare(self) -> Report:
        """Compare all, and write what differs.

        :raises SmpkiError: the directory can't be written at all, or the store can't be read
        """
        await context_of(self.connection, self.base)
        report = Report()
        self.authorities.forget()
        await self.authorities.publish(report)
        await self.holders.compare(report, self.authorities.names)
        return report

    async def follow(self) -> Report:
        """Write what is new in the store; after :meth:`compare`.

        :raises SmpkiError: as :meth:`compare`
        """
        report = Report()
        await self.authorities.publish(report)
        await self.holders.follow(report)
        return report


@dataclass(frozen=True)
class Pace:
    """How often.

    :param look: between two looks at what is new in the store
    :param compare: between two comparisons of all; certificates that have ended go then
    """

    look: timedelta = timedelta(seconds=10)
    compare: timedelta = timedelta(hours=1)


async def keep_published(
    connect: Callable[[], AbstractAsyncContextManager[LdapConnection]],
    publisher: Publisher,
    pace: Pace,
    stop: asyncio.Event,
    tell: Callable[[Report], None] = lambda report: None,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Publish until ``stop``. Whatever goes wrong is in the log, and tried again: a second later, then less often.

    :param connect: makes a connection that is bound
    :param tell: gets what was done, when something was
    """
    pause = 1.0
    while not stop.is_set():
        try:
            async with connect() as connection:
                session = publisher.session(connection)
                due = monotonic()
                while not stop.is_set():
                    if compares := monotonic() >= due:
                        due = monotonic() + pace.compare.total_seconds()
                    report = await (session.compare() if compares else session.follow())
                    for error in report.refused[:_MOST_TOLD]:
                        facts = {"refused": len(report.refused), **why(error)}
                        log.error(LogEvent("publish.refused", "an entry can't be published", **facts))
                    if report:
                        tell(report)
                    pause = 1.0
                    await _wait(stop, pace.look.total_seconds())
        except SmpkiError as error:
            log.error(LogEvent("publish.rests", "publishing goes on after a pause", seconds=pause, **why(error)))
            await _wait(stop, pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
