"""Listens for wake-ups on a UDP port, and never sends anything."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from smpki.errors import GatewayError
from smpki.gateway.rate_limit import RateLimit
from smpki.gateway.wakeup import Accepted, Reason, Refused
from smpki.gateway.wakeup_guard import WakeUpGuard

DEFAULT_PORT = 0x5755
"""22357: "WU" as a number. Chosen here; the detail specification names no port, so administrator and gateway agree."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What strangers can cause; chosen here, no text has figures.

    A signature check takes about half a millisecond, so that the default leaves 99 % of the processor to others.

    :param checks: signatures a second, and as many at once
    :param notices: a minute, and as many at once
    """

    checks: int = 20
    notices: int = 10


@dataclass(frozen=True, slots=True)
class Notice:
    """A refusal for the gateway's log; it has nothing of the message.

    :param source: address of the packet's sender, which anybody can forge
    :param unlogged: how many refusals were left out since the notice before
    """

    reason: Reason
    source: str
    unlogged: int


class WakeUpListener(asyncio.DatagramProtocol):
    """A protocol for :meth:`asyncio.loop.create_datagram_endpoint`.

    :param wake: called once for each accepted message
    :param log: called for refused messages, at most once for each
    :param monotonic: seconds, such as ``time.monotonic``
    """

    def __init__(
        self,
        guard: WakeUpGuard,
        *,
        wake: Callable[[Accepted], None],
        log: Callable[[Notice], None],
        monotonic: Callable[[], float],
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        self._guard, self._wake, self._log = guard, wake, log
        self._checks = RateLimit(limits.checks, limits.checks, monotonic)
        self._notices = RateLimit(limits.notices / 60, limits.notices, monotonic)
        self._unlogged = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Look at a packet; only what passes every cheap check may cost a signature check."""
        result = self._look_at(data)
        if isinstance(result, Accepted):
            self._wake(result)
        elif self._notices.take():
            notice = Notice(result.reason, addr[0], self._unlogged)
            self._unlogged = 0
            self._log(notice)
        else:
            self._unlogged += 1

    def _look_at(self, data: bytes) -> Accepted | Refused:
        claim = self._guard.inspect(data)
        if isinstance(claim, Refused):
            return claim
        return self._guard.accept(claim) if self._checks.take() else Refused(Reason.OVERLOAD)


async def listen(listener: WakeUpListener, host: str, port: int = DEFAULT_PORT) -> asyncio.DatagramTransport:
    """Open the port; close the transport to end.

    :param host: a local address, such as that of the WAN interface
    :param port: 0 chooses a free one
    :raises GatewayError: ``wakeup.port``: another program has it, or it is not ours to take
    """
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: listener, local_addr=(host, port))
    except OSError as error:
        hint = "choose another address or port, or end the program that has it"
        message = f"can't listen on UDP port {port} of {host}: {error.strerror}"
        raise GatewayError("wakeup.port", message, hint=hint) from None
    return transport
