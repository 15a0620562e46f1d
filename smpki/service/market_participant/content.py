"""A delivery's content, and the lines that become of it."""

from smpki.gateway.api import Delivery
from smpki.gateway.http_message import parse_json
from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.json_text import write_json
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
    return "".join(f"{head},{reading.to_json()[1:]}\n" for reading in delivery.readings).encode()
