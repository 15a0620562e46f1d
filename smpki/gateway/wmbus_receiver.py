"""The gateway's end of wireless M-Bus: frames in, authentic telegrams of its own meters out, each once.

Detailspezifikationen zur TR-03109-1, 10.3. Radio and clock recovery are the receiver hardware's; it hands over frames.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from smpki.errors import GatewayError
from smpki.gateway.lmn_counter import MeterCounters
from smpki.gateway.lmn_keys import MasterKey
from smpki.gateway.wmbus_frame import FIRST_BLOCK, remove_checksums
from smpki.gateway.wmbus_layers import Address
from smpki.gateway.wmbus_security import OpenedTelegram, SecurityPolicy, claimed_counter, open_telegram
from smpki.gateway.wmbus_telegram import Telegram


@dataclass(frozen=True, slots=True)
class RadioMeter:
    """A meter of which the gateway receives (LMN-Kommunikationsprofil).

    :param counters: of the same key
    """

    address: Address
    key: MasterKey
    counters: MeterCounters
    policy: SecurityPolicy = field(default_factory=SecurityPolicy)


class RadioReceiver:
    """Opens the telegrams of some meters; used from one thread.

    :raises GatewayError: ``lmn.receiver.meter_twice``
    """

    def __init__(self, meters: Iterable[RadioMeter]) -> None:
        self._meters: dict[Address, RadioMeter] = {}
        for meter in meters:
            if meter.address in self._meters:
                hint = "each meter has one key and one file of counters"
                raise GatewayError("lmn.receiver.meter_twice", f"{meter.address} is there twice", hint=hint)
            self._meters[meter.address] = meter

    def receive(self, frame: bytes, *, checksums: bool = True) -> OpenedTelegram | None:
        """Open a frame. When this returns a telegram, its counter is accepted and it counts never again.

        The cheap checks come first: frame, whose it is, protection, counter; then the cryptography.

        :param frame: in format A; without its checksums where the radio has checked and removed them
        :return: ``None`` for another's meter: the air is full of these
        :raises GatewayError: why the telegram counts for nothing: ``lmn.frame.*``, ``lmn.telegram.*``,
            ``lmn.security.*``, ``lmn.tag_length``, ``lmn.counter.replayed``, ``lmn.rejected``; ``durable.*``
        """
        bare = remove_checksums(frame) if checksums else frame
        sender = f"sender {Address(bare[2:FIRST_BLOCK])}" if len(bare) >= FIRST_BLOCK else ""
        try:
            telegram = Telegram.parse(bare)
            meter = self._meters.get(telegram.meter)
            return None if meter is None else _open(telegram, meter)
        except GatewayError as error:
            raise GatewayError(error.code, error.message, where=error.where or sender, hint=error.hint) from None


def _open(telegram: Telegram, meter: RadioMeter) -> OpenedTelegram:
    claimed = claimed_counter(telegram, meter.policy)
    if claimed is not None:
        meter.counters.require_new(claimed)
    opened = open_telegram(telegram, meter.key, meter.policy)
    if opened.counter is not None:
        meter.counters.accept(opened.counter)
    return opened
