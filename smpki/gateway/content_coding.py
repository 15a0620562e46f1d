"""Content codings (RFC 9110 8.4.1): what is sent compressed, and what is taken."""

import gzip
import zlib

from smpki.gateway.http_refusal import HttpRefusal

_FRAMED = 32 + zlib.MAX_WBITS  # gzip (RFC 1952) or zlib (RFC 1950)
_BARE = -zlib.MAX_WBITS
_MOST_STREAMS = 10  # each costs a copy of what is left

COMPRESSED = ("gzip", "x-gzip", "deflate", "zlib")
"""What is taken. The detail specification calls gzip (RFC 1952) "zlib" (REQ.Webservice.HttpClient.130), and "deflate"
is sent with and without its frame, so the octets themselves tell which they are."""


def compress(body: bytes) -> bytes:
    """Compress as RFC 1952 (gzip) has it; the same octets for the same body."""
    return gzip.compress(body, mtime=0)


def decode(body: bytes, coding: str, limit: int) -> bytes:
    """Take the coding off a body.

    :param coding: the Content-Encoding field; empty: there is none
    :param limit: octets that may come out
    :raises HttpRefusal: 415 ``http.content_encoding.unknown``, also for several on top of each other; 413
        ``http.body.inflated``: too much comes out; 422 ``http.content_encoding.body``: it is not so coded
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in COMPRESSED:
        message = f"the Content-Encoding {coding!r} is not known here"
        accepted = ", ".join(COMPRESSED)
        raise HttpRefusal(
            415,
            "http.content_encoding.unknown",
            message,
            hint=f"use one of {accepted}, or none",
            fields={"accept-encoding": accepted},
        )
    frames = (_FRAMED, _BARE) if name == "deflate" else (_FRAMED,)
    for window in frames:
        try:
            return _inflate(body, window, limit)
        except zlib.error:
            continue
    message = f"the body is not what the Content-Encoding {name} says"
    raise HttpRefusal(422, "http.content_encoding.body", message, hint="send it whole, or without a coding")


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    """Inflate one stream after another (RFC 1952 2.2).

    :raises zlib.error: it is none, or not whole
    """
    inflated = bytearray()
    for _ in range(_MOST_STREAMS):
        engine = zlib.decompressobj(window)
        inflated += engine.decompress(body, limit + 1 - len(inflated))
        if len(inflated) > limit:
            hint = f"at most {limit} octets may come out"
            raise HttpRefusal(413, "http.body.inflated", "the body is too large when it is unpacked", hint=hint)
        if not engine.eof:
            break
        body = engine.unused_data
        if not body:
            return bytes(inflated)
    raise zlib.error
