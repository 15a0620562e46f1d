"""Telegrams of wireless M-Bus, taken apart and put together.

Detailspezifikationen zur TR-03109-1, chapter 10: what a meter sends, in one telegram, to a gateway that only listens.
Nothing here is authentic yet; :mod:`smpki.gateway.wmbus_security` sees to that.
"""

from dataclasses import dataclass
from typing import Final

from smpki.gateway.wmbus_frame import FIRST_BLOCK, require_whole, with_length
from smpki.gateway.wmbus_layers import (
    AFL,
    ELL,
    ELL_WITH_RECEIVER,
    LONG_HEADER,
    SHORT_HEADER,
    Address,
    Afl,
    Ell,
    Reader,
    Tpl,
    refused,
)

SEND_NO_REPLY: Final = 0x44
_FROM_METERS = frozenset({SEND_NO_REPLY, 0x46, 0x08, 0x18, 0x28, 0x38})  # SND-NR, SND-IR, RSP-UD


@dataclass(frozen=True, slots=True)
class Telegram:
    """A telegram.

    :param control: link layer's control field
    :param sender: address of the link layer: the meter, or a radio adapter in front of it
    :param body: what follows the transport layer's header: application data, protected as that says
    """

    control: int
    sender: Address
    ell: Ell | None
    afl: Afl | None
    tpl: Tpl
    body: bytes

    @classmethod
    def parse(cls, bare: bytes) -> "Telegram":
        """Take a telegram apart.

        :param bare: without checksums, see :mod:`smpki.gateway.wmbus_frame`
        :raises GatewayError: ``lmn.frame.length``, ``lmn.telegram.*``
        """
        require_whole(bare)
        control, sender = bare[1], Address(bare[2:FIRST_BLOCK])
        if control not in _FROM_METERS:
            raise refused("control", f"control field {control:02X} is no message of a meter")
        reader = Reader(bare[FIRST_BLOCK:])
        ell, afl = None, None
        ci = reader.number(1, "the CI field")
        if ci in (ELL, ELL_WITH_RECEIVER):
            ell, ci = Ell.parse(reader, ci), reader.number(1, "the CI field")
        if ci == AFL:
            afl, ci = Afl.parse(reader), reader.number(1, "the CI field")
        if ci not in (SHORT_HEADER, LONG_HEADER):
            raise refused("content", f"content of kind {ci:02X} is not read")
        return cls(control, sender, ell, afl, Tpl.parse(reader, ci), reader.left)

    @property
    def meter(self) -> Address:
        """Whose message it is (Detailspezifikationen zur TR-03109-1, 10.3)."""
        return self.tpl.meter or self.sender

    @property
    def message(self) -> bytes:
        """Transport layer and body: what the AFL speaks of."""
        return bytes(self.tpl) + self.body

    def __bytes__(self) -> bytes:
        """The telegram, bare.

        :raises GatewayError: ``lmn.frame.length``: it is too long
        """
        layers = (bytes(layer) for layer in (self.ell, self.afl) if layer is not None)
        return with_length(bytes([self.control]) + self.sender.octets + b"".join(layers) + self.message)
