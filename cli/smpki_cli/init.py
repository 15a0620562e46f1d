"""``smpki init``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.certificates import certificate_rows, certificate_values
from smpki_cli.common import Output, command, read_file, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home


@command("init")
@click.option("--environment", type=click.Choice(["test", "production"]), default="test", show_default=True)
@click.option(
    "--policy", "policy_file", type=click.Path(path_type=Path), help="Another policy than the one that comes along."
)
@click.option("--generation", help="Generation of the root's keys, such as 2015.")
@click.option(
    "--module", help="PKCS#11 module: a name that p11-kit knows, or a path. Default: SoftHSM, token in the home."
)
@click.option("--token", default="smpki", show_default=True, help="Label of the token.")
@click.option("--database", help="SQLAlchemy URL. Default: SQLite in the home.")
def init_command(
    home: "Home",
    output: Output,
    environment: str,
    policy_file: Path | None,
    generation: str | None,
    module: str | None,
    token: str,
    database: str | None,
) -> None:
    """Make a PKI: its token, and in it the keys of root, CRL signer, TLS signer and the root's TLS certificate.

    The token's PIN comes from SMPKI_PIN_FILE or SMPKI_PIN; without them SoftHSM's token gets a random one, kept in the
    home's file pin (0600).
    """
    from smpki.ca.home import Settings
    from smpki.ca.opening import create_pki, open_pki
    from smpki.errors import PolicyError
    from smpki.policy.load import default_policy_text, load_policy

    if policy_file is None:
        policy_text = default_policy_text()
    else:
        try:
            policy_text = read_file(policy_file).decode("utf-8")
        except UnicodeDecodeError:
            raise PolicyError("policy.yaml", "not UTF-8 text", where=str(policy_file), hint="is it a policy?") from None
        load_policy(policy_text, name=str(policy_file))
    settings = Settings.model_validate(
        {"environment": environment, "database": database, "module": module, "token": token}
    )
    around = surroundings()
    create_pki(home, settings, policy_text, around)
    with open_pki(home, around, "init") as pki:
        made = pki.create_root(generation)
    values = {"home": str(home.folder), "environment": environment, "certificates": certificate_values(made)}
    if not output.as_json:
        click.echo(f"PKI of environment {environment} in {home.folder}")
    output.table(values, *certificate_rows(made))
