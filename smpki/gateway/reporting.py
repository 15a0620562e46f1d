"""INFO-REPORT: readings go to the market participants, each once, encrypted for them alone.

A delivery is made on the schedule of its participant's communication profile, and sent until it is answered. Each
participant has a courier of their own, so that one who is dead or slow keeps nobody else waiting.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from smpki.errors import GatewayError, SmpkiError
from smpki.gateway import sealing
from smpki.gateway.api import CommunicationProfile, EvaluationProfile
from smpki.gateway.api import Delivery as DeliveryBody
from smpki.gateway.configuration import Limits, Times
from smpki.gateway.http_client_rules import Caller, Manners, NoAnswer, Outcome
from smpki.gateway.journal import Happening, Journal
from smpki.gateway.pace import Pace
from smpki.gateway.profiles import Profiles
from smpki.gateway.readings import Reading
from smpki.gateway.sealing import Sealer
from smpki.gateway.store.outbox import Delivery, Selection
from smpki.gateway.store.store import GatewayStore, Transaction
from smpki.gateway.wan import Wan
from smpki.policy.device_id import DeviceId
from smpki.tls.http_client import client

_HAS_IT = 409
_PAGE = 100


class Reporting:
    """Makes deliveries and sends them.

    :param gateway: its device id
    :param new_id: makes ids for deliveries
    """

    def __init__(
        self,
        *,
        gateway: DeviceId,
        store: GatewayStore,
        sealer: Sealer,
        wan: Wan,
        journal: Journal,
        pace: Pace,
        times: Times,
        limits: Limits,
        new_id: Callable[[], str],
    ) -> None:
        self.gateway, self.store, self.sealer, self.wan = gateway, store, sealer, wan
        self.journal, self.pace, self.times, self.limits, self.new_id = journal, pace, times, limits, new_id
        self._news = asyncio.Event()
        self._couriers: dict[str, Courier] = {}

    def look(self) -> None:
        """Something has changed: profiles, the time, or the gateway's keys."""
        self._news.set()
        for courier in self._couriers.values():
            courier.news.set()

    def report_now(self, recipients: Sequence[str]) -> None:
        """Make and send deliveries now, to those that have a courier; the refused ones too."""
        with self.store.work() as work:
            for name in recipients:
                reopen_refused(work, name, self.pace.shown())
        for name in recipients:
            if courier := self._couriers.get(name):
                courier.hurry()

    async def run(self) -> None:
        """Make and send until cancelled."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    with self.store.view() as view:
                        names = {*Profiles(view).ids(CommunicationProfile)}
                    for name in names - {*tasks}:
                        self._couriers[name] = Courier(name, self)
                        tasks[name] = group.create_task(self._couriers[name].run())
                    for name in {*tasks} - names:
                        tasks.pop(name).cancel()
                        del self._couriers[name]
                    await self.pace.wait(self._news)
        finally:
            self._couriers.clear()


class Courier:
    """Makes and sends the deliveries of one participant.

    :param name: of the communication profile
    :ivar news: set when there may be something to do
    """

    def __init__(self, name: str, reporting: Reporting) -> None:
        self._name, self._reporting = name, reporting
        self._pace, self._journal, self._store = reporting.pace, reporting.journal, reporting.store
        self.news = asyncio.Event()
        self._about = "delivery", name
        self._in_a_hurry = self._regardless = False
        self._failures = 0

    def hurry(self) -> None:
        """Make and send deliveries now, whatever the schedule says and however short ago the last attempt was."""
        self._in_a_hurry = self._regardless = True
        self.news.set()

    async def run(self) -> None:
        """Make and send until cancelled."""
        while True:
            try:
                seconds = await self._work()
                self._failures = 0
            except SmpkiError as error:  # the store, the security module, or a certificate that is not valid
                self._journal.trouble(self._about, error, f"deliveries to {self._name} wait")
                self._failures += 1
                times = self._reporting.times
                first, longest = times.report_retry_seconds, times.report_longest_retry_seconds
                seconds = self._pace.pause(self._failures, first, longest)
            await self._pace.wait(self.news, seconds)

    async def _work(self) -> float | None:
        """Do what there is to do.

        :returns: seconds until there is something to do by the clock; None: not before there is news
        """
        with self._store.view() as view:
            stored = Profiles(view).get(CommunicationProfile, self._name)
        now = self._pace.trusted()
        if stored is None or not stored.profile.enabled or now is None:
            return None
        scheduled = self._make(stored.profile, now)
        await self._send_due(stored.profile)
        with self._store.view() as view:
            waiting = view.outbox.page(participant=self._name, state="open", limit=1)
        now = self._pace.shown()
        times = [scheduled, *(each.next_attempt_at for each in waiting)]
        return max(0.0, (min(times) - now).total_seconds())

    def _make(self, profile: CommunicationProfile, now: datetime) -> datetime:
        """Make the deliveries that are due.

        :returns: when the next ones are
        """
        period, state = profile.schedule_seconds, f"report/{self._name}"
        slot = int(now.timestamp()) // period
        with self._store.view() as view:
            last = view.state.get(state)
        is_due = self._in_a_hurry or (last is not None and slot > int(last))
        if is_due or last is None or slot < int(last):  # smaller: the clock was set back
            with self._store.work() as work:
                if is_due:
                    self._make_all(work, now)
                work.state.put(state, str(slot))
            self._in_a_hurry = False
        return datetime.fromtimestamp((slot + 1) * period, UTC)

    def _make_all(self, work: Transaction, now: datetime) -> None:
        for each in Profiles(work).all(EvaluationProfile).values():
            if self._name in each.profile.recipients:
                while self._make_one(work, each.profile, now):
                    pass

    def _make_one(self, work: Transaction, profile: EvaluationProfile, now: datetime) -> bool:
        delivery_id = self._reporting.new_id()

        def build(readings: Sequence[Reading]) -> bytes:
            return DeliveryBody(
                delivery_id=delivery_id,
                gateway=self._reporting.gateway,
                recipient=self._name,
                created_at=now,
                readings=tuple(readings),
            ).to_json()

        registers = frozenset((profile.meter, obis) for obis in profile.obis)
        selection = Selection(registers, profile.start, profile.end)
        limit = self._reporting.limits.readings_per_delivery
        return work.outbox.create(self._name, selection, delivery_id, build, now=now, limit=limit) is not None

    async def _send_due(self, profile: CommunicationProfile) -> None:
        """Send one after another over one connection, until none is due or one fails."""
        try:
            if self._due() is None:
                return
            host, port, path = sealing.address_of(profile)
            endpoint = self._reporting.wan.endpoint([profile.tls])
            manners = Manners(answer=float(self._reporting.times.answer_seconds))
            timing = self._reporting.wan.timing
            async with client(endpoint, host, port, server_name=_dns_name(host), timing=timing) as http:
                caller = Caller(http, manners)
                while (delivery := self._due()) and await self._send(caller, path, profile, delivery):
                    pass
        finally:
            self._regardless = False

    def _due(self) -> Delivery | None:
        now = self._pace.trusted()
        if now is None:
            return None
        with self._store.view() as view:
            if self._regardless:
                return next(iter(view.outbox.page(participant=self._name, state="open", limit=1)), None)
            return next((each for each in view.outbox.due(now) if each.participant == self._name), None)

    async def _send(self, caller: Caller, path: str, profile: CommunicationProfile, delivery: Delivery) -> bool:
        """Send a delivery.

        :returns: whether it was answered for good
        """
        now = self._pace.shown()
        with self._store.view() as view:
            kept = sealing.kept(view, delivery)
        message = self._reporting.sealer.seal(delivery, profile, kept, now)
        times = self._reporting.times
        pause = self._pace.pause(delivery.attempts + 1, times.report_retry_seconds, times.report_longest_retry_seconds)
        with self._store.work() as work:
            work.outbox.attempted(delivery.id, now=now, next_attempt_at=now + timedelta(seconds=pause))
            sealing.keep(work, delivery, message)
        try:
            answer = await caller.post(path, sealing.octets_of(message), sealing.content_type(profile))
        except NoAnswer as error:
            self._journal.trouble(self._about, error, f"{self._name} does not answer a delivery")
            return False
        return self._answered(delivery, answer.status)

    def _answered(self, delivery: Delivery, status: int) -> bool:
        now, outcome = self._pace.shown(), Outcome.of(status)
        if outcome is Outcome.TRY_AGAIN:
            error = GatewayError("delivery.status", f"the answer has the status {status}")
            self._journal.trouble(self._about, error, f"{self._name} does not take a delivery")
            return False
        self._journal.fine(self._about, "delivery.reached", f"{self._name} answers again")
        with self._store.work() as work:
            if outcome is Outcome.DONE or status == _HAS_IT:
                work.outbox.acknowledge(delivery.id, status=status, now=now)
                done = Happening("delivery.acknowledged", f"{self._name} has the delivery {delivery.id}")
            else:
                work.outbox.refuse(delivery.id, status=status, now=now)
                text = f"{self._name} refuses the delivery {delivery.id} with the status {status}; it is kept"
                done = Happening("delivery.refused", text, "W", "failure")
            sealing.let_go(work, delivery)
            self._journal.write_in(work, done)
        return True


def reopen_refused(work: Transaction, participant: str, now: datetime) -> int:
    """Send all after all that a participant has refused.

    :returns: how many
    """
    reopened = 0
    while refused := work.outbox.page(participant=participant, state="refused", limit=_PAGE):
        for each in refused:
            work.outbox.reopen(each.id, now=now)
        reopened += len(refused)
    return reopened


def _dns_name(host: str) -> str | None:
    """The name to ask a server for (SNI), which an address is not (RFC 6066 3)."""
    try:
        ip_address(host)
    except ValueError:
        return host
    return None
