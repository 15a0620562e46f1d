"""Frames of wireless M-Bus in format A (EN 13757-4 12.3): blocks with a checksum each.

A receiver that checks and removes the checksums itself hands over the rest, here called bare: the length field and
what it counts.
"""

from typing import Final

from smpki.errors import GatewayError

FIRST_BLOCK: Final = 10
"""Octets of a frame's head: length, control field, the sender's address."""

_BLOCK = 16
_CRC = 2
_POLYNOMIAL = 0x3D65
_MAX_LENGTH = 255


def _table() -> tuple[int, ...]:
    """What each octet does to the checksum."""
    table = []
    for octet in range(256):
        value = octet << 8
        for _ in range(8):
            value = (value << 1) ^ (_POLYNOMIAL if value & 0x8000 else 0)
        table.append(value & 0xFFFF)
    return tuple(table)


_TABLE = _table()


def crc(data: bytes) -> bytes:
    """The checksum of EN 13757-4, highest octet first as in the frame."""
    value = 0
    for octet in data:
        value = (value << 8 & 0xFFFF) ^ _TABLE[value >> 8 ^ octet]
    return (value ^ 0xFFFF).to_bytes(_CRC, "big")


def remove_checksums(frame: bytes) -> bytes:
    """Check each block of a frame in format A; what is left is bare.

    :raises GatewayError: ``lmn.frame.length``, ``lmn.frame.checksum``
    """
    blocks = _blocks(frame[0]) if frame else []
    expected = sum(stop - start + _CRC for start, stop in blocks)
    if len(frame) != expected or not frame:
        raise _refused("length", f"the frame has {len(frame)} octets; by its length field it has {expected}")
    bare, place = b"", 0
    for start, stop in blocks:
        block, place = frame[place : place + stop - start], place + stop - start + _CRC
        if frame[place - _CRC : place] != crc(block):
            raise _refused("checksum", f"the checksum behind octet {place - _CRC} is wrong")
        bare += block
    return bare


def add_checksums(bare: bytes) -> bytes:
    """Make a frame in format A.

    :raises GatewayError: ``lmn.frame.length``
    """
    require_whole(bare)
    return b"".join(bare[start:stop] + crc(bare[start:stop]) for start, stop in _blocks(bare[0]))


def require_whole(bare: bytes) -> None:
    """Check that a bare frame is as long as it says, and holds more than its head.

    :raises GatewayError: ``lmn.frame.length``
    """
    if len(bare) <= FIRST_BLOCK or len(bare) != 1 + bare[0]:
        raise _refused("length", f"{len(bare)} octets are not what the frame's length field says")


def with_length(content: bytes) -> bytes:
    """Put the length field in front.

    :raises GatewayError: ``lmn.frame.length``
    """
    if len(content) > _MAX_LENGTH:
        raise _refused("length", f"{len(content)} octets are too many for one frame")
    return bytes([len(content)]) + content


def _blocks(length: int) -> list[tuple[int, int]]:
    """Where the blocks of a bare frame are, whose length field says so."""
    end = 1 + length
    starts = [0, *range(FIRST_BLOCK, end, _BLOCK)]
    return list(zip(starts, [*starts[1:], end], strict=True))


def _refused(rule: str, message: str) -> GatewayError:
    hint = "a disturbed transmission, or a frame that is not in format A of EN 13757-4"
    return GatewayError(f"lmn.frame.{rule}", message, hint=hint)
