"""What was found when something was tried."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """How a rule fares."""

    HOLDS = "holds"
    ADVICE = "advice"
    """A recommendation is not followed; nothing is refused for it."""
    BREAKS = "breaks"


@dataclass(frozen=True)
class Finding:
    """One rule, and whether it holds.

    :param clause: where the rule stands
    :param text: English, with names in braces for the values; what translations go by
    """

    verdict: Verdict
    clause: str
    text: str
    values: Mapping[str, str]

    def __str__(self) -> str:
        return self.text.format(**self.values)


def holds(clause: str, text: str, **values: str) -> Finding:
    """A rule that holds."""
    return Finding(Verdict.HOLDS, clause, text, values)


def advises(clause: str, text: str, **values: str) -> Finding:
    """A recommendation that is not followed."""
    return Finding(Verdict.ADVICE, clause, text, values)


def breaks(clause: str, text: str, **values: str) -> Finding:
    """A rule that is broken."""
    return Finding(Verdict.BREAKS, clause, text, values)
