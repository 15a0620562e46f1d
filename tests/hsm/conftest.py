import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from smpki.errors import TokenError


@contextmanager
def _refused(code: str) -> Iterator[pytest.ExceptionInfo[TokenError]]:
    with pytest.raises(TokenError) as caught:
        yield caught
    assert caught.value.code == code
    assert caught.value.hint


@pytest.fixture
def refused() -> Callable[[str], AbstractContextManager[pytest.ExceptionInfo[TokenError]]]:
    """``with refused("token.missing"):`` expects a TokenError with that code, and a hint."""
    return _refused


@contextmanager
def _files_limited_to(octets: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def files_limited_to() -> Callable[[int], AbstractContextManager[None]]:
    """``with files_limited_to(0):`` no file takes more data, as on a full disk; holds for root too."""
    return _files_limited_to
