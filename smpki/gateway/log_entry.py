"""What an entry of a gateway's logs is made of."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Log = Literal["system", "calibration", "consumer"]
"""System log, calibration log (eichtechnisches Log), consumer log (Letztverbraucherlog)."""

Level = Literal["I", "W", "E", "F"]
"""Information, warning, error, fatal; the letters of ``q.level`` in the Detailspezifikationen, chapter 6."""

Outcome = Literal["success", "failure"]

LEVELS: tuple[Level, ...] = ("I", "W", "E", "F")


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry as it stands in a log.

    :param event: short stable name of what happened, such as an error's code
    """

    record_number: int
    timestamp: datetime
    level: Level
    event: str
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Happening:
    """Something for a log.

    :param event: short stable name, such as an error's code
    :param text: one sentence without personal data and keys
    """

    event: str
    text: str
    level: Level = "I"
    outcome: Outcome = "success"
    log: Log = "system"
