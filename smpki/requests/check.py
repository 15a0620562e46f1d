"""Lint what a file holds: certificates, CRLs and request packages."""

from collections.abc import Iterator
from dataclasses import dataclass

from smpki.policy.lint.finding import Finding, Severity, error
from smpki.policy.model import Policy
from smpki.requests.explain import explain


@dataclass(frozen=True)
class Checked:
    """One certificate, CRL or request, and what the lint says of it.

    :param title: what it is
    :param findings: none when all is well
    """

    title: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    def as_dict(self) -> dict[str, object]:
        """The result as the mapping that ``--json`` prints."""
        findings = [finding.as_dict() for finding in self.findings]
        return {"title": self.title, "passed": self.passed, "findings": findings}

    def lines(self) -> Iterator[str]:
        """The result for people: a line for each finding, or one that says there is none."""
        yield from (f"{self.title}: {finding}" for finding in self.findings)
        if not self.findings:
            yield f"{self.title}: no finding"


def check(data: bytes, policy: Policy) -> tuple[Checked, ...]:
    """Lint every certificate, CRL and request of a file.

    What the policy has no rules for is an error too: nobody should take silence for consent.

    :param data: PEM, DER (request packages: BER too) or base64 text
    :raises RequestError: as :func:`smpki.requests.explain.explain`
    """
    unknown = error("lint.unknown_type", "the name follows no scheme of the policy, so no rules are known for it")
    return tuple(
        Checked(part.title, (unknown,) if part.findings is None else part.findings)
        for part in explain(data, policy).parts
    )
