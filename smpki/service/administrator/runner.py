"""Does the jobs: takes step after step, writes down each that was taken, tries again what can't be done now."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial

from smpki.errors import (
    GatewayError,
    IssuingError,
    PolicyError,
    RequestError,
    RevocationError,
    SmpkiError,
    StoreError,
    TrustError,
)
from smpki.gateway.http_client_rules import NoAnswer
from smpki.policy.device_id import DeviceId
from smpki.service.administrator.again import TryAgain
from smpki.service.administrator.catalogue import LEAVING, PLANS
from smpki.service.administrator.chronicle import Chronicle
from smpki.service.administrator.plan import Advance, Lane, Office, Step, Wait, Work
from smpki.service.administrator.sessions import Session, Sessions
from smpki.service.administrator.store.gateways import RegisteredGateway
from smpki.service.administrator.store.jobs import Job
from smpki.service.administrator.waking import Waker

_REFUSALS = (GatewayError, RequestError, IssuingError, RevocationError, PolicyError, TrustError)
"""What would be the same the next time."""
_PASSING = ("issuing.subject.in_progress", "issuing.package.in_progress", "request.authorisation.administrator")
"""With these exceptions: the former administrator tells the CA a little later than the gateway."""

_Place = tuple[DeviceId, Lane]

_ROUNDS = "rounds"
"""How often a job had to go back to an earlier step; kept with what its steps have found."""
_LOOK = 0.2
"""Seconds between looks for new orders, which other processes write."""

log = logging.getLogger("smpki.gwa")


class Runner:
    """Does jobs. Those of one gateway wait for one another, those of several go on side by side.

    :param retry: seconds before a step that failed is tried again; doubles each time
    :param longest_retry: but is never longer
    """

    def __init__(
        self,
        office: Office,
        sessions: Sessions,
        waker: Waker,
        chronicle: Chronicle,
        *,
        retry: float,
        longest_retry: float,
    ) -> None:
        self._office, self._sessions, self._waker, self._chronicle = office, sessions, waker, chronicle
        self._retry, self._longest = retry, longest_retry
        self._store, self._pace = office.store, office.pace
        self._busy: set[_Place] = set()
        self._arrivals: dict[DeviceId, asyncio.Event] = {}
        self._news = asyncio.Event()
        self.left: Callable[[DeviceId], None] = lambda gateway: None
        """Called when a gateway is not to be let in any more."""

    def look(self) -> None:
        """There may be new orders."""
        self._news.set()

    def arrived(self, gateway: DeviceId) -> None:
        """A gateway has connected."""
        if event := self._arrivals.get(gateway):
            event.set()

    async def run(self) -> None:
        """Do jobs until cancelled; what is not done then is taken up the next time."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._news.clear()
                for job in self._orders():
                    place = job.gateway, PLANS[job.kind].lane
                    if place not in self._busy:
                        self._busy.add(place)
                        task = group.create_task(self._do(job))
                        task.add_done_callback(partial(self._free, place))
                await self._pace.wait(self._news, _LOOK)

    def _orders(self) -> Sequence[Job]:
        try:
            with self._store.view() as view:
                orders = view.jobs.open()
        except StoreError as error:
            self._chronicle.trouble("orders", error, "orders can't be read")
            return ()
        self._chronicle.fine("orders", "gwa.jobs", "orders can be read again")
        return orders

    def _free(self, place: _Place, _: object) -> None:
        self._busy.discard(place)
        self.look()

    async def _do(self, job: Job) -> None:
        """Do one job to its end."""
        about = "job", job.number
        while job.state == "open":
            try:
                job = await self._go_on(job)
            except Exception as error:
                cause = error if isinstance(error, StoreError) else _internal(job)
                if cause is not error:
                    log.exception("job %d: the step %s can't be noted", job.number, job.step)
                self._chronicle.trouble(about, cause, f"the job {job.number} can't be noted", job.gateway)
                await self._pace.sleep(self._retry)
        if job.state == "done":
            self._chronicle.write("gwa.job.done", f"the job {job.number} ({job.kind}) is done", job.gateway)
            if job.kind in LEAVING:
                self.left(job.gateway)
        elif job.error:
            text = f"the job {job.number} ({job.kind}) has failed: {job.error['message']} [{job.error['code']}]"
            self._chronicle.write("gwa.job.failed", text, job.gateway, "W")

    async def _go_on(self, job: Job) -> Job:
        """Take the step that comes next, or note why it can't be taken.

        :raises StoreError: nothing was noted
        """
        step = PLANS[job.kind].step(job.step)
        try:
            await self._until(job, job.due_at)
            async with self._connection(job, step) as session:
                outcome = await step.take(Work(self._office, job, self._gateway(job, step), session))
        except SmpkiError as error:
            return self._failed(job, error)
        except Exception:
            if job.attempts == 0:
                log.exception("job %d: the step %s failed", job.number, job.step)
            return self._failed(job, _internal(job))
        if isinstance(outcome, Advance):
            return self._advance(job, outcome)
        await self._until_arrival(job, outcome)
        return job

    @asynccontextmanager
    async def _connection(self, job: Job, step: Step) -> AsyncIterator[Session | None]:
        """The gateway's connection, if the step needs one."""
        if not step.connected:
            yield None
            return
        session = self._sessions.current(job.gateway) or await self._awaited(job, step)
        async with session.used():
            yield session

    async def _awaited(self, job: Job, step: Step) -> Session:
        """Wake the gateway, and wait until it is connected."""
        waking = asyncio.create_task(self._waker.keep_waking(job.gateway, at_once=not step.comes))
        try:
            while True:
                self._gateway(job, step)
                if session := await self._sessions.wait(job.gateway, self._pace.until(job.deadline)):
                    return session
        finally:
            waking.cancel()

    def _gateway(self, job: Job, step: Step) -> RegisteredGateway:
        """The gateway, for which there is time still.

        :raises GatewayError: ``gwa.job.late``, ``gwa.gateway.state``
        """
        if self._pace.now() >= job.deadline:
            why = f": {job.error['message']} [{job.error['code']}]" if job.error else ""
            message = f"it was not done by {job.deadline:%Y-%m-%d %H:%M:%S} UTC{why}"
            raise GatewayError("gwa.job.late", message, where=job.step, hint="see smpki gwa show")
        with self._store.view() as view:
            gateway = view.gateways.get(job.gateway)
        if PLANS[job.kind].lane is Lane.GATEWAY and gateway.state != "active":
            message = f"the gateway is {gateway.state}"
            raise GatewayError("gwa.gateway.state", message, where=job.step, hint="see smpki gwa show")
        return gateway

    async def _until(self, job: Job, due_at: datetime) -> None:
        """Wait for a moment of the clock; not beyond the job's deadline."""
        moment = min(due_at, job.deadline)
        while self._pace.now() < moment:
            await self._pace.sleep(self._pace.until(moment))

    async def _until_arrival(self, job: Job, wait: Wait) -> None:
        """Wait for a moment, or until the gateway connects; not for long at a time."""
        arrival = self._arrivals.setdefault(job.gateway, asyncio.Event())
        try:
            await self._pace.wait(arrival, self._pace.until(wait.until))
        finally:
            self._arrivals.pop(job.gateway, None)

    def _advance(self, job: Job, advance: Advance) -> Job:
        following = advance.to or PLANS[job.kind].after(job.step)
        now = self._pace.now()
        with self._store.work() as work:
            advance.also(work)
            if following is None:
                return work.jobs.finish(job.number, advance.result, now=now)
            if advance.result is not None:
                work.jobs.note(job.number, advance.result)
            return work.jobs.advance(job.number, following, {**job.data, **advance.data}, now=now)

    def _failed(self, job: Job, error: SmpkiError) -> Job:
        """Note a failure; for good, if it would be the same the next time."""
        now = self._pace.now()
        if _is_final(error):
            with self._store.work() as work:
                return work.jobs.fail(job.number, error, now=now)
        text = f"the job {job.number} ({job.kind}) is held up at the step {job.step}"
        self._chronicle.trouble(("job", job.number), error, text, job.gateway)
        back = error.to if isinstance(error, TryAgain) else None
        rounds = job.data.get(_ROUNDS, 0) + (back is not None)
        doubled = self._retry * 2 ** min(max(job.attempts, rounds - 1), 30)
        due_at = now + timedelta(seconds=min(doubled, self._longest))
        data = {**job.data, _ROUNDS: rounds}
        with self._store.work() as work:
            return work.jobs.postpone(job.number, error, due_at, step=back or job.step, data=data)


def _internal(job: Job) -> SmpkiError:
    return SmpkiError("gwa.internal", "an error of the program", where=job.step, hint="see its log")


def _is_final(error: SmpkiError) -> bool:
    return isinstance(error, _REFUSALS) and not isinstance(error, NoAnswer) and error.code not in _PASSING
