"""Whether a new process could use the token is asked of one that may itself hang."""

import asyncio
import sys

import pytest

from smpki.errors import TokenError
from smpki_cli import starting_anew
from smpki_cli.starting_anew import token_lost


def lost() -> None:
    raise TokenError("token.gone", "the token is gone")


async def is_lost() -> bool:
    """Whether the token is given up, within the time of several looks."""
    try:
        async with asyncio.timeout(30):
            await token_lost(lost, look=0.01)
    except TimeoutError:
        return False
    return True


def test_a_new_process_that_can_use_the_token_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting_anew, "_command", lambda: [sys.executable, "-c", ""])
    assert asyncio.run(is_lost())


def test_a_new_process_that_hangs_is_ended_and_another_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = iter(["import time; time.sleep(1000)", "raise SystemExit(1)", ""])
    monkeypatch.setattr(starting_anew, "TRIAL_SECONDS", 2.0)
    monkeypatch.setattr(starting_anew, "_command", lambda: [sys.executable, "-S", "-c", next(programs)])
    assert asyncio.run(is_lost())
    assert next(programs, None) is None
