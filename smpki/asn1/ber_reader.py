"""Read BER forwards, piece by piece: of a message of any size only a piece is in memory.

Indefinite lengths (X.690 8.1.3.6) and octet strings in chunks (8.7.3) are taken, as streaming senders write them; tags
of several octets and lengths that are not in their shortest form are not. No length that a message declares is believed
before the octets are there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import SEEK_END
from typing import BinaryIO, NamedTuple, Protocol

from smpki.asn1 import der
from smpki.asn1.ber import MAX_DEPTH
from smpki.asn1.der import DerError

PIECE = 128 * 1024
"""Octets of a long string that are taken at a time."""

LONGEST = 64 * 1024
"""Octets of an element that is read whole; nothing but contents is longer."""

Octets = bytes | memoryview
_CONSTRUCTED, _INDEFINITE = 0x20, 0x80
_END_OF_CONTENTS = (0x00, 0)
_LONGEST_LENGTH = 8  # octets
_FREE_CHUNKS, _USUAL_CHUNK = 4096, 64  # beyond so many chunks they hold at least so many octets on average


class Source(Protocol):
    """Where octets come from: a file opened for reading, :class:`io.BytesIO`, :class:`Joined`."""

    def read(self, limit: int, /) -> Octets:
        """The next octets, at least one and at most ``limit``; none at the end."""


class Joined:
    """Pieces of octets, read as one.

    :param pieces: a piece is used until the next is asked for
    :param tap: is told of each piece before it is read
    """

    def __init__(self, pieces: Iterator[Octets], tap: Callable[[Octets], object] | None = None) -> None:
        self._pieces = pieces
        self._tap = tap
        self._rest: Octets = b""

    def read(self, limit: int, /) -> Octets:
        """See :meth:`Source.read`."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            if self._tap is not None:
                self._tap(piece)
            self._rest = memoryview(piece)
        part, self._rest = self._rest[:limit], self._rest[limit:]
        return part


@dataclass(frozen=True, slots=True)
class Whole:
    """Octets that can be read from their beginning as often as need be.

    :param size: how many they are
    :param again: begins
    """

    size: int
    again: Callable[[], Source]


def in_memory(octets: bytes) -> Whole:
    """Octets in memory; they are not copied."""
    return Whole(len(octets), lambda: Joined(iter((octets,))))


def in_file(file: BinaryIO) -> Whole:
    """What a seekable file holds; one reading ends when the next begins."""

    def again() -> Source:
        file.seek(0)
        return file

    return Whole(file.seek(0, SEEK_END), again)


def pieces(whole: Whole) -> Iterator[Octets]:
    """All of the octets.

    :raises OSError: when they have become fewer
    """
    source, left = whole.again(), whole.size
    while left:
        piece = source.read(min(PIECE, left))
        if not piece:
            raise OSError("the file became shorter while it was read")
        left -= len(piece)
        yield piece


class _Header(NamedTuple):
    tag: int
    length: int | None  # None: indefinite
    encoded: bytes


class _Level(NamedTuple):
    definite: bool
    bound: int | None  # where this element, or the next one around it of definite length, ends


class BerReader:
    """One encoding, read from its beginning to its end.

    :param source: the encoding and nothing else; of a :class:`Whole`, what claims to be longer is refused at once
    """

    def __init__(self, source: Source | Whole) -> None:
        self._source: Source = source.again() if isinstance(source, Whole) else source
        self._at = 0
        self._levels = [_Level(definite=False, bound=source.size if isinstance(source, Whole) else None)]
        self._ahead: _Header | None = None

    def tag(self) -> int | None:
        """The identifier octet of the next element; ``None`` where the element that was entered ends.

        :raises DerError: ``truncated``, ``length`` or ``tag``
        """
        level = self._levels[-1]
        if self._ahead is None:
            if level.definite and self._at == level.bound:
                return None
            self._ahead = self._read_header()
        if (self._ahead.tag, self._ahead.length) != _END_OF_CONTENTS:
            return self._ahead.tag
        if level.definite or len(self._levels) == 1:
            raise DerError("tag", "the encoding holds end-of-contents octets where no indefinite length ends")
        return None

    def enter(self, tag: int, name: str) -> None:
        """Go into the next element, which is constructed.

        :param tag: the identifier octet it must have
        :raises DerError: as :meth:`tag`, ``tag`` for another tag, ``depth``
        """
        length = self._header(tag, name).length
        if len(self._levels) > MAX_DEPTH:
            raise DerError("depth", f"the encoding nests more than {MAX_DEPTH} levels")
        if length is None:
            self._levels.append(_Level(definite=False, bound=self._levels[-1].bound))
        else:
            self._levels.append(_Level(definite=True, bound=self._at + length))

    def leave(self, name: str) -> None:
        """Go out of the element that was entered last; nothing of it may be left.

        :raises DerError: as :meth:`tag`, ``tag``
        """
        if (tag := self.tag()) is not None:
            raise DerError("tag", f"{name} has a field of tag 0x{tag:02x} too many")
        self._ahead = None
        self._levels.pop()

    def element(self, tag: int, name: str) -> der.Element:
        """The next element, whole, its outer levels with definite lengths.

        :param tag: the identifier octet it must have
        :raises DerError: as :meth:`tag`, ``tag`` for another tag, ``length`` beyond :data:`LONGEST`, ``depth``
        """
        self._check_tag(tag, name)
        ahead = self._ahead
        if ahead is not None and ahead.length is None:
            return self._unwrapped(tag, name)
        header = self._header(tag, name)
        if (header.length or 0) > LONGEST:
            raise DerError("length", f"{name} has {header.length} octets; no message needs more than {LONGEST}")
        content = self._take(header.length or 0)
        return der.Element(tag, content, header.encoded + content)

    def optional(self, tag: int, name: str) -> der.Element | None:
        """The next element as :meth:`element`, if it has this tag."""
        return self.element(tag, name) if self.tag() == tag else None

    def octets(self, tag: int, name: str) -> Iterator[Octets]:
        """The octets of the next element, an OCTET STRING, in pieces; it has to be read to its end.

        :param tag: the identifier octet of its primitive form
        :raises DerError: as :meth:`tag`, ``tag`` for another tag, ``length`` for absurdly many chunks
        """
        if self.tag() != tag | _CONSTRUCTED:
            yield from self._pieces(self._header(tag, name).length or 0)
            return
        self.enter(tag | _CONSTRUCTED, name)
        chunks, octets = 0, 0
        while self.tag() is not None:
            length = self._header(der.OCTET_STRING, name).length or 0
            chunks, octets = chunks + 1, octets + length
            if chunks > _FREE_CHUNKS + octets // _USUAL_CHUNK:
                raise DerError("length", f"{name} comes in {chunks} chunks for {octets} octets, which serves nobody")
            yield from self._pieces(length)
        self.leave(name)

    def end(self) -> None:
        """See that nothing follows.

        :raises DerError: ``trailing``
        """
        if self._ahead is not None or self._source.read(1):
            raise DerError("trailing", "the encoding is followed by more octets")

    def _unwrapped(self, tag: int, name: str) -> der.Element:
        self.enter(tag, name)
        parts, size = [], 0
        while (inner := self.tag()) is not None:
            parts.append(self.element(inner, name).encoded)
            size += len(parts[-1])
            if size > LONGEST:
                raise DerError("length", f"{name} has more than {LONGEST} octets; no message needs that")
        self.leave(name)
        content = b"".join(parts)
        return der.Element(tag, content, der.header(tag, size) + content)

    def _check_tag(self, tag: int, name: str) -> None:
        if (found := self.tag()) is None:
            raise DerError("truncated", f"the encoding ends before {name}")
        if found != tag:
            raise DerError("tag", f"{name} has tag 0x{found:02x} where 0x{tag:02x} is due")

    def _header(self, tag: int, name: str) -> _Header:
        """The header of the next element, which is used up by that."""
        self._check_tag(tag, name)
        header, self._ahead = self._ahead or self._read_header(), None
        return header

    def _read_header(self) -> _Header:
        encoded = self._take(2)
        tag, length = encoded
        if tag & 0x1F == 0x1F:
            raise DerError("tag", "the encoding holds a tag of several octets, which no structure here uses")
        if length == _INDEFINITE:
            if not tag & _CONSTRUCTED:
                raise DerError("tag", f"tag 0x{tag:02x} can't have an indefinite length")
            return _Header(tag, None, encoded)
        if length > _INDEFINITE:
            octets = self._take(length & 0x7F)
            length = int.from_bytes(octets, "big")
            if length < 0x80 or octets[0] == 0 or len(octets) > _LONGEST_LENGTH:
                raise DerError("length", "the encoding holds a length that is not in its shortest form, or is absurd")
            encoded += octets
        self._check_room(length)
        return _Header(tag, length, encoded)

    def _take(self, count: int) -> bytes:
        self._check_room(count)
        taken = bytes(self._source.read(count)) if count else b""
        self._at += len(taken)
        if len(taken) == count:  # as a rule; to go through pieces takes three times as long
            return taken
        return taken + b"".join(map(bytes, self._pieces(count - len(taken))))  # a piece lasts until the next

    def _pieces(self, count: int) -> Iterator[Octets]:
        self._check_room(count)
        while count:
            piece = self._source.read(min(count, PIECE))
            if not piece:
                raise DerError("truncated", "the encoding ends inside an element")
            self._at += len(piece)
            count -= len(piece)
            yield piece

    def _check_room(self, count: int) -> None:
        bound = self._levels[-1].bound
        if bound is not None and self._at + count > bound:
            raise DerError("truncated", "the encoding holds an element that is longer than what is left")
