"""A lean reader and writer of DER (X.690): tag, length, value, and the two primitive types that need more.

Reading is strict (definite, minimal lengths; no bytes left over) and never recurses: the caller walks down one level at
a time, so nesting costs nothing that the caller doesn't ask for. asn1crypto's declared classes take three times as long
for one name as this takes for the structure of a whole request package.
"""

import re
from functools import lru_cache
from typing import NamedTuple

INTEGER, BIT_STRING, OCTET_STRING, OBJECT_IDENTIFIER, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x06, 0x30, 0x31
_CONSTRUCTED = 0x20
_CONTEXT = 0x80
_OID_CONTENT = re.compile(rb"(?:(?:[\x81-\xff][\x80-\xff]*)?[\x00-\x7f])+", re.DOTALL)
_LONGEST_NUMBER = 64  # octets; more would only serve to make Python print a number of thousands of digits


class DerError(ValueError):
    """Bytes that are not the encoding expected; the room that reads them turns this into its own refusal.

    :param rule: what was broken, in a word: ``truncated``, ``trailing``, ``length``, ``tag``, ``depth``, ``number``
    :param message: one sentence
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(rule, message)
        self.rule = rule
        self.message = message

    def __str__(self) -> str:
        return self.message


class Element(NamedTuple):
    """One encoded element.

    :param tag: the identifier octet, class and constructed bit included
    :param content: the content octets
    :param encoded: the whole element, header included
    """

    tag: int
    content: bytes
    encoded: bytes


def context(number: int, *, constructed: bool = True) -> int:
    """The identifier octet of context tag ``[number]``, 0 to 30."""
    return _CONTEXT | (_CONSTRUCTED if constructed else 0) | number


def span(data: bytes, at: int, of: str) -> tuple[int, int]:
    """Where the content of the element at offset ``at`` starts and stops (X.690 8.1, 10.1).

    :param of: the structure that is read, for the message
    :raises DerError: ``truncated``, ``length`` (indefinite or not minimal) or ``tag`` (of more than one octet)
    """
    start = at + 2
    if start > len(data):
        raise DerError("truncated", f"{of} ends inside the header of an element")
    if data[at] & 0x1F == 0x1F:
        raise DerError("tag", f"{of} holds a tag of several octets, which no structure here uses")
    length = data[at + 1]
    if length >= 0x80:
        first, start = start, start + (length & 0x7F)
        if first == start:
            raise DerError("length", f"{of} holds an indefinite length where DER is due")
        if start > len(data):
            raise DerError("truncated", f"{of} ends inside the length of an element")
        length = int.from_bytes(data[first:start], "big")
        if length < 0x80 or data[first] == 0:
            raise DerError("length", f"{of} holds a length that is not in its shortest form")
    stop = start + length
    if stop > len(data):
        raise DerError("truncated", f"{of} holds an element that is longer than what is left")
    return start, stop


def elements(content: bytes, of: str) -> list[Element]:
    """All elements that ``content`` is a sequence of.

    :param of: the structure that is read, for the message
    :raises DerError: see :func:`span`
    """
    found = []
    at = 0
    while at < len(content):
        start, stop = span(content, at, of)
        found.append(Element(content[at], content[start:stop], content[at:stop]))
        at = stop
    return found


def single(data: bytes, tag: int, of: str) -> Element:
    """The one element that ``data`` is.

    :param tag: the identifier octet it must have
    :param of: the structure that is read, for the message
    :raises DerError: as :func:`span`, ``tag`` for another tag, ``trailing`` for bytes behind it
    """
    start, stop = span(data, 0, of)
    if stop != len(data):
        raise DerError("trailing", f"{of} is followed by {len(data) - stop} more octets")
    return expect(Element(data[0], data[start:stop], data), tag, of)


def expect(element: Element, tag: int, of: str) -> Element:
    """The element itself if it has the tag.

    :raises DerError: ``tag``
    """
    if element.tag != tag:
        raise DerError("tag", f"{of} has tag 0x{element.tag:02x} where 0x{tag:02x} is due")
    return element


def integer(element: Element, of: str) -> int:
    """The value of an INTEGER (X.690 8.3), at most 64 octets.

    :raises DerError: ``tag``, or ``number`` when it is empty, not in its shortest form, or too long
    """
    content = expect(element, INTEGER, of).content
    if not 0 < len(content) <= _LONGEST_NUMBER:
        raise DerError("number", f"{of} is an INTEGER of {len(content)} octets; 1 to {_LONGEST_NUMBER} are read")
    if len(content) > 1 and (content[0], content[1] >> 7) in ((0x00, 0), (0xFF, 1)):
        raise DerError("number", f"{of} is an INTEGER that is not in its shortest form")
    return int.from_bytes(content, "big", signed=True)


def object_identifier(element: Element, of: str) -> str:
    """The dotted form of an OBJECT IDENTIFIER (X.690 8.19), at most 64 octets.

    :raises DerError: ``tag``, or ``number`` when it is no such encoding
    """
    content = expect(element, OBJECT_IDENTIFIER, of).content
    if len(content) > _LONGEST_NUMBER or not _OID_CONTENT.fullmatch(content):
        raise DerError("number", f"{of} is not a well-formed OBJECT IDENTIFIER")
    return _dotted(content)


def encode(tag: int, *parts: bytes) -> bytes:
    """An element with this identifier octet around the joined ``parts``."""
    content = b"".join(parts)
    return header(tag, len(content)) + content


def header(tag: int, length: int) -> bytes:
    """What stands before ``length`` octets of content: identifier octet and length."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def implicit(number: int, encoded: bytes) -> bytes:
    """An encoded SEQUENCE or SET as ``[number] IMPLICIT``; the tag alone changes."""
    return bytes((context(number),)) + encoded[1:]


def encode_integer(value: int) -> bytes:
    """An INTEGER."""
    magnitude = value if value >= 0 else ~value
    return encode(INTEGER, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))


@lru_cache(maxsize=1024)
def encode_object_identifier(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER from its dotted form."""
    first, second, *rest = map(int, dotted.split("."))
    content = bytearray()
    for arc in (40 * first + second, *rest):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(0x80 | arc & 0x7F)
        content += bytes(reversed(octets))
    return encode(OBJECT_IDENTIFIER, bytes(content))


@lru_cache(maxsize=1024)
def _dotted(content: bytes) -> str:
    """The dotted form of a well-formed OBJECT IDENTIFIER's content."""
    arcs = [0]
    for octet in content:
        arcs[-1] = arcs[-1] << 7 | octet & 0x7F
        if octet < 0x80:
            arcs.append(0)
    arcs.pop()
    top = min(arcs[0] // 40, 2)
    return ".".join(map(str, (top, arcs[0] - 40 * top, *arcs[1:])))
