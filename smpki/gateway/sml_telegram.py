"""SML telegrams as a meter sends them, for simulators, examples and tests.

Lists of readings without request, SML 1.04: OpenResponse, GetList.Res, CloseResponse.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sml import Crc

from smpki.gateway.readings import Obis
from smpki.gateway.sml_file import GET_LIST_RESPONSE, OPEN_RESPONSE
from smpki.gateway.sml_transport import ESCAPE, START
from smpki.policy.device_id import DeviceId

CLOSE_RESPONSE = 0x0201
ABSENT = b"\x01"
_END_OF_MESSAGE = b"\x00"


@dataclass(frozen=True, slots=True)
class Register:
    """A register and what it holds.

    :param value: before scaling, Integer64 or Unsigned64
    :param measured_at: UTC, or seconds of the meter's own counting; None to leave it out
    """

    obis: Obis
    value: int
    scaler: int = 0
    unit: int = 30
    status: int | None = None
    measured_at: datetime | int | None = None


def telegram(
    meter: DeviceId, registers: Sequence[Register], *, sent_at: datetime | int | None = None, number: int = 1
) -> bytes:
    """A telegram with a list of readings.

    :param sent_at: UTC, or seconds of the meter's own counting; None to leave it out
    :param number: of the telegram; it is in the ids of the messages
    """
    server_id = octets(b"\x0a" + bytes(meter))
    entries = [
        sequence(
            octets(bytes(each.obis)),
            ABSENT if each.status is None else unsigned(each.status),
            time(each.measured_at),
            unsigned(each.unit),
            integer(each.scaler),
            integer(each.value) if each.value < 2**63 else unsigned(each.value),
            ABSENT,
        )
        for each in registers
    ]
    opening = sequence(ABSENT, ABSENT, octets(b"%d" % number), server_id, time(sent_at), ABSENT)
    listing = sequence(ABSENT, server_id, ABSENT, ABSENT, sequence(*entries), ABSENT, ABSENT)
    bodies = (OPEN_RESPONSE, opening), (GET_LIST_RESPONSE, listing), (CLOSE_RESPONSE, sequence(ABSENT))
    return transported(b"".join(message(b"%d-%d" % (number, part), *body) for part, body in enumerate(bodies)))


def transported(file: bytes) -> bytes:
    """An SML file in the transport protocol, version 1."""
    filling = -len(file) % 4
    content = file.replace(ESCAPE, ESCAPE * 2) + bytes(filling)
    start = START + content + ESCAPE + bytes([0x1A, filling])
    return start + _checksum(start)


def message(transaction: bytes, kind: int, body: bytes) -> bytes:
    """An SML message with its checksum."""
    choice = sequence(unsigned(kind, 2), body)
    start = b"\x76" + octets(transaction) + unsigned(0) + unsigned(0) + choice
    return start + unsigned(int.from_bytes(_checksum(start)), 2) + _END_OF_MESSAGE


def octets(value: bytes) -> bytes:
    """An octet string; an empty one counts as left out."""
    return _head(0, len(value), counted=True) + value


def integer(value: int) -> bytes:
    """A signed integer, as short as can be."""
    length = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return _head(5, length, counted=True) + value.to_bytes(length, signed=True)


def unsigned(value: int, length: int = 0) -> bytes:
    """An unsigned integer.

    :param length: in octets; 0: as short as can be
    """
    length = length or max(1, (value.bit_length() + 7) // 8)
    return _head(6, length, counted=True) + value.to_bytes(length)


def sequence(*elements: bytes) -> bytes:
    """A list of what is encoded already; SML can't write an empty one."""
    return _head(7, len(elements), counted=False) + b"".join(elements)


def time(moment: datetime | int | None) -> bytes:
    """An SML_Time: a time stamp, a second of the meter's own counting, or left out."""
    if moment is None:
        return ABSENT
    if isinstance(moment, datetime):
        return sequence(unsigned(2), unsigned(int(moment.timestamp()), 4))
    return sequence(unsigned(1), unsigned(moment, 4))


def _head(kind: int, length: int, *, counted: bool) -> bytes:
    """Type and length, four bits of it in each octet; a primitive value's length counts these octets too."""
    octets = 1
    while (total := length + octets * counted) >= 16**octets:
        octets += 1
    nibbles = [total >> 4 * place & 0x0F for place in reversed(range(octets))]
    nibbles[0] |= kind << 4
    return bytes(nibble | 0x80 for nibble in nibbles[:-1]) + bytes(nibbles[-1:])


def _checksum(data: bytes) -> bytes:
    checksum: int = Crc.crc16(data)  # pysml gives its octets in the order of sending
    return checksum.to_bytes(2)
