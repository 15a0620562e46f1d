"""A delivery's content, and the lines that become of it."""

from json import JSONEncoder

from smpki.gateway.api import Delivery
from smpki.gateway.http_message import parse_json
from smpki.gateway.http_refusal import HttpRefusal
from smpki.policy.text import visible

_encode = JSONEncoder(separators=(",", ":")).encode


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
    source = {"gateway": delivery.gateway.dns, "delivery_id": delivery.delivery_id}
    return "".join(f"{_encode(source | reading.as_json())}\n" for reading in delivery.readings).encode()
