"""The gateway forgets readings that are old, once everybody has them who is to have them."""

import asyncio
from datetime import datetime, timedelta

from smpki.errors import StoreError
from smpki.gateway.api import EvaluationProfile
from smpki.gateway.journal import Happening, Journal
from smpki.gateway.pace import Pace
from smpki.gateway.profiles import Profiles
from smpki.gateway.store.outbox import Selection
from smpki.gateway.store.store import GatewayStore

_EVERY = 86_400.0  # seconds
_AGAIN = 600.0  # seconds to the next look while the time can't be trusted, or the store refuses
_ABOUT = "housekeeping"


class Housekeeping:
    """Removes what is old.

    :param keep: how long readings stay
    """

    def __init__(self, store: GatewayStore, journal: Journal, pace: Pace, *, keep: timedelta) -> None:
        self._store, self._journal, self._pace, self._keep = store, journal, pace, keep

    async def run(self) -> None:
        """Look once a day, until cancelled."""
        while True:
            now, seconds = self._pace.trusted(), _AGAIN
            if now is not None:  # by a clock that is years ahead everything would be old
                try:
                    await self._tidy(now - self._keep)
                    self._journal.fine(_ABOUT, "readings.removable", "old readings can be removed again")
                    seconds = _EVERY
                except StoreError as error:
                    self._journal.trouble(_ABOUT, error, "old readings can't be removed")
            await self._pace.sleep(seconds)

    async def _tidy(self, before: datetime) -> None:
        """Remove a few at a time, so that nobody waits for long.

        :raises StoreError: the store refuses
        """
        removed = 0
        while more := self._remove(before):
            removed += more
            await asyncio.sleep(0)
        if removed:
            text = f"{removed} readings of before {before:%Y-%m-%d %H:%M} UTC were removed: everybody has them"
            self._journal.write(Happening("readings.removed", text))

    def _remove(self, before: datetime) -> int:
        with self._store.work() as work:
            profiles = [each.profile for each in Profiles(work).all(EvaluationProfile).values()]
            wanted = [
                (recipient, Selection(frozenset((one.meter, obis) for obis in one.obis), one.start, one.end))
                for one in profiles
                for recipient in one.recipients
            ]
            return work.retention.forget(before, wanted)
