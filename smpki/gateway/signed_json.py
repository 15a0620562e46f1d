"""A JSON document with its signature beside it: ``{"NAME": ..., "signature": "..."}``.

What is signed is the canonical form (Detailspezifikationen zur TR-03109-1, 6.9), and how the content is written counts:
who parses it and writes it again may get other octets, for numbers above all. So it is cut out here as it stands.
"""

import base64
import json
from collections.abc import Iterator

from smpki.errors import GatewayError
from smpki.gateway.json_text import canonical_json


def enclose(name: str, content: bytes, signature: bytes) -> bytes:
    """Put a JSON document and its signature together.

    :param name: what the document is called; letters only
    :param content: the JSON text
    :param signature: of :func:`~smpki.gateway.json_text.canonical_json` of it
    """
    return b'{"%b":%b,"signature":"%b"}' % (name.encode(), content, base64.b64encode(signature))


def separate(name: str, data: bytes) -> tuple[bytes, bytes]:
    """Take the document and its signature apart, in whatever order they stand; checks no signature.

    :return: the document's canonical form, which is what was signed, and the signature
    :raises GatewayError: ``json.syntax``, ``json.signed``: it is no such pair
    """
    text = canonical_json(data).decode()
    try:
        members = dict(_members(text))
        content, written = members.pop(name), json.loads(members.pop("signature"))
        if members or not isinstance(written, str):
            raise ValueError
        return content.encode(), base64.b64decode(written, validate=True)
    except (KeyError, ValueError):  # that of base64 too
        hint = f'it is {{"{name}": ..., "signature": "..."}}, the signature in base64'
        raise GatewayError("json.signed", f"this is no {name} with its signature", hint=hint) from None


def _members(text: str) -> Iterator[tuple[str, str]]:
    """The members of a canonical JSON object, the values as they are written.

    :raises ValueError: it is no object, or has none
    """
    if not text.startswith("{") or text == "{}":
        raise ValueError
    decoder, at = json.JSONDecoder(), 0
    while text[at] != "}":  # at a brace or comma
        name, end = decoder.raw_decode(text, at + 1)
        _, at = decoder.raw_decode(text, end + 1)
        yield name, text[end + 1 : at]
