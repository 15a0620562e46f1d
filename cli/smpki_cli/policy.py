"""``smpki policy``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, read_file

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.policy.model import Policy


@click.group("policy")
def policy_command() -> None:
    """Certificate Policies."""


@command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check_command(home: "Home", output: Output, file: Path) -> None:
    """Check a policy file: unknown keys, wrong types, windows and lifetimes that don't close."""
    policy = read_policy(file)
    output.show({"valid": True, "title": policy.title}, f"{file}: {policy.title}: no complaint")


@command("show")
@click.argument("kind", required=False, metavar="[TYPE]")
@click.option(
    "--policy", "policy_file", type=click.Path(path_type=Path), help="Default: the home's, or the one that comes along."
)
@click.option("--yaml", "as_yaml", is_flag=True, help="Print the policy file itself, to start a policy of your own.")
def show_command(home: "Home", output: Output, kind: str | None, policy_file: Path | None, as_yaml: bool) -> None:
    """Show what the policy says of a certificate type, or which types there are."""
    from smpki.policy.load import default_policy_text
    from smpki.policy.show import show_type, show_types

    if as_yaml:
        text = default_policy_text()
        output.show({"yaml": text}, text.rstrip("\n"))
        return
    policy = policy_of(home, policy_file)
    shown = show_types(policy) if kind is None else show_type(policy, kind)
    output.show(shown.as_dict(), shown.text())


def policy_of(home: "Home", file: Path | None) -> "Policy":
    """The policy that was named, else the home's, else the one that comes with the program."""
    from smpki.policy.load import default_policy_text, load_policy

    if file is not None:
        return read_policy(file)
    return home.policy() if home.policy_file.exists() else load_policy(default_policy_text())


def read_policy(file: Path) -> "Policy":
    """Load a policy file.

    :raises SmpkiError: when it is not there, or has an error
    """
    from smpki.errors import PolicyError
    from smpki.policy.load import load_policy

    try:
        text = read_file(file).decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyError("policy.yaml", "not UTF-8 text", where=str(file), hint="is it a policy file?") from None
    return load_policy(text, name=str(file))


policy_command.add_command(check_command)
policy_command.add_command(show_command)
