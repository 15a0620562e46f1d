"""Which gateways are made: device ids from a list, or counted."""

from collections.abc import Iterator

from smpki.errors import GatewayError, PolicyError
from smpki.policy.device_id import DeviceId

_GATEWAY = 0x0E


def counted(manufacturer: str, block: int, first: int, count: int) -> tuple[DeviceId, ...]:
    """So many gateways of a manufacturer, one number after another.

    :param manufacturer: three capital letters of the FLAG registry
    :param block: fabrication block, 0x00 to 0xFE
    :param first: fabrication number of the first one
    :raises PolicyError: ``device_id.*``
    """
    DeviceId(_GATEWAY, manufacturer, block, first + count - 1)  # all of them, or none
    return tuple(DeviceId(_GATEWAY, manufacturer, block, first + number) for number in range(count))


def listed(data: bytes, where: str) -> tuple[DeviceId, ...]:
    """The device ids of a list: one a line, in upper or lower case; empty lines, and what follows a ``#``, don't count.

    :param where: the list's name, for the refusal
    :raises GatewayError: ``provision.ids.malformed``, ``.sector``, ``.duplicate``, ``.none``
    """
    lines: dict[DeviceId, int] = {}
    for number, written in _lines(data.decode(errors="replace")):
        place = f"{where}, line {number}"
        try:
            device = DeviceId.parse(written)
        except PolicyError as error:
            raise _refused("malformed", error.message, place, error.hint) from None
        if not device.is_gateway:
            raise _refused("sector", f"{device} is no gateway's id", place, "a gateway's begins with E")
        if device in lines:
            hint = f"it is in line {lines[device]} already; make each gateway once"
            raise _refused("duplicate", f"{device} is there twice", place, hint)
        lines[device] = number
    if not lines:
        raise _refused("none", "there is no device id", where, "one a line, such as EABC0012345678")
    return tuple(lines)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if written := line.partition("#")[0].strip():
            yield number, written


def _refused(rule: str, message: str, where: str, hint: str) -> GatewayError:
    return GatewayError(f"provision.ids.{rule}", message, where=where, hint=hint)
