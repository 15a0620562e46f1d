"""Device ids: the cross-vendor number of a meter or gateway (DIN 43849, formerly DIN 43863-5)."""

import re
import struct
from dataclasses import dataclass

from smpki.errors import PolicyError

_TEXT = re.compile(r"([0-9A-F])([A-Z]{3})([0-9A-F]{2})([0-9]{8})")
_GATEWAY_SECTOR = 0x0E
_MAX_BLOCK = 0xFE
_MAX_NUMBER = 99_999_999


@dataclass(frozen=True, order=True, slots=True)
class DeviceId:
    """A device id (herstelleruebergreifende Identifikationsnummer), DIN 43849.

    :param sector: medium, 0 to 15; 14 (``E``) is communication: gateways
    :param manufacturer: three capital letters of the FLAG registry
    :param block: fabrication block, 0x00 to 0xFE
    :param number: fabrication number, 0 to 99,999,999
    :raises PolicyError: ``device_id.*`` when a part is out of its range
    """

    sector: int
    manufacturer: str
    block: int
    number: int

    def __post_init__(self) -> None:
        if not 0 <= self.sector <= 0x0F:
            raise _refused("sector", f"sector {self.sector} is not in 0 to 15")
        if not re.fullmatch("[A-Z]{3}", self.manufacturer):
            raise _refused("manufacturer", f"manufacturer {self.manufacturer!r} is not three capital letters")
        if not 0 <= self.block <= _MAX_BLOCK:
            raise _refused("block", f"fabrication block {self.block} is not in 00 to FE (hexadecimal)")
        if not 0 <= self.number <= _MAX_NUMBER:
            raise _refused("number", f"fabrication number {self.number} has more than eight digits")

    @classmethod
    def parse(cls, text: str) -> "DeviceId":
        """Read the 14 characters, all upper case (as in a CN) or all lower case (as in DNS-like names).

        :raises PolicyError: ``device_id.text`` when it is neither
        """
        match = _TEXT.fullmatch(text.upper())
        if match is None or not text.isascii() or text not in (text.upper(), text.lower()):
            hint = "14 characters: sector digit, three letters, two hexadecimal digits, eight digits; EABC0012345678"
            raise _refused("text", f"{text!r} is not a device id of DIN 43849", hint)
        sector, manufacturer, block, number = match.groups()
        return cls(int(sector, 16), manufacturer, int(block, 16), int(number))

    @classmethod
    def from_bytes(cls, data: bytes) -> "DeviceId":
        """Read the 9-byte form: sector, three ASCII capitals, block, number as unsigned 32 bit big-endian.

        :raises PolicyError: ``device_id.*`` when the length or a part is wrong
        """
        if len(data) != 9:
            raise _refused("length", f"a binary device id has 9 bytes, not {len(data)}")
        sector, manufacturer, block, number = struct.unpack(">B3sBI", data)
        return cls(sector, manufacturer.decode("latin-1"), block, number)

    @property
    def is_gateway(self) -> bool:
        """Whether the sector is communication, so that the device is a gateway."""
        return self.sector == _GATEWAY_SECTOR

    @property
    def dns(self) -> str:
        """The lower-case form of DNS-like names."""
        return str(self).lower()

    def __str__(self) -> str:
        """The upper-case form of common names."""
        return f"{self.sector:X}{self.manufacturer}{self.block:02X}{self.number:08d}"

    def __bytes__(self) -> bytes:
        """The 9-byte form."""
        return struct.pack(">B3sBI", self.sector, self.manufacturer.encode("ascii"), self.block, self.number)


def _refused(part: str, message: str, hint: str = "see DIN 43849: sector, manufacturer, block, number") -> PolicyError:
    return PolicyError(f"device_id.{part}", message, hint=hint)
