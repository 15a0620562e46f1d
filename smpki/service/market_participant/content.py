"""A delivery's content, and the lines that become of it."""

from smpki.gateway.api import Delivery
from smpki.gateway.http_message import parse_json
from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.json_text import write_json
from smpki.gateway.readings import Obis
from smpki.policy.device_id import DeviceId
from smpki.policy.text import visible


def read_delivery(content: bytes) -> Delivery:
    """A delivery of its JSON. Refusals repeat nothing of it, for they go to the log.

    :raises HttpRefusal: 422 ``json.syntax`` or ``json.content``
    """
    try:
        return parse_json(content, Delivery)
    except HttpRefusal as refusal:
        hint = "see the description of Delivery in docs/gateway.md"
        message = "the content is no delivery of readings"
        raise HttpRefusal(422, refusal.code, message, where=visible(refusal.where), hint=hint) from None


def lines_of(delivery: Delivery) -> bytes:
    """A JSON line for each reading: the reading, and before it which delivery of which gateway it came in."""
    head = write_json({"gateway": delivery.gateway.dns, "delivery_id": delivery.delivery_id}).decode()[:-1]
    registers: dict[tuple[DeviceId, Obis], str] = {}
    lines = []
    for one in delivery.readings:
        register = one.meter, one.obis
        if register not in registers:
            registers[register] = f'"meter":"{one.meter.dns}","obis":"{one.obis}"'
        # as Reading.as_json has it, and nothing in it has to be escaped; an encoder takes three times as long
        lines.append(
            f'{head},{registers[register]},"captured_at":"{one.captured_at.isoformat()[:-6]}Z","value":{one.value},'
            f'"scaler":{one.scaler},"unit":{one.unit},"status":"{one.status:016X}"}}\n'
        )
    return "".join(lines).encode()
