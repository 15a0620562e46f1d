"""What a lint says."""

import enum
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How bad a finding is: an error keeps the CA from signing."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule has to say.

    :param severity: how bad it is
    :param code: document, clause, field and rule, dotted and stable: ``tr-03109-4.a2.key_usage.not_critical``
    :param message: what was found and what is due, one sentence
    """

    severity: Severity
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity} {self.code}: {self.message}"

    def as_dict(self) -> dict[str, str]:
        """The finding as the mapping that ``--json`` prints."""
        return {"severity": self.severity.value, "code": self.code, "message": self.message}


def error(code: str, message: str) -> Finding:
    """A finding that breaks a rule."""
    return Finding(Severity.ERROR, code, message)


def warning(code: str, message: str) -> Finding:
    """A finding that an operator should look at."""
    return Finding(Severity.WARNING, code, message)


def notice(code: str, message: str) -> Finding:
    """A finding that is worth knowing."""
    return Finding(Severity.NOTICE, code, message)
