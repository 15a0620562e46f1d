"""ADMIN-SERVICE: what the administrator is to know is sent to them, in the order in which it happened.

The queue is the system log itself and the number of the entry that was sent last; so it survives whatever the log does.
"""

import asyncio

from smpki.errors import GatewayError, SmpkiError
from smpki.gateway.administration import Administration
from smpki.gateway.api import NOTIFY, Notification
from smpki.gateway.api_types import split_address
from smpki.gateway.configuration import Limits, Times
from smpki.gateway.http_client_rules import Caller, Manners, NoAnswer, Outcome
from smpki.gateway.journal import Happening, Journal
from smpki.gateway.log_entry import LogEntry
from smpki.gateway.media_type import JSON
from smpki.gateway.pace import Pace
from smpki.gateway.rate_limit import RateLimit
from smpki.gateway.store.store import GatewayStore
from smpki.gateway.wan import Wan
from smpki.tls.http_asker import asker

AT_ONCE = 10
"""Notifications that may go without a pause between them."""

_HAS_IT = 409
_STATE, _PAGE = "notified", 100
_ABOUT, _OWN = "admin-service", "notify."
_TOLD = ("gateway.start", "time.set", "administrator.current", "wan_keys.current", "management.reached")
"""Events that are told although nothing is wrong."""


def is_told(entry: LogEntry) -> bool:
    """Whether the administrator is to know of an entry of the system log. What tells of notifying is not told."""
    return (entry.level != "I" or entry.event in _TOLD) and not entry.event.startswith(_OWN)


class Notifying:
    """Sends notifications to the administrator."""

    def __init__(
        self,
        *,
        store: GatewayStore,
        wan: Wan,
        administration: Administration,
        journal: Journal,
        pace: Pace,
        times: Times,
        limits: Limits,
    ) -> None:
        self._store, self._wan, self._administration = store, wan, administration
        self._journal, self._pace, self._times, self._limits = journal, pace, times, limits
        self._news = asyncio.Event()
        self._rate = RateLimit(1 / times.notify_every_seconds, AT_ONCE, pace.monotonic)

    def look(self) -> None:
        """Something new is in the log."""
        self._news.set()

    async def run(self) -> None:
        """Send until cancelled."""
        failures = 0
        while True:
            seconds = None
            try:
                if not await self._send_all():
                    seconds = float(self._times.notify_every_seconds)
                failures = 0
                self._journal.fine(_ABOUT, "notify.reached", "the administrator takes notifications again")
            except SmpkiError as error:
                failures += 1
                text = "the administrator is not reached for notifications"
                event = GatewayError(f"{_OWN}{error.code}", error.message)
                self._journal.trouble(_ABOUT, event, text)
                seconds = self._pace.pause(failures, self._times.retry_seconds, self._times.longest_retry_seconds)
            await self._rest(seconds, patient=failures > 0)

    async def _rest(self, seconds: float | None, *, patient: bool) -> None:
        """Wait; after a failure no news makes it shorter."""
        if patient and seconds is not None:
            await self._pace.sleep(seconds)
        else:
            await self._pace.wait(self._news, seconds)

    async def _send_all(self) -> bool:
        """Send what is waiting.

        :returns: whether that was all; the rest has to wait for its rate
        :raises SmpkiError: nobody takes it
        """
        self._drop_too_many()
        if self._next() is None:
            return True
        administrator = self._administration.current
        endpoint = self._wan.endpoint(administrator.tls)
        address = split_address(administrator.admin_service)
        manners = Manners(answer=float(self._times.answer_seconds))
        name, timing = administrator.server_name, self._wan.timing
        async with asker(endpoint, *address, server_name=name, timing=timing) as http:
            caller = Caller(http, manners)
            while entry := self._next():
                if not self._rate.take():
                    return False
                await self._send(caller, entry)
        return True

    async def _send(self, caller: Caller, entry: LogEntry) -> None:
        """Send one, and note that it was.

        :raises NoAnswer: nobody says that they have it
        """
        body = Notification(
            number=entry.record_number, event=entry.event, level=entry.level, text=entry.text, at=entry.timestamp
        )
        answer = await caller.post(NOTIFY, body.to_json(), JSON)
        if answer.outcome is Outcome.TRY_AGAIN:
            raise NoAnswer("http.client.status", f"the answer has the status {answer.status}")
        if answer.outcome is Outcome.REFUSED and answer.status != _HAS_IT:
            text = f"the administrator refuses the notification {entry.record_number} with the status {answer.status}"
            self._journal.write(Happening(f"{_OWN}refused", text, "W", "failure"))
        self._note(entry.record_number)

    def _next(self) -> LogEntry | None:
        """The next that is to be sent. What needs not be told is passed over for good."""
        while True:
            with self._store.view() as view:
                page = view.logs.page("system", after=int(view.state.get(_STATE) or 0), limit=_PAGE)
            for entry in page:
                if is_told(entry):
                    return entry
            if not page:
                return None
            self._note(page[-1].record_number)

    def _drop_too_many(self) -> None:
        """Pass over the oldest of more than may wait; they stay in the log."""
        waiting: list[int] = []
        with self._store.view() as view:
            after = int(view.state.get(_STATE) or 0)
            while page := view.logs.page("system", after=after, limit=1_000):
                waiting += [entry.record_number for entry in page if is_told(entry)]
                after = page[-1].record_number
        if (more := len(waiting) - self._limits.notifications_waiting) > 0:
            self._note(waiting[more - 1])
            text = f"{more} notifications were left out; the system log has them"
            self._journal.write(Happening("notifications.left_out", text, "W", "failure"))

    def _note(self, number: int) -> None:
        with self._store.work() as work:
            work.state.put(_STATE, str(number))
