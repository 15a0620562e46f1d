"""The envelopes of requests: armour, BER, ContentInfo."""

from smpki.asn1 import der
from smpki.asn1.ber import unwrap
from smpki.asn1.content_info import read_content_info
from smpki.errors import RequestError
from smpki.requests.armour import strip_armour


def open_envelope(data: bytes, limit: int, *content_types: str) -> tuple[str, bytes]:
    """Content type and encoded content of a request, whatever its armour.

    :param data: raw BER or DER, PEM with any label, or base64 text
    :param limit: octets that are read at most
    :param content_types: those that it may have, dotted
    :return: one of them, and one element with definite lengths
    :raises RequestError: ``request.size``, ``request.armour.*``, ``request.encoding.*``,
        ``request.content_type.unsupported``
    """
    if len(data) > limit:
        raise RequestError(
            "request.size",
            f"the package has more than the {limit} octets that are read at most",
            where="package",
            hint="send one package at a time; one of three requests takes about 2,000",
        )
    try:
        content_type, content = read_content_info(unwrap(strip_armour(data)))
    except der.DerError as error:
        raise malformed(error) from None
    if content_type not in content_types:
        raise RequestError(
            "request.content_type.unsupported",
            f"the package has content type {content_type}",
            where="package: contentType",
            hint=f"content of type {' or '.join(content_types)} is due here (TR-03109-4 annex C)",
        )
    return content_type, content


def malformed(error: der.DerError, place: str = "package") -> RequestError:
    """The refusal of what is no encoding of the structure due.

    :param place: the part of the package
    """
    return RequestError(
        f"request.encoding.{error.rule}",
        str(error),
        where=place,
        hint="send the package whole, as RFC 4211 and TR-03109-4 annex C define it; only the outer layers may be BER",
    )
