"""A gateway's side of the wake-up: no message counts twice, not even after a loss of power."""

from collections.abc import Callable
from datetime import datetime

from smpki.errors import GatewayError
from smpki.gateway.durable import DurableFile
from smpki.gateway.wakeup import Accepted, Claim, Reason, Refused, WakeUpReader

_LAST = "last_accepted"


class WakeUpGuard:
    """Decides which messages a gateway acts upon; used from one thread.

    The detail specification says that a message may not be used again, and not how. Here the time of the last accepted
    one is kept, and the next one's has to be later, by a second at least.

    :param reader: of the gateway's messages; replace it when the administrator's certificate changes
    :param clock: the gateway's time; ``None`` while it has none to trust
    :param memory: the file for the last accepted time
    :raises GatewayError: ``durable.unreadable``, ``wakeup.memory``; it is not begun anew, since all that was accepted
        within the window would be accepted again
    """

    def __init__(self, reader: WakeUpReader, *, clock: Callable[[], datetime | None], memory: DurableFile) -> None:
        self.reader = reader
        self._clock = clock
        self._memory = memory
        self._last = self._recall()

    def inspect(self, data: bytes) -> Claim | Refused:
        """All checks but that of the signature; they cost a few microseconds."""
        claim = self.reader.read(data, self._clock())
        if isinstance(claim, Claim) and self._is_used(claim):
            return Refused(Reason.REPLAY)
        return claim

    def accept(self, claim: Claim) -> Accepted | Refused:
        """Check the signature; when this returns ``Accepted``, that is written down and power may fail."""
        result = claim.verify()
        if isinstance(result, Refused):
            return result
        if self._is_used(claim):
            return Refused(Reason.REPLAY)
        try:
            self._memory.write({_LAST: claim.seconds})
        except GatewayError:
            return Refused(Reason.NOT_RECORDED)
        self._last = claim.seconds
        return result

    def check(self, data: bytes) -> Accepted | Refused:
        """:meth:`inspect`, then :meth:`accept`."""
        claim = self.inspect(data)
        return claim if isinstance(claim, Refused) else self.accept(claim)

    def _is_used(self, claim: Claim) -> bool:
        return self._last is not None and claim.seconds <= self._last

    def _recall(self) -> int | None:
        content = self._memory.read()
        if content is None:
            return None
        last = content.get(_LAST)
        if not isinstance(last, int) or isinstance(last, bool):
            message = "this is no memory of wake-ups"
            raise GatewayError("wakeup.memory", message, where=str(self._memory.path), hint="restore the file")
        return last
