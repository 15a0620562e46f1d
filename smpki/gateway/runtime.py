"""A running gateway: all its parts, put together, begun and ended."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509

from smpki.errors import SmpkiError
from smpki.gateway.administration import Administration
from smpki.gateway.api import MeterProfile
from smpki.gateway.api_types import split_address
from smpki.gateway.configuration import Configuration, load_certificates, load_crls
from smpki.gateway.durable import DurableFile
from smpki.gateway.housekeeping import Housekeeping
from smpki.gateway.http_rules import Service, log_refusal
from smpki.gateway.journal import Happening, Journal
from smpki.gateway.log_entry import Level
from smpki.gateway.management import Management
from smpki.gateway.metering import Metering
from smpki.gateway.notifying import Notifying
from smpki.gateway.pace import Pace
from smpki.gateway.profiles import Profile
from smpki.gateway.rate_limit import RateLimit
from smpki.gateway.reporting import Reporting
from smpki.gateway.resources import Holdings, Hooks, Resources
from smpki.gateway.rest import Rest
from smpki.gateway.sealing import Sealer
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.self_test import SelfTests, Surroundings
from smpki.gateway.store.store import GatewayStore
from smpki.gateway.supervision import keep_going
from smpki.gateway.synchronising import Synchronising
from smpki.gateway.time_keeper import TimeSet
from smpki.gateway.wakeup import Accepted, WakeUpReader, Window
from smpki.gateway.wakeup import Reason as WakeUpReason
from smpki.gateway.wakeup_guard import WakeUpGuard
from smpki.gateway.wakeup_listener import Notice, WakeUpListener, listen
from smpki.gateway.wan import Wan
from smpki.gateway.wan_keys import WanKeys
from smpki.policy.text import visible
from smpki.tls.transport import Timing
from smpki.trust.tls_peer import TrustMaterial

_GRAVE = (WakeUpReason.NOT_RECORDED, WakeUpReason.OVERLOAD)
_REFUSALS = 60
"""Refused requests that are in the system log, of an hour and at once; the operating system's log has them all."""


@dataclass(frozen=True)
class Ready:
    """A gateway runs.

    :param wake_up: where it listens for wake-ups: address and real port
    """

    gateway: str
    wake_up: tuple[str, int]


class Gateway:
    """A gateway.

    :param module: its security module, with the current WAN keys
    :param store: its database
    :param pace: clock and waiting
    :param software: name and version, for its status
    :param new_id: makes ids of deliveries that nobody has used, such as random UUIDs
    :raises GatewayError: ``configuration.certificate``, ``durable.*``, ``wakeup.*``, ``module.*``
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        module: SecurityModule,
        store: GatewayStore,
        pace: Pace,
        software: str,
        new_id: Callable[[], str],
    ) -> None:
        self._configuration, self._pace = configuration, pace
        self._refusals = RateLimit(_REFUSALS / 3600, _REFUSALS, pace.monotonic)
        times, limits = configuration.times, configuration.limits
        self._journal = journal = Journal(store, pace.shown)
        self._administration = administration = Administration(configuration.administrator.load(), store)
        chain = tuple(one for path in configuration.trust.chain for one in load_certificates(path))
        wan = Wan(module, chain, pace.keeper, Timing(handshake=float(times.connect_seconds)))
        keys = WanKeys(module, store, configuration.id)

        self._metering = Metering(configuration.meters, store=store, journal=journal, pace=pace)
        self._synchronising = Synchronising(
            random=module.random,
            changed=self._time_changed,
            wan=wan,
            administration=administration,
            journal=journal,
            pace=pace,
            times=times,
        )
        self._notifying = Notifying(
            store=store,
            wan=wan,
            administration=administration,
            journal=journal,
            pace=pace,
            times=times,
            limits=limits,
        )
        journal.news = self._notifying.look
        self._reporting = Reporting(
            gateway=configuration.id,
            store=store,
            sealer=Sealer(module),
            wan=wan,
            journal=journal,
            pace=pace,
            times=times,
            limits=limits,
            new_id=new_id,
        )
        keep = timedelta(days=limits.readings_kept_days)
        self._housekeeping = Housekeeping(store, journal, pace, keep=keep)
        surroundings = Surroundings(
            module=module,
            store=store,
            administration=administration,
            data=configuration.data,
            heard=self._metering.heard,
            sources=[line.source for line in configuration.meters],
            trust=(lambda: _trust_material(configuration, chain)) if configuration.trust.anchors else None,
        )
        warn_before = timedelta(seconds=times.warn_before_seconds)
        every = float(times.self_test_every_seconds)
        self._self_tests = SelfTests(surroundings, journal, pace, every=every, warn_before=warn_before)
        holdings = Holdings(
            gateway=configuration.id,
            software=software,
            started_at=pace.shown(),
            module=module,
            store=store,
            keys=keys,
            administration=administration,
            journal=journal,
            pace=pace,
        )
        hooks = Hooks(
            profiles=self._profiles_changed,
            switch=self._switch,
            keys=self._reporting.look,
            report=self._reporting.report_now,
            self_test=self._self_tests.test,
        )
        self._management = Management(
            Service(Rest(Resources(holdings, hooks).api()), refused=self._refused),
            wan=wan,
            administration=administration,
            keys=keys,
            journal=journal,
            pace=pace,
            times=times,
        )
        self._management.changed = self._switched
        self._guard = WakeUpGuard(
            self._wake_up_reader(), clock=pace.trusted, memory=DurableFile(configuration.data / "wakeup.json")
        )

    async def run(self, stop: asyncio.Event, ready: Callable[[Ready], None] = lambda _: None) -> None:
        """Run until told to stop.

        :param ready: called when wake-ups are heard
        :raises GatewayError: ``wakeup.port``
        """
        host, port = split_address(self._configuration.wake_up.listen)
        listener = WakeUpListener(self._guard, wake=self._woken, log=self._not_woken, monotonic=self._pace.monotonic)
        transport = await listen(listener, host, port)
        self._journal.write(Happening("gateway.start", "the gateway starts"))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(keep_going(name, work, self._journal, self._pace))
                    for name, work in self._work().items()
                ]
                ready(Ready(self._configuration.id.dns, transport.get_extra_info("sockname")[:2]))
                await stop.wait()
                for task in tasks:
                    task.cancel()
        finally:
            transport.close()
            self._journal.write(Happening("gateway.stop", "the gateway stops"))

    def _work(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        def with_time(work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
            async def wait_and_work() -> None:
                await self._synchronising.tried.wait()
                await work()

            return wait_and_work

        return {
            "time": self._synchronising.run,
            "management": with_time(self._management.run),  # for the dates of the administrator's certificate
            "metering": self._metering.run,
            "reporting": self._reporting.run,
            "notifying": self._notifying.run,
            "self-test": with_time(self._self_tests.run),
            "housekeeping": with_time(self._housekeeping.run),
        }

    def _woken(self, accepted: Accepted) -> None:
        self._journal.write(Happening("wakeup.accepted", "the administrator wakes the gateway"))
        self._management.call(since=accepted.sent_at)

    def _not_woken(self, notice: Notice) -> None:
        more = f", and {notice.unlogged} others" if notice.unlogged else ""
        text = f"a wake-up from {notice.source} is refused: {notice.reason}{more}"
        level: Level = "W" if notice.reason in _GRAVE else "I"
        self._journal.write(Happening(f"wakeup.{notice.reason}", text, level, "failure"))

    def _refused(self, what: str, status: int, error: SmpkiError) -> None:
        """The administrator has asked for something that is not done; the answer has told them."""
        if self._refusals.take():
            text = f"{visible(what)} is refused with {status}: {error.message}"
            self._journal.write(Happening(error.code, text, "I", "failure"))
        else:
            log_refusal(what, status, error)

    def _time_changed(self, change: TimeSet) -> None:
        self._metering.clock_was_set(change)
        self._reporting.look()
        if not change.was_trusted:
            self._management.try_again()

    def _profiles_changed(self, kind: type[Profile]) -> None:
        if kind is MeterProfile:
            self._metering.configure()
        else:
            self._reporting.look()

    def _switch(self) -> None:
        """There are new keys or a new administrator to be tried."""
        self._guard.reader = self._wake_up_reader()
        self._management.call()

    def _switched(self) -> None:
        """A trial has ended, one way or the other."""
        self._guard.reader = self._wake_up_reader()
        self._reporting.look()
        self._notifying.look()

    def _wake_up_reader(self) -> WakeUpReader:
        window = self._configuration.window
        return WakeUpReader(self._configuration.id, self._administration.wakers, Window(window, window))


def _trust_material(configuration: Configuration, chain: tuple[x509.Certificate, ...]) -> TrustMaterial:
    """What the gateway's own certificates are checked against, read anew each time."""
    trust = configuration.trust
    roots = tuple(one for path in trust.anchors for one in load_certificates(path))
    files = sorted(trust.crl_folder.glob("*.crl")) if trust.crl_folder else []
    return TrustMaterial(roots, chain, tuple(one for file in files for one in load_crls(file)))
