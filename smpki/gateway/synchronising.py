"""The gateway asks its administrator for the time, and tells the rest of it when the clock was set."""

import asyncio
from collections.abc import Callable

from smpki.errors import GatewayError, SmpkiError
from smpki.gateway.administration import Administration
from smpki.gateway.api_types import split_address
from smpki.gateway.configuration import Times
from smpki.gateway.journal import Happening, Journal
from smpki.gateway.ntp_client import NtpClient
from smpki.gateway.ntp_stream import synchronise
from smpki.gateway.pace import Pace
from smpki.gateway.time_keeper import TimeSet
from smpki.gateway.wan import Wan

_ABOUT = "time"


class Synchronising:
    """Keeps the clock.

    :param random: random octets of the security module
    :param changed: called when the clock was set
    :ivar tried: set when the time was asked for once, with success or without
    """

    def __init__(
        self,
        *,
        random: Callable[[int], bytes],
        changed: Callable[[TimeSet], None],
        wan: Wan,
        administration: Administration,
        journal: Journal,
        pace: Pace,
        times: Times,
    ) -> None:
        self._changed = changed
        self._wan, self._administration = wan, administration
        self._journal, self._pace, self._times = journal, pace, times
        self._client = NtpClient(pace.keeper, random=random)
        self.tried = asyncio.Event()

    async def run(self) -> None:
        """Ask until cancelled."""
        failures = 0
        while True:
            try:
                await self._ask()
                failures = 0
                seconds = float(self._times.time_every_seconds)
            except SmpkiError as error:
                failures += 1
                self._journal.trouble(_ABOUT, error, "the time can't be had from the administrator")
                pause = self._pace.pause(failures, self._times.retry_seconds, self._times.longest_retry_seconds)
                seconds = max(pause, self._client.wait)
            self.tried.set()
            await self._pace.sleep(seconds)

    async def _ask(self) -> None:
        """Ask once, and set the clock.

        :raises SmpkiError: there is no time to be had, or none to believe
        """
        administrator = self._administration.current
        endpoint = self._wan.time_endpoint(administrator.tls)
        host, port = split_address(administrator.time)
        name, timing = administrator.server_name, self._wan.timing
        result = await synchronise(self._client, endpoint, host, port, server_name=name, timing=timing)
        if not isinstance(result, TimeSet):
            hint = "see to the time server"
            raise GatewayError(f"time.{result.reason.value}", f"its answer is dropped: {result.reason}", hint=hint)
        self._journal.fine(_ABOUT, "time.reached", "the time can be had again")
        self._log(result)
        self._changed(result)

    def _log(self, change: TimeSet) -> None:
        seconds = change.offset.total_seconds()
        if change.deviated:
            text = f"the time was wrong by {-seconds:.1f} s although it was trusted; it is set"
            for log in ("system", "calibration"):
                self._journal.write(Happening("time.deviation", text, "W", "failure", log=log))
        elif not change.was_trusted:
            self._journal.write(Happening("time.set", f"the time can be trusted; it was wrong by {-seconds:.1f} s"))
