"""Wakes gateways, again and again until they are connected."""

import asyncio
from collections.abc import Awaitable, Callable

from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import GatewayError, SmpkiError
from smpki.gateway.api_types import split_address
from smpki.gateway.wakeup import build_wake_up
from smpki.policy.device_id import DeviceId
from smpki.service.administrator.chronicle import Chronicle
from smpki.service.administrator.pace import Pace
from smpki.service.administrator.store.store import AdministratorStore

Send = Callable[[bytes, str, int], Awaitable[None]]
"""Sends a packet to a host's port."""


class Waker:
    """Sends wake-ups.

    :param key: the administrator's SIG key
    :param first: seconds between the first two; at least 2, since a gateway acts on a later second only
    :param longest: seconds between two of many
    """

    def __init__(
        self,
        store: AdministratorStore,
        chronicle: Chronicle,
        key: ec.EllipticCurvePrivateKey,
        *,
        pace: Pace,
        first: float,
        longest: float,
        send: Send,
    ) -> None:
        self._store, self._chronicle, self._key, self._pace = store, chronicle, key, pace
        self._first, self._longest, self._send = first, longest, send

    async def keep_waking(self, gateway: DeviceId, *, at_once: bool = True) -> None:
        """Wake a gateway until cancelled. One without an address is waited for: it comes on its own schedule.

        :param at_once: or after a first pause
        """
        pause = self._first
        if not at_once:
            await self._pace.sleep(pause)
        while True:
            try:
                await self._wake(gateway)
                self._chronicle.fine(("wake", gateway), "gwa.wake", "it can be woken again", gateway)
            except SmpkiError as error:
                self._chronicle.trouble(("wake", gateway), error, "it can't be woken", gateway)
            await self._pace.sleep(pause)
            pause = min(2 * pause, self._longest)

    async def _wake(self, gateway: DeviceId) -> None:
        with self._store.view() as view:
            address = view.gateways.get(gateway).wake_up
        if address is None:
            hint = "give its address: smpki gwa wake --address"
            raise GatewayError("gwa.wake.address", "no address for wake-ups is known", where=gateway.dns, hint=hint)
        message = build_wake_up(gateway, self._pace.now(), self._key)
        try:
            await self._send(message, *split_address(address))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "the name is no host's"
            hint = "check address and network"
            raise GatewayError("wakeup.unsent", f"it can't be sent: {reason}", where=address, hint=hint) from None


async def send_packet(message: bytes, host: str, port: int) -> None:
    """Send one UDP packet.

    :raises OSError: it can't be sent
    """
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=(host, port)
    )
    try:
        transport.sendto(message)
    finally:
        transport.close()
