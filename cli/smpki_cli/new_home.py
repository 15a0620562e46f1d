"""The options of commands that make a PKI's home, and the making."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from smpki_cli.common import read_file, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home, Settings

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--environment", type=click.Choice(["test", "production"]), help="Default: test."),
    click.option(
        "--policy",
        "policy_file",
        type=click.Path(path_type=Path),
        help="Another policy than the one that comes along.",
    ),
    click.option(
        "--module", help="PKCS#11 module: a name that p11-kit knows, or a path. Default: SoftHSM, token in the home."
    ),
    click.option("--token", help="Label of the token. Default: smpki."),
    click.option("--database", help="SQLAlchemy URL. Default: SQLite in the home."),
)


def home_options(function: F) -> F:
    """Options that say what the home is like; the function gets them for :func:`make_home`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def make_home(home: "Home", policy_file: Path | None, **given: str | None) -> "Settings":
    """Make a home without certificates; one that is there already stays, if it is like what was asked for.

    :param policy_file: ``None``: the policy that comes with the program
    :param given: the settings that the operator named, ``None`` for the others
    :raises SmpkiError: what policy, home, token or database refuse
    """
    from smpki.ca.home import Settings
    from smpki.ca.opening import create_pki

    present = home.settings().model_dump() if home.settings_file.exists() else {"environment": "test"}
    settings = Settings.model_validate(present | {name: value for name, value in given.items() if value is not None})
    create_pki(home, settings, policy_text(policy_file), surroundings())
    return settings


def policy_text(file: Path | None) -> str:
    """The text of a policy file that loads; without one, of the policy that comes with the program.

    :raises SmpkiError: when it is not there, or has an error
    """
    from smpki.errors import PolicyError
    from smpki.policy.load import default_policy_text, load_policy

    if file is None:
        return default_policy_text()
    try:
        text = read_file(file).decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyError("policy.yaml", "not UTF-8 text", where=str(file), hint="is it a policy?") from None
    load_policy(text, name=str(file))
    return text
