"""``smpki audit``."""

import dataclasses
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home


@click.group("audit")
def audit_command() -> None:
    """The audit chain."""


@command("verify")
@click.pass_context
def verify_command(ctx: click.Context, home: "Home", output: Output) -> None:
    """Verify the audit chain: no entry changed, missing or swapped, no tail cut off."""
    from smpki.ca.opening import verify_audit

    report = verify_audit(home, surroundings())
    lines = [f"{finding.where}: {finding.message} [{finding.code}]" for finding in report.findings]
    state = "the audit chain holds" if report.holds else "the audit chain does NOT hold"
    lines.append(f"{state}: {report.entries} entries, {report.signed} of {report.heads} heads signed")
    if report.behind:
        lines.append(f"the head kept outside the database lacks the last {report.behind} transactions")
    output.show({"holds": report.holds, **dataclasses.asdict(report)}, "\n".join(lines))
    if not report.holds:
        ctx.exit(1)


audit_command.add_command(verify_command)
