"""Fields of a certificate that may be unreadable."""

from collections.abc import Callable, Generator
from typing import TypeVar

from smpki.policy.lint.finding import Finding, error
from smpki.policy.text import visible

T = TypeVar("T")


def read(at: str, field: Callable[[], T]) -> Generator[Finding, None, T | None]:
    """The field, or a finding and ``None``: pyca parses lazily, so each field fails on its own.

    :param at: code of the field, such as ``rfc-5280.4_1_2_6.subject``
    :param field: reads it
    """
    try:
        return field()
    except Exception as failed:  # pyca: ValueError, TypeError, DuplicateExtension and more; nothing else runs in here
        yield error(f"{at}.unreadable", f"it can't be read: {visible(str(failed))}")
        return None
