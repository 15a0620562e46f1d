"""A JSON document with its signature beside it: ``{"NAME": ..., "signature": "..."}``.

What is signed is the canonical form (Detailspezifikationen zur TR-03109-1, 6.9), and how the content is written counts:
who parses it and writes it again may get other octets, for numbers above all. So it is cut out here as it stands.
"""

import base64
import binascii
import re

from smpki.errors import GatewayError
from smpki.gateway.json_text import canonical_json, read_json


def enclose(name: str, content: bytes, signature: bytes) -> bytes:
    """Put a JSON document and its signature together.

    :param name: what the document is called; letters only
    :param content: the JSON text
    :param signature: of :func:`~smpki.gateway.json_text.canonical_json` of it
    """
    return b'{"%b":%b,"signature":"%b"}' % (name.encode(), content, base64.b64encode(signature))


def separate(name: str, data: bytes) -> tuple[bytes, bytes]:
    """Take the document and its signature apart; checks no signature.

    :return: the document's canonical form, which is what was signed, and the signature
    :raises GatewayError: ``json.syntax``, ``json.signed``: it is no such pair in this order
    """
    parts = re.fullmatch(rb'\{"%b":(.*),"signature":"([A-Za-z0-9+/=]*)"\}' % name.encode(), canonical_json(data), re.S)
    try:
        if parts is None:
            raise binascii.Error
        read_json(parts[1])  # one value and not several members
        return parts[1], base64.b64decode(parts[2], validate=True)
    except (GatewayError, binascii.Error):
        hint = f'it is {{"{name}": ..., "signature": "..."}}, in this order, the signature in base64'
        raise GatewayError("json.signed", f"this is no {name} with its signature", hint=hint) from None
