"""What happens, in the database and in the operating system's log."""

import logging
from collections.abc import Callable, Hashable
from datetime import datetime

from smpki.errors import SmpkiError, StoreError
from smpki.gateway.log_entry import Level
from smpki.gateway.once import Once
from smpki.policy.device_id import DeviceId
from smpki.service.administrator.store.store import AdministratorStore, Transaction

_LEVELS: dict[Level, int] = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}

log = logging.getLogger("smpki.gwa")


class Chronicle:
    """Writes events down; used from one thread.

    :param clock: the time now, timezone-aware
    """

    def __init__(self, store: AdministratorStore, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self._troubles = Once()

    def write(self, event: str, text: str, gateway: DeviceId | None = None, level: Level = "I") -> None:
        """Note an event in a transaction of its own; a database that fails is no reason not to go on."""
        try:
            with self._store.work() as work:
                work.journal.happened(event, text, now=self._clock(), gateway=gateway, level=level)
        except StoreError as error:
            log.error("events can't be stored: %s", error)
        self._tell(event, text, gateway, level)

    def write_in(
        self, work: Transaction, event: str, text: str, gateway: DeviceId | None = None, level: Level = "I"
    ) -> None:
        """Note it in the transaction that does what happens: with it, or not at all."""
        work.journal.happened(event, text, now=self._clock(), gateway=gateway, level=level)
        self._tell(event, text, gateway, level)

    def trouble(self, about: Hashable, error: SmpkiError, text: str, gateway: DeviceId | None = None) -> None:
        """Something that comes again does not work; noted when it begins, and when the reason becomes another.

        :param about: what it is, for :meth:`fine`
        :param text: what does not work
        """
        if self._troubles.is_new(about, error.code):
            self.write(error.code, f"{text}: {error.message}", gateway, "W")

    def fine(self, about: Hashable, event: str, text: str, gateway: DeviceId | None = None) -> None:
        """It works; noted when it did not before."""
        if self._troubles.forget(about):
            self.write(event, text, gateway)

    @staticmethod
    def _tell(event: str, text: str, gateway: DeviceId | None, level: Level) -> None:
        log.log(_LEVELS[level], "%s%s [%s]", f"{gateway.dns}: " if gateway else "", text, event)
