"""MANAGEMENT: the gateway calls its administrator, who then asks over that connection; on HTTP the gateway serves.

It calls at start, on schedule, when it is woken, and when there is something to try: new keys, or a new administrator.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from smpki.errors import GatewayError, SmpkiError, StoreError, TlsError, TokenError
from smpki.gateway.administration import Administration
from smpki.gateway.api import Administrator
from smpki.gateway.api_types import split_address
from smpki.gateway.configuration import Times
from smpki.gateway.journal import Happening, Journal
from smpki.gateway.pace import Pace
from smpki.gateway.slots import Slot
from smpki.gateway.wan import Wan
from smpki.gateway.wan_keys import WanKeys
from smpki.tls.http_server import Application, Receive, Scope, Send, http_protocol
from smpki.tls.transport import TlsTransport, connect

MOST_CALLS = 2
"""At a time: one that may be dead without our knowledge, and the one that we were woken for since."""

_ABOUT = "management"


class Management:
    """Calls the administrator, again and again.

    :param application: answers what they ask
    :param wan: makes endpoints
    """

    def __init__(
        self,
        application: Application,
        *,
        wan: Wan,
        administration: Administration,
        keys: WanKeys,
        journal: Journal,
        pace: Pace,
        times: Times,
    ) -> None:
        self._application = application
        self._wan, self._administration, self._keys = wan, administration, keys
        self._journal, self._pace, self._times = journal, pace, times
        self._news = asyncio.Event()
        self._wanted = True
        self._calls: set[_Call] = set()
        self._latest: _Call | None = None
        self._next = 0.0
        self._failures = 0
        self.changed: Callable[[], None] = lambda: None
        """Called when keys or administrator are others from now on."""

    def call(self, *, since: datetime | None = None) -> None:
        """Call now.

        :param since: when that was wanted; a connection that was made later will do
        """
        if since is None or not any(call.since and call.since > since for call in self._calls):
            self._wanted = True
            self._news.set()

    def try_again(self) -> None:
        """Call now if the last call has failed; something may have changed."""
        if self._failures:
            self.call()

    async def run(self) -> None:
        """Call until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                due = not self._calls and self._pace.monotonic() >= self._next
                if (due or self._wanted) and len(self._calls) < MOST_CALLS:
                    self._wanted = False
                    call = _Call(self._administration.manager, self._keys.management_slot, self._is_trial)
                    self._latest = call
                    self._calls.add(call)
                    group.create_task(self._make(call))
                await self._pace.wait(self._news, None if self._calls else self._next - self._pace.monotonic())

    @property
    def _is_trial(self) -> bool:
        return self._keys.state == "trial" or self._administration.candidate is not None

    async def _make(self, call: "_Call") -> None:
        try:
            error = await self._connection(call)
            self._ended(call, error)
        finally:
            self._calls.discard(call)
            self._news.set()

    async def _connection(self, call: "_Call") -> SmpkiError | None:
        """One connection, to its end.

        :returns: why it failed; None when it ended well
        """
        failed: list[TlsError] = []
        try:
            endpoint = self._wan.endpoint(call.administrator.tls, call.slot)
            factory = http_protocol(
                lambda scope, receive, send: self._answer(call, scope, receive, send),
                idle=float(self._times.management_idle_seconds),
            )
            transport, _ = await connect(
                factory,
                endpoint,
                *split_address(call.administrator.management),
                server_name=call.administrator.server_name,
                timing=self._wan.timing,
                on_failure=lambda error, _: failed.append(error),
            )
        except SmpkiError as error:
            return error
        call.since, call.transport = self._pace.shown(), transport
        try:
            await transport.wait_closed()
        finally:
            transport.close()
        return failed[0] if failed else None

    async def _answer(self, call: "_Call", scope: Scope, receive: Receive, send: Send) -> None:
        call.was_heard = True
        if call.is_trial:
            call.is_trial = not self._is_confirmed(call)
        await self._application(scope, receive, send)

    def _is_confirmed(self, call: "_Call") -> bool:
        """The administrator has asked something over a connection of the trial; which is over with that.

        :returns: whether that was noted; otherwise the next request is another try
        """
        try:
            self._confirm(call)
        except (StoreError, TokenError) as error:
            self._journal.trouble("trial", error, "what was tried can't count yet", "E")
            return False
        self._journal.fine("trial", "trial.over", "what was tried counts now")
        return True

    def _confirm(self, call: "_Call") -> None:
        if call.slot.is_next:
            self._confirm_keys()
        if call.administrator == self._administration.candidate:
            self._administration.confirm(self._pace.shown())
            text = f"the administrator is {call.administrator.name} now"
            self._journal.write(Happening("administrator.current", text))
            for other in self._calls - {call}:  # of the former one
                other.close()
        self.changed()

    def _confirm_keys(self) -> None:
        try:
            if self._keys.confirm():
                self._journal.write(Happening("wan_keys.current", "the new WAN keys are current"))
        except GatewayError as error:
            text = f"the new WAN keys are given up: {error.message}"
            self._journal.write(Happening(error.code, text, "E", "failure"))

    def _ended(self, call: "_Call", error: SmpkiError | None) -> None:
        """Plan the next call, by what became of the latest."""
        if call is not self._latest:
            return
        if call.was_heard or (error is None and not call.is_trial):
            self._failures = 0
            self._journal.fine(_ABOUT, "management.reached", "the administrator is reached again")
            self._next = self._pace.monotonic() + self._times.management_every_seconds
            return
        self._failures += 1
        if error is not None:
            self._journal.trouble(_ABOUT, error, "the administrator is not reached for MANAGEMENT")
        if call.is_trial and self._give_up():
            self._failures = 0
            self._next = self._pace.monotonic()
            return
        times = self._times
        pause = self._pace.pause(self._failures, times.retry_seconds, times.longest_retry_seconds)
        self._next = self._pace.monotonic() + pause

    def _give_up(self) -> bool:
        """Count a failed call of a trial.

        :returns: whether the trial is over
        """
        most, over = self._times.trial_attempts, False
        if self._keys.state == "trial" and self._keys.failed(most):
            over = True
            text = "nobody was reached with the new WAN keys, the former ones go on"
            self._journal.write(Happening("wan_keys.fallback", text, "E", "failure"))
        if self._administration.candidate is not None and self._administration.failed(most):
            over = True
            text = "the new administrator was not reached, the former one goes on"
            self._journal.write(Happening("administrator.fallback", text, "E", "failure"))
        if over:
            self.changed()
        return over


class _Call:
    """A connection, before, while and after it is there.

    :param slot: whose key is shown
    :param is_trial: whether one of both is tried by it
    :ivar since: when it was made, by the gateway's clock; None before
    :ivar was_heard: whether the administrator has asked something
    """

    def __init__(self, administrator: Administrator, slot: Slot, is_trial: bool) -> None:
        self.administrator, self.slot, self.is_trial = administrator, slot, is_trial
        self.since: datetime | None = None
        self.transport: TlsTransport | None = None
        self.was_heard = False

    def close(self) -> None:
        if self.transport:
            self.transport.close()
