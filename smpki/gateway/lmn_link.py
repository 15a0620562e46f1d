"""Messages between a meter and the gateway that share a key, wired and without TLS: keys, protection, counters at once.

BSI TR-03116-3 chapter 7; identities as in the Detailspezifikationen zur TR-03109-1, chapter 8. How the parts travel in
a frame is said in DIN VDE 0418-63-7, which is not public. They are separate here, and under the MAC go counter, length
of what else is in clear, that itself, and the ciphertext.
"""

from dataclasses import dataclass

from smpki.gateway.lmn_counter import MeterCounters
from smpki.gateway.lmn_keys import Direction, MasterKey, MessageKeys, counter_octets, wired_keys
from smpki.gateway.lmn_protection import (
    CCM_LENGTHS,
    CMAC_LENGTHS,
    open_cbc_cmac,
    open_ccm,
    require_length,
    seal_cbc_cmac,
    seal_ccm,
)

_CCM_NONCE = bytes(13)  # each message has a key of its own, so the nonce may be the same


@dataclass(frozen=True, slots=True)
class Suite:
    """How messages are protected, a line of BSI TR-03116-3 table 19; both sides are set to the same.

    :param ccm: AES-CCM (meters made from 2024 on), or else AES-CBC and AES-CMAC
    :param tag_length: 16, 12 (CCM only) or 8 octets
    :raises GatewayError: ``lmn.tag_length``
    """

    ccm: bool = False
    tag_length: int = 16

    def __post_init__(self) -> None:
        require_length(self.tag_length, CCM_LENGTHS if self.ccm else CMAC_LENGTHS)


@dataclass(frozen=True, slots=True)
class ProtectedMessage:
    """What goes over the wire.

    :param counter: in clear, under the MAC
    :param clear: what else goes in clear under the MAC, such as the meter's identity
    """

    counter: int
    clear: bytes
    ciphertext: bytes
    tag: bytes


class MeterLink:
    """One side of the link between a meter and the gateway; used from one thread.

    :param meter: the meter's identity, such as :func:`smpki.gateway.lmn_keys.server_id` gives
    :param sends: ``TO_METER`` for the gateway, ``FROM_METER`` for the meter
    :param counters: this side's, of the same key
    """

    def __init__(
        self, key: MasterKey, meter: bytes, sends: Direction, counters: MeterCounters, suite: Suite = Suite()
    ) -> None:
        self._key = key
        self._meter = meter
        self._sends = sends
        self._receives = Direction.TO_METER if sends is Direction.FROM_METER else Direction.FROM_METER
        self._counters = counters
        self._suite = suite

    def seal(self, plaintext: bytes, clear: bytes = b"") -> ProtectedMessage:
        """Protect a message; its counter is used up when this returns.

        :raises GatewayError: ``lmn.counter.exhausted``, ``durable.*``
        """
        counter = self._counters.take()
        keys = wired_keys(self._key, self._sends, counter, self._meter)
        authenticated, suite = _authenticated(counter, clear), self._suite
        if suite.ccm:
            sealed = seal_ccm(keys.authentication, _CCM_NONCE, authenticated, plaintext, tag_length=suite.tag_length)
        else:
            sealed = seal_cbc_cmac(keys, authenticated, plaintext, mac_length=suite.tag_length)
        return ProtectedMessage(counter, clear, *sealed)

    def open(self, message: ProtectedMessage) -> bytes:
        """What a message says; when this returns, its counter is accepted and no message counts twice.

        :raises GatewayError: ``lmn.counter.replayed``; ``lmn.rejected``; ``durable.*``: it was not accepted
        """
        self._counters.require_new(message.counter)
        keys = wired_keys(self._key, self._receives, message.counter, self._meter)
        plaintext = self._decrypt(keys, _authenticated(message.counter, message.clear), message)
        self._counters.accept(message.counter)
        return plaintext

    def _decrypt(self, keys: MessageKeys, authenticated: bytes, message: ProtectedMessage) -> bytes:
        length = self._suite.tag_length
        if not self._suite.ccm:
            return open_cbc_cmac(keys, authenticated, message.ciphertext, message.tag, mac_length=length)
        key = keys.authentication
        return open_ccm(key, _CCM_NONCE, authenticated, message.ciphertext, message.tag, tag_length=length)


def _authenticated(counter: int, clear: bytes) -> bytes:
    # the length keeps anybody from moving the border between clear and ciphertext
    return counter_octets(counter, "big") + len(clear).to_bytes(4, "big") + clear
