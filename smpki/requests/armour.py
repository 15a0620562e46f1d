"""Take off what a request package is carried in: PEM, base64 text, or nothing."""

import binascii

from smpki.errors import RequestError

_DER_SEQUENCE = b"\x30"  # an ASCII "0", with which neither PEM nor the base64 of a SEQUENCE ("M") begins
_BEGIN, _END, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"


def strip_armour(data: bytes) -> bytes:
    """The bytes inside PEM (RFC 7468, any label, text before it ignored) or base64 text; raw BER and DER as they are.

    :raises RequestError: ``request.armour.pem``, ``request.armour.base64``, or ``request.armour.trailing`` for anything
        but white space behind the PEM
    """
    if data.startswith(_DER_SEQUENCE):
        return data
    _, begin, rest = data.partition(_BEGIN)
    return _base64(_pem_body(rest) if begin else data)


def _pem_body(text: bytes) -> bytes:
    label, dashes, rest = text.partition(_DASHES)
    body, end, tail = rest.partition(_END + label + _DASHES)
    if not dashes or not end:
        raise RequestError(
            "request.armour.pem",
            "the PEM has no END line that fits its BEGIN line",
            where="package",
            hint="send the whole PEM block, from -----BEGIN to -----END",
        )
    if tail.strip():
        raise RequestError(
            "request.armour.trailing",
            "something follows the PEM block",
            where="package",
            hint="send one package at a time",
        )
    return body


def _base64(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(b"".join(text.split()), strict_mode=True)
    except binascii.Error as error:
        raise RequestError(
            "request.armour.base64",
            f"this is neither BER nor DER nor PEM, and no base64 text either: {error}",
            where="package",
            hint="send the package as DER, as PEM or as base64 text",
        ) from None
