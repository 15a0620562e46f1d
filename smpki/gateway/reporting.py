"""INFO-REPORT: readings go to the market participants, each once, encrypted for them alone.

A delivery is made on the schedule of its participant's communication profile, and sent until it is answered. Each
participant has a courier of their own, so that one who is dead or slow keeps nobody else waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address

from smpki.errors import GatewayError, SmpkiError
from smpki.gateway import sealing
from smpki.gateway.api import CommunicationProfile, EvaluationProfile
from smpki.gateway.api import Delivery as DeliveryBody
from smpki.gateway.configuration import Limits, Times
from smpki.gateway.http_client_rules import Answer, Caller, Manners, NoAnswer, Outcome
from smpki.gateway.journal import Happening, Journal
from smpki.gateway.pace import Pace
from smpki.gateway.profiles import Profiles
from smpki.gateway.readings import Reading
from smpki.gateway.sealing import Sealer
from smpki.gateway.store.outbox import Answered, Delivery, Sealed, Selection
from smpki.gateway.store.store import GatewayStore, Transaction
from smpki.gateway.wan import Wan
from smpki.policy.device_id import DeviceId
from smpki.tls.http_asker import asker

_HAS_IT = 409
_TOGETHER = 16
"""Deliveries that are made together, and whose messages are stored together before the first of them is sent."""
_SOON = 1.0  # seconds after which an answer is stored, though there are others to come


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
                work.outbox.reopen(name, now=self.pace.shown())
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
            waiting = view.outbox.next_attempt_at(self._name)
        first = scheduled if waiting is None else min(scheduled, waiting)
        return max(0.0, (first - self._pace.shown()).total_seconds())

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
        def build(readings: Sequence[Reading]) -> tuple[str, bytes]:
            delivery_id = self._reporting.new_id()
            body = DeliveryBody(
                delivery_id=delivery_id,
                gateway=self._reporting.gateway,
                recipient=self._name,
                created_at=now,
                readings=tuple(readings),
            )
            return delivery_id, body.to_json()

        limit = self._reporting.limits.readings_per_delivery
        for profile in (each.profile for each in Profiles(work).all(EvaluationProfile).values()):
            if self._name in profile.recipients:
                registers = frozenset((profile.meter, obis) for obis in profile.obis)
                selection = Selection(registers, profile.start, profile.end)
                several = partial(work.outbox.create_several, self._name, selection, build, now=now, limit=limit)
                while len(several(most=_TOGETHER)) == _TOGETHER:
                    pass

    async def _send_due(self, profile: CommunicationProfile) -> None:
        """Send one after another over one connection, until none is due or one fails."""
        try:
            if not self._due(1):
                return
            host, port, path = sealing.address_of(profile)
            endpoint = self._reporting.wan.endpoint([profile.tls])
            manners = Manners(answer=float(self._reporting.times.answer_seconds))
            timing = self._reporting.wan.timing
            async with asker(endpoint, host, port, server_name=_dns_name(host), timing=timing) as http:
                caller, kind = Caller(http, manners), sealing.content_type(profile)
                while due := self._due(_TOGETHER):
                    messages = await self._prepare(profile, due)
                    if not await self._bring(partial(caller.post, path, content_type=kind), messages):
                        break
        finally:
            self._regardless = False

    def _due(self, limit: int) -> Sequence[Delivery]:
        now = self._pace.trusted()
        if now is None:
            return ()
        with self._store.view() as view:
            return view.outbox.due(self._name, now, limit=limit, whenever=self._regardless)

    async def _prepare(
        self, profile: CommunicationProfile, deliveries: Sequence[Delivery]
    ) -> Sequence[tuple[Delivery, Sealed]]:
        """Protect deliveries, and store the messages, all in one transaction, before the first is sent."""
        now, times = self._pace.shown(), self._reporting.times
        messages = []
        for message in self._reporting.sealer.seal(deliveries, profile, now):
            messages.append(message)
            await asyncio.sleep(0)  # the gateway has other things to do as well
        first, longest = times.report_retry_seconds, times.report_longest_retry_seconds
        pause = self._pace.pause(deliveries[0].attempts + 1, first, longest)
        with self._store.work() as work:
            work.outbox.attempt(messages, now=now, next_attempt_at=now + timedelta(seconds=pause))
        return messages

    async def _bring(
        self, post: Callable[[bytes], Awaitable[Answer]], messages: Sequence[tuple[Delivery, Sealed]]
    ) -> bool:
        """Send messages one after another, and store the answers, soon but as many as can be in one transaction.

        :returns: whether all were answered for good, and that is stored
        """
        answers: list[Answered] = []
        begin, complete = self._pace.monotonic(), False
        try:
            for delivery, sealed in messages:
                if self._pace.trusted() is None:
                    break
                answer = await post(sealed.message)
                if answer.outcome is Outcome.TRY_AGAIN:
                    error = GatewayError("delivery.status", f"the answer has the status {answer.status}")
                    self._journal.trouble(self._about, error, f"{self._name} does not take a delivery")
                    break
                self._journal.fine(self._about, "delivery.reached", f"{self._name} answers again")
                has_it = answer.outcome is Outcome.DONE or answer.status == _HAS_IT
                answers.append(Answered(delivery, "acknowledged" if has_it else "refused", answer.status))
                if self._pace.monotonic() - begin > _SOON:
                    if not self._note(answers):
                        break
                    begin = self._pace.monotonic()
            else:
                complete = True
        except NoAnswer as error:
            self._journal.trouble(self._about, error, f"{self._name} does not answer a delivery")
        finally:  # also when this courier is sent home
            noted = self._note(answers)
        return complete and noted

    def _note(self, answers: list[Answered]) -> bool:
        """Store answers, after which they are forgotten here.

        :returns: whether that was possible; otherwise the deliveries go again
        """
        if answers:
            try:
                with self._store.work() as work:
                    work.outbox.answer(answers, now=self._pace.shown())
                    self._journal.write_in(work, *map(self._happening, answers))
            except SmpkiError as error:
                text = f"what {self._name} answers can't be stored, and is going to be asked for again"
                self._journal.trouble(self._about, error, text)
                return False
            answers.clear()
        return True

    def _happening(self, answer: Answered) -> Happening:
        id, status = answer.delivery.id, answer.status
        if answer.state == "acknowledged":
            return Happening("delivery.acknowledged", f"{self._name} has the delivery {id}")
        text = f"{self._name} refuses the delivery {id} with the status {status}; it is kept"
        return Happening("delivery.refused", text, "W", "failure")


def _dns_name(host: str) -> str | None:
    """The name to ask a server for (SNI), which an address is not (RFC 6066 3)."""
    try:
        ip_address(host)
    except ValueError:
        return host
    return None
