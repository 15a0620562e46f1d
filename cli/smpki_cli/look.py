"""``smpki inspect`` and ``smpki lint``: look at files; no PKI is needed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from smpki.errors import SmpkiError
from smpki_cli.common import Output, command, read_file
from smpki_cli.policy import policy_of

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.policy.model import Policy

T = TypeVar("T")

_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
_POLICY = click.option(
    "--policy", "policy_file", type=click.Path(path_type=Path), help="Default: the home's, or the one that comes along."
)


@command("inspect")
@_FILES
@_POLICY
def inspect_command(home: "Home", output: Output, files: tuple[Path, ...], policy_file: Path | None) -> None:
    """Explain certificates, CRLs and request packages in plain words, with the German terms."""
    from smpki.requests.explain import explain

    policy = policy_of(home, policy_file)
    explained = {str(file): _of(file, explain, policy) for file in files}
    values: list[object] = [{"file": name, **explanation.as_dict()} for name, explanation in explained.items()]
    texts = (f"{name}\n{explanation.text()}" for name, explanation in explained.items())
    output.show({"files": values}, "\n\n".join(texts))


@command("lint")
@_FILES
@_POLICY
@click.pass_context
def lint_command(
    ctx: click.Context, home: "Home", output: Output, files: tuple[Path, ...], policy_file: Path | None
) -> None:
    """Check certificates, CRLs and request packages against the policy; 1 when a finding is an error."""
    from smpki.requests.check import check

    policy = policy_of(home, policy_file)
    checked = [(str(file), part) for file in files for part in _of(file, check, policy)]
    values: list[object] = [{"file": name, **part.as_dict()} for name, part in checked]
    texts = (f"{name}: {line}" for name, part in checked for line in part.lines())
    output.show({"checked": values}, "\n".join(texts))
    if any(not part.passed for _, part in checked):
        ctx.exit(1)


def _of(file: Path, look: "Callable[[bytes, Policy], T]", policy: "Policy") -> T:
    """What a look at a file finds; a refusal names the file."""
    data = read_file(file)
    try:
        return look(data, policy)
    except SmpkiError as error:
        where = f"{file}: {error.where}" if error.where else str(file)
        raise type(error)(error.code, error.message, where=where, hint=error.hint) from None
