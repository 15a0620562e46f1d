"""BER as clients send it: an envelope of indefinite length around DER."""

from smpki.asn1.der import DerError, encode, span

MAX_DEPTH = 16
"""Levels of indefinite length; a signed package needs six, one that is authorised as well starts anew inside."""

_INDEFINITE = 0x80
_END_OF_CONTENTS = b"\x00\x00"


def unwrap(data: bytes) -> bytes:
    """Give every outer level of indefinite length (X.690 8.1.3.6) its definite length.

    An element that already has a definite length is taken over octet by octet and not looked into, so what somebody
    signed stays what it was. Spare end-of-contents octets behind an envelope of indefinite length are dropped: real
    clients send a pair too many. The result is never longer than ``data``; time and memory grow with its length, which
    the caller bounds.

    :return: one element; still to be read as DER
    :raises DerError: ``truncated``, ``trailing``, ``length``, ``tag``, or ``depth`` beyond :data:`MAX_DEPTH` levels
    """
    levels: list[tuple[int, list[bytes]]] = []  # the envelopes still open: tag and what they hold so far
    at = 0
    while True:
        if levels and data.startswith(_END_OF_CONTENTS, at):
            at += 2
            tag, parts = levels.pop()
            element = encode(tag, *parts)
        elif at + 1 < len(data) and data[at + 1] == _INDEFINITE:
            _check_envelope(data[at], len(levels))
            levels.append((data[at], []))
            at += 2
            continue
        else:
            start = at
            _, at = span(data, at, "the encoding")
            element = data[start:at]
        if not levels:
            break
        levels[-1][1].append(element)
    rest = data[at:]
    if rest and (data[1] != _INDEFINITE or len(rest) % 2 or any(rest)):
        raise DerError("trailing", f"the encoding is followed by {len(rest)} more octets")
    return element


def _check_envelope(tag: int, depth: int) -> None:
    if not tag & 0x20 or tag & 0x1F == 0x1F:
        raise DerError("tag", f"tag 0x{tag:02x} can't have an indefinite length")
    if depth == MAX_DEPTH:
        raise DerError("depth", f"the encoding nests more than {MAX_DEPTH} levels of indefinite length")
