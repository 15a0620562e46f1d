"""Layers of a wireless M-Bus telegram, each as a value: addresses, extended link layer, AFL, transport layer's header.

EN 13757-4 13.2 (ELL), EN 13757-7 chapters 6 (AFL) and 7 (TPL). Numbers go lowest octet first.
"""

import struct
from dataclasses import dataclass
from typing import Final, Self

from smpki.errors import GatewayError

ELL, ELL_WITH_RECEIVER, AFL, LONG_HEADER, SHORT_HEADER = 0x8C, 0x8E, 0x90, 0x72, 0x7A
"""CI fields: each names what follows it."""

MODE_CBC_IV, MODE_CBC, MODE_CCM = 5, 7, 10
"""Security modes: CBC with an IV and without MAC, CBC with AFL, CCM."""

KEY_DERIVATION_A: Final = 0x10
"""In the extension of the configuration field: the message has keys of its own."""

_KEY_DERIVATION, _KEY_VERSION = 0x30, 0x40
_UNKNOWN_BITS = {MODE_CBC: 0xC0, MODE_CCM: 0xFC80}
_ALL_OCTETS = 0xFF

# Fragmentation control field, EN 13757-7 6.3.2
_MORE_FRAGMENTS, _HAS_CONTROL, _HAS_LENGTH = 0x4000, 0x2000, 0x1000
_HAS_COUNTER, _HAS_MAC, _HAS_KEY = 0x0800, 0x0400, 0x0200
_FRAGMENT = 0x00FF
# Message control field, 6.3.3
_MESSAGE_LENGTH, _MESSAGE_COUNTER, _MESSAGE_KEY = 0x40, 0x20, 0x10
_AUTHENTICATION = 0x0F
_TYPE_OF_MAC = {2: 3, 4: 4, 8: 5, 12: 6, 16: 7}  # AES-CMAC by octets, table 6
_MAC_OCTETS = {type: octets for octets, type in _TYPE_OF_MAC.items()}


class Reader:
    """Takes octets from the front of a telegram."""

    def __init__(self, data: bytes) -> None:
        self.left = data

    def take(self, count: int, of: str) -> bytes:
        """So many octets.

        :param of: what they belong to, for the message
        :raises GatewayError: ``lmn.telegram.truncated``
        """
        if len(self.left) < count:
            raise refused("truncated", f"the telegram ends within {of}")
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def number(self, count: int, of: str) -> int:
        """A number of so many octets, lowest first."""
        return int.from_bytes(self.take(count, of), "little")


@dataclass(frozen=True, slots=True)
class Address:
    """Who a meter or radio is, in the order of the link layer.

    :param octets: manufacturer 2, identification number 4, version 1, device type 1
    :raises GatewayError: ``lmn.telegram.address``
    """

    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != 8:
            raise refused("address", f"an address has 8 octets, not {len(self.octets)}")

    @property
    def identification(self) -> bytes:
        """The identification number, 4 octets as in the telegram."""
        return self.octets[2:6]

    def __str__(self) -> str:
        """Manufacturer, identification number, version, device type: ``ELS 12345678 33 03``."""
        code = int.from_bytes(self.octets[:2], "little")
        letters = "".join(chr(64 + (code >> shift & 0x1F)) for shift in (10, 5, 0))
        return f"{letters} {self.identification[::-1].hex()} {self.octets[6]:02x} {self.octets[7]:02x}"


@dataclass(frozen=True, slots=True)
class Ell:
    """Extended link layer without encryption (EN 13757-4 13.2.7).

    :param control: communication control field, 1 octet
    :param receiver: whom the telegram is for, where that is said
    """

    control: int
    access_number: int
    receiver: Address | None = None

    @classmethod
    def parse(cls, reader: Reader, ci: int) -> Self:
        """Read what follows the CI field.

        :raises GatewayError: ``lmn.telegram.truncated``
        """
        control, access_number = reader.take(2, "the extended link layer")
        receiver = Address(reader.take(8, "the receiver's address")) if ci == ELL_WITH_RECEIVER else None
        return cls(control, access_number, receiver)

    def __bytes__(self) -> bytes:
        """The layer with its CI field."""
        if self.receiver is None:
            return bytes([ELL, self.control, self.access_number])
        return bytes([ELL_WITH_RECEIVER, self.control, self.access_number]) + self.receiver.octets


@dataclass(frozen=True, slots=True)
class Afl:
    """Authentication and fragmentation layer of a message in one piece (EN 13757-7 6).

    :param counter: message counter, 32 bits
    :param mac: 2, 4, 8, 12 or 16 octets; which of them count is not decided here
    :param key_information: which key, 2 octets, where that is said
    :param message_length: octets of the message behind this layer, where that is said
    """

    counter: int
    mac: bytes
    key_information: bytes | None = None
    message_length: int | None = None

    @classmethod
    def parse(cls, reader: Reader) -> Self:
        """Read what follows the CI field.

        :raises GatewayError: ``lmn.telegram.truncated``, ``.afl``, ``.fragmented``
        """
        octets = reader.take(reader.number(1, "the AFL"), "the AFL")
        fields = Reader(octets)
        control = fields.number(2, "the AFL")
        if control & (_MORE_FRAGMENTS | _FRAGMENT):
            raise refused("fragmented", "messages in several telegrams are not read")
        message_control = fields.number(1, "the AFL") if control & _HAS_CONTROL else 0
        key_information = fields.take(2, "the AFL") if control & _HAS_KEY else None
        counter = fields.number(4, "the AFL") if control & _HAS_COUNTER else 0
        mac_octets = _MAC_OCTETS.get(message_control & _AUTHENTICATION, 0)
        mac = fields.take(mac_octets, "the AFL") if control & _HAS_MAC else b""
        length = fields.number(2, "the AFL") if control & _HAS_LENGTH else None
        layer = cls(counter, mac, key_information, length)
        if bytes(layer)[2:] != octets:
            raise refused("afl", "the AFL lacks control field, counter or MAC, or contradicts itself")
        if length is not None and length != len(reader.left):
            raise refused("afl", f"the AFL says {length} octets follow; these are {len(reader.left)}")
        return layer

    @property
    def derives_key(self) -> bool | None:
        """As :attr:`Tpl.derives_key`; ``None`` where this layer leaves it to that one."""
        if self.key_information is None:
            return None
        return self.key_information[0] & _KEY_DERIVATION == KEY_DERIVATION_A

    @property
    def authenticated(self) -> bytes:
        """What of this layer goes under the MAC, in front of the rest of the telegram (EN 13757-7 6.3.6)."""
        control = _MESSAGE_COUNTER | _TYPE_OF_MAC.get(len(self.mac), 0)
        control |= 0 if self.key_information is None else _MESSAGE_KEY
        control |= 0 if self.message_length is None else _MESSAGE_LENGTH
        counter = struct.pack("<I", self.counter)
        return bytes([control]) + (self.key_information or b"") + counter + self._length

    def __bytes__(self) -> bytes:
        """The layer with its CI field and length."""
        control = _HAS_CONTROL | _HAS_COUNTER | _HAS_MAC
        control |= 0 if self.key_information is None else _HAS_KEY
        control |= 0 if self.message_length is None else _HAS_LENGTH
        authenticated = self.authenticated.removesuffix(self._length)
        fields = struct.pack("<H", control) + authenticated + self.mac + self._length
        return bytes([AFL, len(fields)]) + fields

    @property
    def _length(self) -> bytes:
        return b"" if self.message_length is None else struct.pack("<H", self.message_length)


@dataclass(frozen=True, slots=True)
class Tpl:
    """Transport layer's header (EN 13757-7 7).

    :param meter: the meter's address, where the header is long; otherwise the meter is the sender
    :param status: the meter's status, STS
    :param configuration: configuration field: mode, and how much is encrypted
    :param extension: its extension, in modes 7 and 10
    :param key_version: in mode 10, where the extension says so
    :param counter: in mode 10: message counter, 32 bits
    """

    meter: Address | None
    access_number: int
    status: int
    configuration: int
    extension: int = 0
    key_version: int | None = None
    counter: int = 0

    @classmethod
    def parse(cls, reader: Reader, ci: int) -> Self:
        """Read what follows the CI field.

        :raises GatewayError: ``lmn.telegram.truncated``, ``.configuration``
        """
        meter = None
        if ci == LONG_HEADER:
            octets = reader.take(8, "the meter's address")
            meter = Address(octets[4:6] + octets[:4] + octets[6:])
        access_number, status = reader.take(2, "the transport layer's header")
        header = cls(meter, access_number, status, reader.number(2, "the configuration field"))
        if header.mode not in _UNKNOWN_BITS:
            return header
        extension = reader.number(2 if header.mode == MODE_CCM else 1, "the configuration field's extension")
        if extension & _UNKNOWN_BITS[header.mode]:
            raise refused("configuration", f"extension {extension:04X} of the configuration field is not read")
        key_version, counter = None, 0
        if header.mode == MODE_CCM:
            key_version = reader.number(1, "the key's version") if extension & _KEY_VERSION else None
            counter = reader.number(4, "the message counter")
        return cls(meter, access_number, status, header.configuration, extension, key_version, counter)

    @property
    def mode(self) -> int:
        """The security mode."""
        return self.configuration >> 8 & 0x1F

    @property
    def derives_key(self) -> bool:
        """Whether the message has keys of its own, by key derivation function A."""
        return self.extension & _KEY_DERIVATION == KEY_DERIVATION_A

    @property
    def encrypted_octets(self) -> int | None:
        """How many octets behind the header are encrypted; ``None`` for all."""
        if self.mode != MODE_CCM:
            return (self.configuration >> 4 & 0x0F) * 16
        count = self.configuration & 0xFF
        return None if count == _ALL_OCTETS else count

    @property
    def tag_octets(self) -> int:
        """In mode 10: how long the tag at the telegram's end is."""
        return 4 + 4 * (self.extension >> 8 & 0x03)

    @property
    def associated(self) -> bytes:
        """In mode 10: what of this header goes under the tag: neither address nor counter, which are in the nonce.

        Detailspezifikationen zur TR-03109-1, 10.3.
        """
        return bytes([SHORT_HEADER if self.meter is None else LONG_HEADER]) + self._fields

    def __bytes__(self) -> bytes:
        """The header with its CI field."""
        counter = struct.pack("<I", self.counter) if self.mode == MODE_CCM else b""
        if self.meter is None:
            return bytes([SHORT_HEADER]) + self._fields + counter
        address = self.meter.octets
        return bytes([LONG_HEADER]) + address[2:6] + address[:2] + address[6:] + self._fields + counter

    @property
    def _fields(self) -> bytes:
        fields = struct.pack("<BBH", self.access_number, self.status, self.configuration)
        if self.mode == MODE_CBC:
            return fields + bytes([self.extension])
        if self.mode == MODE_CCM:
            version = b"" if self.key_version is None else bytes([self.key_version])
            return fields + struct.pack("<H", self.extension) + version
        return fields


def refused(rule: str, message: str) -> GatewayError:
    """A telegram that is not read."""
    hint = "a disturbed transmission, or a meter that keeps to other rules than EN 13757 and OMS"
    return GatewayError(f"lmn.telegram.{rule}", message, hint=hint)
