"""What logs are told: an event with its facts, of which those about persons can be left out.

``log.warning(LogEvent("web.refused", "a message was refused", code=..., sender=Personal(name)))``: the log's text is
the sentence with the facts behind it; who writes structured logs finds them apart.
"""

from dataclasses import dataclass

from smpki.errors import AuditError, SmpkiError, StoreError, TokenError

_OURS = (AuditError, StoreError, TokenError)
"""What speaks of our own database and token, and never repeats what somebody sent."""


@dataclass(frozen=True, slots=True)
class Personal:
    """A fact that says who somebody is, or that may repeat what somebody sent."""

    value: object


class LogEvent:
    """Something that happened; a message for :mod:`logging`.

    :param name: dotted and stable, such as ``web.answered``
    :param text: one sentence, the same for all events of the name
    :param facts: values by name; those about persons as :class:`Personal`. Never a key or PIN.
    """

    def __init__(self, name: str, text: str, /, **facts: object) -> None:
        self.name = name
        self.text = text
        self._facts = facts

    def facts(self, *, personal: bool) -> dict[str, object]:
        """The facts, with those about persons or without."""
        shown = {}
        for name, value in self._facts.items():
            if not isinstance(value, Personal):
                shown[name] = value
            elif personal:
                shown[name] = value.value
        return shown

    def line(self, *, personal: bool) -> str:
        """The sentence with the facts behind it."""
        facts = ", ".join(f"{name}={value}" for name, value in self.facts(personal=personal).items())
        return f"{self.text}: {facts}" if facts else self.text

    def __str__(self) -> str:
        return self.line(personal=True)


def why(error: BaseException) -> dict[str, object]:
    """The facts about an error: its code, and what it says."""
    if not isinstance(error, SmpkiError):
        return {"error": type(error).__name__}
    text = f"{error.where}: {error.message}" if error.where else error.message
    return {"error": error.code, "why": text if isinstance(error, _OURS) else Personal(text)}
