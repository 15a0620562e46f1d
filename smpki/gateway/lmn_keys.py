"""Keys of a meter that shares a symmetric key with the gateway: MK, and those of a message derived from it.

BSI TR-03116-3 7.1 and 7.2. MK is 128 random bits, one for each meter. From it, each message's counter and the meter's
identity come the keys of that one message.
"""

import enum
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn, Self

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from smpki.errors import GatewayError
from smpki.hsm.secret_file import ExposedError, read_secret, write_secret
from smpki.policy.device_id import DeviceId

KEY_OCTETS = 16
HIGHEST_COUNTER = 0xFFFF_FFFF
_BLOCK = 16
_SERVER_ID_FORMAT = b"\x0a"
_CHECK_INPUT = b"smpki: which key"  # one block, and none of the inputs of a derivation, which begin with 00 to 11
_WRITTEN = re.compile(rb"([0-9A-Fa-f]{32})\n?")


class MasterKey:
    """A meter's MK (zaehlerindividueller Schluessel), BSI TR-03116-3 7.1; shows itself nowhere, and can't be pickled.

    :param octets: 16 octets, random
    :raises GatewayError: ``lmn.key.length``
    """

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        if len(octets) != KEY_OCTETS:
            raise _refused("length", f"a meter's key has {KEY_OCTETS} octets, not {len(octets)}", "give 128 bits")
        self._octets = bytes(octets)

    @classmethod
    def generate(cls, random: Callable[[int], bytes]) -> Self:
        """A new key.

        :param random: gives so many octets of a generator that TR-03116-3 2.3 allows, such as a security module's
        """
        return cls(random(KEY_OCTETS))

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file that only its owner can use: 32 hexadecimal digits and a line break.

        :raises GatewayError: ``lmn.key.exposed``, ``lmn.key.unreadable``
        """
        try:
            content = read_secret(file)
        except ExposedError as error:
            message = f"others than its owner can use the file of a meter's key (mode {error.mode:04o})"
            hint = "chmod 600, and give the meter a new key if somebody may have read it"
            raise _refused("exposed", message, hint, str(file)) from None
        except OSError as error:
            message = f"the file of a meter's key can't be read: {error.strerror}"
            raise _refused("unreadable", message, "check the path and the file's owner", str(file)) from None
        written = _WRITTEN.fullmatch(content)
        if written is None:
            raise _refused("unreadable", "the file holds no meter's key", "write 32 hexadecimal digits", str(file))
        return cls(bytes.fromhex(written[1].decode("ascii")))

    def write(self, file: Path) -> None:
        """Write a new file that only its owner can read, durably.

        :raises GatewayError: ``lmn.key.exists`` (a key is never overwritten), ``lmn.key.unwritable``
        """
        try:
            write_secret(file, self._octets.hex().encode("ascii") + b"\n")
        except FileExistsError:
            raise _refused("exists", "there is a key in this file", "move the old file away", str(file)) from None
        except OSError as error:
            message = f"the file of a meter's key can't be written: {error.strerror}"
            raise _refused("unwritable", message, "see to the folder and the disk", str(file)) from None

    def reveal(self) -> bytes:
        """The key itself, for the call that uses it."""
        return self._octets

    @property
    def check_value(self) -> str:
        """Which key this is, without saying what it is: 16 hexadecimal digits."""
        return cmac(self._octets, _CHECK_INPUT)[:8].hex()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MasterKey) and hmac.compare_digest(self._octets, other._octets)

    def __hash__(self) -> int:
        return hash(self.check_value)

    def __repr__(self) -> str:
        return "MasterKey(***)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise _refused("not_picklable", "a meter's key does not leave its process", "let the other process read it")


class Direction(enum.Enum):
    """Who sends; the values are the first octets of the derivation, for encryption and for the MAC."""

    FROM_METER = (0x00, 0x01)
    """Kenc and Kmac."""
    TO_METER = (0x10, 0x11)
    """Lenc and Lmac."""


@dataclass(frozen=True, slots=True)
class MessageKeys:
    """The keys of one message in one direction, 16 octets each; to be forgotten after it."""

    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False)


def server_id(meter: DeviceId) -> bytes:
    """A wired meter's identity in the derivation: the 10 octets of its Server-ID.

    Detailspezifikationen zur TR-03109-1, figure 8.3. Where a meter's profile gives other octets, those take its place.
    """
    return _SERVER_ID_FORMAT + bytes(meter)


def wired_keys(master: MasterKey, direction: Direction, counter: int, meter: bytes) -> MessageKeys:
    """The keys of a message on the wired LMN: the counter's highest octet comes first.

    Detailspezifikationen zur TR-03109-1, figure 8.2.

    :param meter: its identity, such as :func:`server_id` gives
    """
    return derive_keys(master, direction, counter_octets(counter, "big"), meter)


def radio_keys(master: MasterKey, counter: int, identification: bytes) -> MessageKeys:
    """The keys of a message from a wireless meter: the counter's lowest octet comes first, as in the telegram.

    EN 13757-7 9.6.1, key derivation function A.

    :param identification: the meter's identification number, 4 octets as in the telegram
    """
    return derive_keys(master, Direction.FROM_METER, counter_octets(counter, "little"), identification)


def derive_keys(master: MasterKey, direction: Direction, counter: bytes, meter: bytes) -> MessageKeys:
    """AES-CMAC under MK of tag, counter, meter and padding (BSI TR-03116-3 7.2).

    :param counter: 4 octets
    """
    of_encryption, of_authentication = (
        cmac(master.reveal(), pad(bytes([tag]) + counter + meter)) for tag in direction.value
    )
    return MessageKeys(of_encryption, of_authentication)


def counter_octets(counter: int, order: Literal["big", "little"]) -> bytes:
    """A counter as 4 octets.

    :raises GatewayError: ``lmn.counter.range``
    """
    if not 0 <= counter <= HIGHEST_COUNTER:
        raise GatewayError("lmn.counter.range", f"counter {counter} has more than 32 bits", hint="a new key is due")
    return counter.to_bytes(4, order)


def pad(data: bytes) -> bytes:
    """Fill up to whole blocks of 16: n octets of the value n, 1 to 16 of them (BSI TR-03116-3 7.2)."""
    missing = _BLOCK - len(data) % _BLOCK
    return data + bytes([missing]) * missing


def cmac(key: bytes, data: bytes) -> bytes:
    """AES-CMAC (RFC 4493), 16 octets.

    :param key: 16 octets
    :raises GatewayError: ``lmn.key.length``
    """
    mac = CMAC(aes(key))
    mac.update(data)
    return mac.finalize()


def aes(key: bytes) -> AES:
    """AES with 128 bits, the only length of BSI TR-03116-3 table 19.

    :raises GatewayError: ``lmn.key.length``
    """
    if len(key) != KEY_OCTETS:
        raise _refused("length", f"a key of the LMN has {KEY_OCTETS} octets, not {len(key)}", "give 128 bits")
    return AES(key)


def _refused(rule: str, message: str, hint: str, where: str = "") -> GatewayError:
    return GatewayError(f"lmn.key.{rule}", message, where=where, hint=hint)
