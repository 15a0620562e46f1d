import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpki.asn1 import der
from smpki.asn1.ber import MAX_DEPTH, unwrap


def rule(data: bytes) -> str:
    with pytest.raises(der.DerError) as refused:
        unwrap(data)
    return refused.value.rule


def test_der_is_taken_as_it_is() -> None:
    data = bytes.fromhex("3003020105")
    assert unwrap(data) == data


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("3080 020105 0000", "3003020105"),
        ("3080 0000", "3000"),
        ("3080 a080 020105 0000 020106 0000", "3008a003020105020106"),
        # what has a definite length is left alone, whatever is in it
        ("3080 30040280 0000 0000", "300630040280 0000"),
        # a constructed OCTET STRING stays one
        ("2480 040101 040102 0000", "2406040101040102"),
        # spare end-of-contents octets, as a real client sends them
        ("3080 020105 0000 0000", "3003020105"),
        ("3080 020105 0000 00000000", "3003020105"),
    ],
)
def test_indefinite_becomes_definite(encoding: str, expected: str) -> None:
    assert unwrap(bytes.fromhex(encoding)) == bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("", "truncated"),
        ("30", "truncated"),
        ("3080", "truncated"),
        ("3080 020105", "truncated"),
        ("3080 020105 00", "truncated"),
        ("3080 a080 020105 0000", "truncated"),
        ("3080 020205 0000", "truncated"),
        ("3003020105 0000", "trailing"),
        ("3003020105 01", "trailing"),
        ("3080 020105 0000 00", "trailing"),
        ("3080 020105 0000 0001", "trailing"),
        ("3080 020105 0000 3000", "trailing"),
        ("0280 0000", "tag"),
        ("3f80 0000", "tag"),
        ("308101 00", "length"),
    ],
)
def test_refuses(encoding: str, expected: str) -> None:
    assert rule(bytes.fromhex(encoding)) == expected


def test_depth_is_bounded() -> None:
    def nested(levels: int) -> bytes:
        return b"\x30\x80" * levels + b"\x00\x00" * levels

    assert unwrap(nested(MAX_DEPTH)).startswith(b"\x30")
    assert rule(nested(MAX_DEPTH + 1)) == "depth"


def test_hostile_nesting_costs_nothing() -> None:
    data = b"\x30\x80" * 100_000
    tracemalloc.start()
    assert rule(data) == "depth"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


@given(data=st.binary(max_size=60) | st.lists(st.sampled_from([b"\x30\x80", b"\0\0", b"\x02\x01\5"])).map(b"".join))
def test_never_longer_and_never_another_error(data: bytes) -> None:
    try:
        definite = unwrap(data)
    except der.DerError:
        return
    assert len(definite) <= len(data)
    assert unwrap(definite) == definite
