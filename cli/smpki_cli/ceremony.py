"""``smpki ceremony``."""

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.certificates import certificate_rows, certificate_values
from smpki_cli.common import Output, command, printable, read_file, refuse, surroundings
from smpki_cli.new_home import policy_text

if TYPE_CHECKING:
    from smpki.ca.ceremony import KeyCeremony
    from smpki.ca.ceremony_plan import PlannedStep
    from smpki.ca.home import Home

_LARGEST = 1024 * 1024  # octets of a ceremony's file
_FILE = click.argument("file", type=click.Path(path_type=Path), metavar="FILE.yaml")
_POLICY = click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path),
    help="The policy of a home that is to be made. Default: the one that comes along.",
)


@click.group("ceremony")
def ceremony_command() -> None:
    """Key ceremonies: one reviewed file, nothing but what it says, a signed protocol."""


@command("check")
@_FILE
@_POLICY
def check_command(home: "Home", output: Output, file: Path, policy_file: Path | None) -> None:
    """Show what a ceremony would make, and what speaks against it; nothing is made."""
    steps = _ceremony(home, file, policy_file).check()
    values = [{"step": step.title, "keys": [key.model_dump(mode="json") for key in step.spec.keys]} for step in steps]
    output.show({"steps": values}, "\n".join(_described(step) for step in steps))


@command("run")
@_FILE
@_POLICY
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new folder.")
@click.option("--yes", is_flag=True, help="Don't ask before each step.")
@click.pass_context
def run_command(
    ctx: click.Context, home: "Home", output: Output, file: Path, policy_file: Path | None, out: Path, yes: bool
) -> None:
    """Hold a ceremony: make what the file says and nothing else.

    OUT gets the protocol as text and HTML with a signature of each, the public key that verifies them, the file itself
    and the certificates. Where the file differs from policy or PKI, nothing is made.
    """

    def announce(step: "PlannedStep") -> None:
        from smpki.errors import IssuingError

        if not output.as_json:
            click.echo(_described(step))
        if not yes and not click.confirm("Do this step?", err=True):
            raise IssuingError("ceremony.stopped", "somebody said no", where=step.title, hint="hold another ceremony")

    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: give --yes")
    protocol = _ceremony(home, file, policy_file).hold(out, announce)
    refused = protocol.steps[-1].error
    values = {
        "complete": protocol.is_complete,
        "certificates": certificate_values(protocol.certificates),
        "error": refused.as_dict() if refused else None,
        "sha256": {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in sorted(out.iterdir())},
    }
    output.table(values, *certificate_rows(protocol.certificates))
    if not output.as_json:
        click.echo(f"protocol: {out / 'protocol.txt'}")
    if refused is not None:
        refuse(refused, as_json=False)
        ctx.exit(1)


def _ceremony(home: "Home", file: Path, policy_file: Path | None) -> "KeyCeremony":
    from smpki.ca.ceremony import KeyCeremony
    from smpki.ca.ceremony_file import read_ceremony

    return KeyCeremony(
        read_ceremony(read_file(file, _LARGEST), str(file)),
        home,
        surroundings(),
        policy_text=policy_text(policy_file),
        read=lambda name: read_file(file.parent / name, _LARGEST),
    )


def _described(step: "PlannedStep") -> str:
    keys = (
        f"  key of {key.type} {key.common_name} {key.number or ''}".rstrip() + f", {key.curve}, {key.hash}"
        for key in step.spec.keys
    )
    return printable("\n".join([f"Step {step.place}: {step.title}", *keys]))


ceremony_command.add_command(check_command)
ceremony_command.add_command(run_command)
