import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpki.asn1 import der


def rule(data: bytes) -> str:
    with pytest.raises(der.DerError) as refused:
        der.single(data, der.SEQUENCE, "it")
    return refused.value.rule


@given(tag=st.sampled_from([0x02, 0x30, 0xA5]), content=st.binary(max_size=70_000))
def test_what_is_written_is_read(tag: int, content: bytes) -> None:
    encoded = der.encode(tag, content)
    assert der.single(encoded, tag, "it") == (tag, content, encoded)


@given(value=st.integers(-(2**511), 2**511 - 1))
def test_integers_survive(value: int) -> None:
    [element] = der.elements(der.encode_integer(value), "it")
    assert der.integer(element, "it") == value


@given(arcs=st.tuples(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**64), max_size=5)))
def test_object_identifiers_survive(arcs: tuple[int, int, list[int]]) -> None:
    dotted = ".".join(map(str, (arcs[0], arcs[1], *arcs[2])))
    [element] = der.elements(der.encode_object_identifier(dotted), "it")
    assert der.object_identifier(element, "it") == dotted


def test_known_encodings() -> None:
    assert der.encode_object_identifier("0.4.0.127.0.7.4.1.1.1").hex() == "060904007f000704010101"
    assert der.encode_object_identifier("2.999").hex() == "06028837"
    assert der.encode_integer(0).hex() == "020100"
    assert der.encode_integer(128).hex() == "02020080"
    assert der.encode_integer(-128).hex() == "020180"
    assert der.encode(0x30, bytes(200))[:3].hex() == "3081c8"
    assert der.encode(0x30, bytes(256))[:4].hex() == "30820100"
    assert der.implicit(6, bytes.fromhex("3000")).hex() == "a600"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("", "truncated"),
        ("30", "truncated"),
        ("3001", "truncated"),
        ("308201", "truncated"),
        ("3084ffffffff00", "truncated"),
        ("30fe" + "ff" * 200, "truncated"),
        ("3080020101 0000", "length"),
        ("308101 00", "length"),
        ("30817f" + "00" * 127, "length"),
        ("30820080" + "00" * 128, "length"),
        ("3000 00", "trailing"),
        ("3100", "tag"),
        ("3f8101 00", "tag"),
    ],
)
def test_single_refuses(encoding: str, expected: str) -> None:
    assert rule(bytes.fromhex(encoding)) == expected


@pytest.mark.parametrize("content", ["", "0001", "ffff", "01" * 65])
def test_integer_refuses(content: str) -> None:
    element = der.Element(der.INTEGER, bytes.fromhex(content), b"")
    with pytest.raises(der.DerError) as refused:
        der.integer(element, "it")
    assert refused.value.rule == "number"


@pytest.mark.parametrize("content", ["", "80", "8001", "2b81", "2b8001", "2b" + "ff" * 63 + "01"])
def test_object_identifier_refuses(content: str) -> None:
    element = der.Element(der.OBJECT_IDENTIFIER, bytes.fromhex(content), b"")
    with pytest.raises(der.DerError) as refused:
        der.object_identifier(element, "it")
    assert refused.value.rule == "number"


def test_a_number_has_its_own_tag() -> None:
    element = der.Element(der.SEQUENCE, b"\x01", b"")
    for read in (der.integer, der.object_identifier):
        with pytest.raises(der.DerError) as refused:
            read(element, "it")
        assert refused.value.rule == "tag"
