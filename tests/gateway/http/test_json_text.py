"""JSON: what is taken, what isn't, and what is signed of it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.errors import GatewayError
from smpki.gateway.json_text import canonical_json, read_json, write_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)

NOT_JSON = {
    "nothing": b"",
    "cut": b'{"a": 1',
    "two values": b"1 2",
    "a byte order mark": b"\xef\xbb\xbf1",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "not UTF-8": b'"\xff"',
    "not a number": b"NaN",
    "infinite": b"[-Infinity]",
    "beyond a double": b"1e400",
    "5,000 digits": b"9" * 5000,
    "a name twice": b'{"a": 1, "a": 1}',
    "a name twice, further in": b'[{"b": {"a": 1, "\\u0061": 2}}]',
    "single quotes": b"{'a': 1}",
    "a comma too many": b"[1,]",
    "a control character": b'"\x01"',
    "100,000 deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_json_is_refused(name: str) -> None:
    for function in (read_json, canonical_json):
        with pytest.raises(GatewayError) as caught:
            function(NOT_JSON[name])
        assert caught.value.code == "json.syntax"


def test_white_space_goes_but_not_inside_strings() -> None:
    data = b' {\r\n\t"a b" : [ 1.0 , "\\"  x\\\\" , "y", -0 ] , "\\u0020" : { } }\n'
    assert canonical_json(data) == b'{"a b":[1.0,"\\"  x\\\\","y",-0],"\\u0020":{}}'


@settings(max_examples=60, deadline=None)
@given(VALUES, st.integers(0, 3))
def test_the_layout_changes_neither_the_value_nor_what_is_signed(value: object, indent: int) -> None:
    laid_out = json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert read_json(laid_out) == value
    assert canonical_json(laid_out) == canonical_json(canonical_json(laid_out)) == write_json(value)
