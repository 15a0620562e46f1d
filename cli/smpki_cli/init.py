"""``smpki init``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.certificates import certificate_rows, certificate_values
from smpki_cli.common import Output, command, surroundings
from smpki_cli.new_home import home_options, make_home

if TYPE_CHECKING:
    from smpki.ca.home import Home


@command("init")
@home_options
@click.option("--generation", help="Generation of the root's keys, such as 2015.")
def init_command(
    home: "Home", output: Output, policy_file: Path | None, generation: str | None, **settings: str | None
) -> None:
    """Make a PKI: its token, and in it the keys of root, CRL signer, TLS signer and the root's TLS certificate.

    The token's PIN comes from SMPKI_PIN_FILE or SMPKI_PIN; without them SoftHSM's token gets a random one, kept in the
    home's file pin (0600).
    """
    from smpki.ca.opening import open_pki

    environment = make_home(home, policy_file, **settings).environment
    with open_pki(home, surroundings(), "init") as pki:
        made = pki.create_root(generation)
    values = {"home": str(home.folder), "environment": environment, "certificates": certificate_values(made)}
    if not output.as_json:
        click.echo(f"PKI of environment {environment} in {home.folder}")
    output.table(values, *certificate_rows(made))
