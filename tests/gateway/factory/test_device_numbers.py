"""Which gateways are to be made."""

import pytest

from smpki.errors import SmpkiError
from smpki.gateway.device_numbers import counted, listed


def test_counting() -> None:
    assert list(map(str, counted("ABC", 0x1F, 99, 3))) == ["EABC1F00000099", "EABC1F00000100", "EABC1F00000101"]


@pytest.mark.parametrize(
    ("manufacturer", "block", "first", "code"),
    [
        ("abc", 0, 1, "device_id.manufacturer"),
        ("ABCD", 0, 1, "device_id.manufacturer"),
        ("ABC", 0xFF, 1, "device_id.block"),
        ("ABC", 0, 99_999_998, "device_id.number"),
    ],
)
def test_numbers_that_there_are_not(manufacturer: str, block: int, first: int, code: str) -> None:
    with pytest.raises(SmpkiError) as refused:
        counted(manufacturer, block, first, 3)
    assert refused.value.code == code


def test_a_list() -> None:
    text = b"# Monday's\nEABC0000000002\n\n  eabc0000000001  # in a hurry\r\n"
    assert list(map(str, listed(text, "ids"))) == ["EABC0000000002", "EABC0000000001"]


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        (b"EABC0000000001\nEABC000000000X\n", "malformed", "ids, line 2"),
        (b"Eabc0000000001\n", "malformed", "ids, line 1"),
        ("EABC0000000001\nEABC\u0660000000001".encode(), "malformed", "ids, line 2"),
        (b"EABC0000000001\n\xff\n", "malformed", "ids, line 2"),
        (b"1ABC0000000001\n", "sector", "ids, line 1"),
        (b"EABC0000000001\n# again\neabc0000000001\n", "duplicate", "ids, line 3"),
        (b"\n# none\n", "none", "ids"),
    ],
)
def test_lists_that_are_refused(text: bytes, code: str, where: str) -> None:
    with pytest.raises(SmpkiError) as refused:
        listed(text, "ids")
    assert (refused.value.code, refused.value.where) == (f"provision.ids.{code}", where)
    assert refused.value.hint
