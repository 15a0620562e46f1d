"""BER read forwards: what is taken, and what is refused before it is there."""

import io
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpki.asn1 import der
from smpki.asn1.ber import unwrap
from smpki.asn1.ber_reader import LONGEST, PIECE, BerReader, Joined, in_file, in_memory, pieces
from smpki.asn1.der import DerError

OCTETS, SEQUENCE, CHUNKS = der.OCTET_STRING, der.SEQUENCE, der.OCTET_STRING | 0x20


def rule(read: Callable[[], object]) -> str:
    with pytest.raises(DerError) as refused:
        read()
    return refused.value.rule


def indefinite(tag: int, *parts: bytes) -> bytes:
    return bytes((tag, 0x80)) + b"".join(parts) + b"\x00\x00"


def one_by_one(data: bytes) -> Joined:
    return Joined(data[at : at + 1] for at in range(len(data)))


def content(data: bytes) -> bytes:
    """What an OCTET STRING in a SEQUENCE holds, read octet by octet and at once."""
    found = []
    for source in (one_by_one(data), in_memory(data), in_file(io.BytesIO(data))):
        reader = BerReader(source)
        reader.enter(SEQUENCE, "envelope")
        found.append(b"".join(map(bytes, reader.octets(OCTETS, "content"))))
        reader.leave("envelope")
        reader.end()
    assert found[0] == found[1] == found[2]
    return found[0]


@given(st.binary(max_size=300), st.integers(1, 300), st.booleans(), st.booleans())
def test_octets_in_every_form(value: bytes, size: int, chunked: bool, endless: bool) -> None:
    chunks = [der.encode(OCTETS, value[at : at + size]) for at in range(0, len(value), size)]
    whole = der.encode(OCTETS, value)
    if chunked:
        whole = indefinite(CHUNKS, *chunks) if endless else der.encode(CHUNKS, *chunks)
    assert content(indefinite(SEQUENCE, whole) if endless else der.encode(SEQUENCE, whole)) == value


def test_a_long_string_comes_in_pieces() -> None:
    value = bytes(5 * PIECE + 1)
    reader = BerReader(in_memory(der.encode(OCTETS, value)))
    lengths = [len(piece) for piece in reader.octets(OCTETS, "content")]
    assert (sum(lengths), max(lengths)) == (len(value), PIECE)


def test_a_string_in_absurdly_many_chunks() -> None:
    """Every chunk costs time, so tiny ones would make a small message a slow one."""

    def read(size: int) -> int:
        reader = BerReader(in_memory(indefinite(CHUNKS, der.encode(OCTETS, bytes(size)) * 20_000)))
        return sum(len(piece) for piece in reader.octets(OCTETS, "content"))

    assert read(100) == 2_000_000
    assert rule(lambda: read(1)) == "length"
    assert rule(lambda: read(0)) == "length"


def test_elements_and_levels() -> None:
    inside = der.encode(SEQUENCE, der.encode_integer(7)) + indefinite(SEQUENCE, der.encode_integer(8))
    reader = BerReader(in_memory(indefinite(SEQUENCE, inside, der.encode(OCTETS, b"x"))))
    reader.enter(SEQUENCE, "outer")
    assert reader.element(SEQUENCE, "first").encoded == der.encode(SEQUENCE, der.encode_integer(7))
    assert reader.optional(OCTETS, "nothing") is None
    assert reader.element(SEQUENCE, "second").encoded == der.encode(SEQUENCE, der.encode_integer(8))
    last = reader.optional(OCTETS, "last")
    assert last is not None
    assert last.content == b"x"
    assert reader.tag() is None
    reader.leave("outer")
    reader.end()


def read_all(data: bytes) -> None:
    reader = BerReader(in_memory(data))
    reader.enter(SEQUENCE, "envelope")
    while (tag := reader.tag()) is not None:
        reader.element(tag, "element")
    reader.leave("envelope")
    reader.end()


@pytest.mark.parametrize(
    ("data", "due"),
    [
        (b"", "truncated"),
        (b"\x30", "truncated"),
        (b"\x30\x02\x05", "truncated"),
        (b"\x30\x02\x05\x01", "truncated"),
        (b"\x30\x02\x04\x01x", "truncated"),
        (b"\x30\x80\x04\x01x", "truncated"),
        (b"\x30\x00\x00", "trailing"),
        (indefinite(0x30) + b"\x00\x00", "trailing"),
        (b"\x31\x00", "tag"),
        (b"\x30\x03\x1f\x81\x01", "tag"),
        (b"\x30\x03\x04\x80\x00", "tag"),
        (b"\x30\x02\x00\x00", "tag"),
        (b"\x00\x00", "tag"),
        (b"\x30\x81\x02\x05\x00", "length"),
        (b"\x30\x82\x00\x80" + bytes(128), "length"),
        (b"\x30\x89\x01" + bytes(8), "length"),
        (der.encode(SEQUENCE, der.encode(OCTETS, bytes(LONGEST + 1))), "length"),
        (der.encode(SEQUENCE, indefinite(CHUNKS, *[der.encode(OCTETS, bytes(LONGEST // 2))] * 3)), "length"),
        (b"\x30\x80" * 40, "depth"),
        (der.encode(SEQUENCE, indefinite(SEQUENCE) * 2 + b"\x04\x05"), "truncated"),
    ],
)
def test_refused(data: bytes, due: str) -> None:
    assert rule(lambda: read_all(data)) == due


def test_what_was_entered_has_to_be_read() -> None:
    reader = BerReader(in_memory(der.encode(SEQUENCE, der.encode_integer(1))))
    reader.enter(SEQUENCE, "envelope")
    assert rule(lambda: reader.leave("envelope")) == "tag"
    reader.element(der.INTEGER, "number")
    assert rule(lambda: reader.element(der.INTEGER, "another")) == "truncated"


def test_a_length_is_refused_before_it_is_read() -> None:
    """Where the size is known, at once; where it is not, when the source ends: nothing is made as large as was said."""
    huge = b"\x30\x88\x00\xff\xff\xff\xff\xff\xff\xff"
    assert rule(lambda: BerReader(in_memory(b"\x30\x87" + huge[3:])).enter(SEQUENCE, "envelope")) == "truncated"
    reader = BerReader(Joined(iter((b"\x04\x87" + huge[3:] + b"x",))))
    read: Iterator[object] = reader.octets(OCTETS, "content")
    assert next(read) == b"x"
    assert rule(lambda: next(read)) == "truncated"


def nested(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(inner, max_size=3).map(lambda parts: indefinite(SEQUENCE, *parts))


@given(st.recursive(st.just(b"\x04\x01x"), nested, max_leaves=9))
def test_the_same_as_what_is_unwrapped_in_memory(data: bytes) -> None:
    reader = BerReader(in_memory(data))
    assert reader.element(data[0], "element").encoded == unwrap(data)
    reader.end()


def test_joined_pieces_are_told_of_once() -> None:
    told: list[bytes] = []
    joined = Joined(iter((b"ab", b"", b"cde")), lambda piece: told.append(bytes(piece)))
    assert [bytes(joined.read(2)) for _ in range(4)] == [b"ab", b"cd", b"e", b""]
    assert told == [b"ab", b"", b"cde"]


def test_whole_octets_are_read_again() -> None:
    file = io.BytesIO(b"abc")
    for whole in (in_memory(b"abc"), in_file(file)):
        assert whole.size == 3
        assert [b"".join(map(bytes, pieces(whole))) for _ in range(2)] == [b"abc", b"abc"]
