"""What a process brings along: its clock, its environment, and who can be asked."""

import os
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from smpki.ca.home import Home, Settings
from smpki.errors import IssuingError
from smpki.hsm.pin import Pin, read_pin

Clock = Callable[[], datetime]
"""The time now, timezone-aware."""


@dataclass(frozen=True)
class Surroundings:
    """What a process brings along; only the composition root reads it from the system.

    :param environ: the process environment: ``SMPKI_CLOCK``, ``SMPKI_PIN``, ``SMPKI_PIN_FILE``; SoftHSM's
        configuration is set in it
    :param prompt: asks a person for the PIN; ``None`` where there is no terminal
    :param warn: tells the operator something that does not stop the work
    """

    environ: MutableMapping[str, str]
    prompt: Callable[[], str] | None = None
    warn: Callable[[str], None] = lambda message: None

    def clock(self, settings: Settings) -> tuple[Clock, bool]:
        """The clock, and whether it is a test clock: ``SMPKI_CLOCK`` holds in environment ``test`` only.

        :raises IssuingError: ``clock.invalid`` when it is no RFC 3339 time
        """
        text = self.environ.get("SMPKI_CLOCK")
        if not text:
            return _system_clock, False
        if settings.environment != "test":
            self.warn("SMPKI_CLOCK is ignored: this PKI is not of environment test")
            return _system_clock, False
        try:
            fixed = datetime.fromisoformat(text)
            fixed = fixed.astimezone(UTC) if fixed.tzinfo else fixed
        except (ValueError, OverflowError):
            fixed = None
        if fixed is None or fixed.tzinfo is None:
            raise IssuingError(
                "clock.invalid",
                f"{text!r} is no RFC 3339 time with a time zone",
                where="SMPKI_CLOCK",
                hint="such as 2026-11-22T12:00:00Z",
            )
        return lambda: fixed, True

    def pin(self, home: Home) -> Pin:
        """The token's PIN: from SMPKI_PIN_FILE, SMPKI_PIN, the home's pin file, or the prompt, in this order.

        :raises TokenError: ``token.pin.*``
        """
        named = self.environ.get("SMPKI_PIN_FILE")
        value = self.environ.get("SMPKI_PIN")
        file = Path(named) if named else None
        if file is None and not value and home.pin_file.exists():
            file = home.pin_file
        return read_pin(file=file, value=value, prompt=self.prompt)


def process_surroundings(prompt: Callable[[], str] | None, warn: Callable[[str], None]) -> Surroundings:
    """The surroundings of this very process."""
    return Surroundings(os.environ, prompt, warn)


def _system_clock() -> datetime:
    return datetime.now(UTC)
