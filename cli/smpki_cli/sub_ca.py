"""``smpki issue-sub-ca``."""

from typing import TYPE_CHECKING

import click

from smpki_cli.certificates import certificate_rows, certificate_values
from smpki_cli.common import Output, command, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home


@command("issue-sub-ca")
@click.option("--name", "organisation", required=True, metavar="ORG", help="Organisation: the CN becomes ORG.CA.")
@click.option("--country", default="DE", show_default=True)
@click.option("--email", help="Contact; in a test PKI one below .example by default.")
@click.option("--uri", help="Contact, also the CPS of its certificates; likewise.")
@click.option("--generation", help="Generation of its key, such as 2015. Default: what the policy says today.")
def issue_sub_ca_command(
    home: "Home",
    output: Output,
    organisation: str,
    country: str,
    email: str | None,
    uri: str | None,
    generation: str | None,
) -> None:
    """Make the Sub-CA ORG.CA with its key in the token, and its two TLS certificates."""
    from smpki.ca.opening import open_pki
    from smpki.ca.sub_cas import SubCaOrder

    with open_pki(home, surroundings(), "issue-sub-ca") as pki:
        made = pki.create_sub_ca(SubCaOrder(organisation, country, email, uri, generation))
    output.table({"certificates": certificate_values(made)}, *certificate_rows(made))
