"""Could this server do its work now? Asked often, looked at seldom."""

import asyncio
import logging
from collections.abc import Callable

from smpki.errors import ServiceError, SmpkiError
from smpki.events import LogEvent, why

log = logging.getLogger("smpki.service")


class Readiness:
    """Knows whether a server is ready, and why not.

    :param check: raises why not; runs in a thread. ``None``: a server that runs is ready
    :param clock: monotonic, in seconds
    :param keep: seconds for which an answer counts
    :param patience: seconds after which a check that does not end says that the server is not ready
    """

    def __init__(
        self,
        check: Callable[[], object] | None,
        clock: Callable[[], float],
        *,
        keep: float = 5.0,
        patience: float = 10.0,
    ) -> None:
        self._check = check
        self._clock = clock
        self._keep = keep
        self._patience = patience
        self._looking: asyncio.Future[SmpkiError | None] | None = None
        self._found: tuple[float, SmpkiError | None] | None = None

    async def complaint(self) -> SmpkiError | None:
        """Why the server is not ready; ``None``: it is."""
        if self._found is not None and self._clock() < self._found[0] + self._keep:
            return self._found[1]
        if self._looking is None or self._looking.done():  # one look at a time, also where it hangs
            self._looking = asyncio.ensure_future(asyncio.to_thread(self._look))
        try:
            found = await asyncio.wait_for(asyncio.shield(self._looking), self._patience)
        except TimeoutError:
            message, hint = "the check does not end", "see whether token and database answer"
            found = ServiceError("service.check.hangs", message, hint=hint)
        self._note(found)
        return found

    def _look(self) -> SmpkiError | None:
        try:
            if self._check is not None:
                self._check()
        except SmpkiError as error:
            return error
        except Exception as error:
            log.exception(LogEvent("ready.failed", "whether the server is ready can't be told"))
            return ServiceError("service.check.failed", f"the check failed: {type(error).__name__}", hint="see the log")
        return None

    def _note(self, found: SmpkiError | None) -> None:
        before = self._found[1] if self._found else None
        if found is not None and (before is None or before.code != found.code):
            log.error(LogEvent("ready.not", "the server is not ready", **why(found)))
        elif found is None and before is not None:
            log.info(LogEvent("ready.again", "the server is ready again"))
        self._found = self._clock(), found
