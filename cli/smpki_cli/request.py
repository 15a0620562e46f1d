"""``smpki request``."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command
from smpki_cli.roles import ROLES

if TYPE_CHECKING:
    from smpki.ca.home import Home


@click.group("request")
def request_command() -> None:
    """Make request packages, as a participant does."""


@command("new")
@click.option("--cn", required=True, help="ORG.EMT[.EXT], ORG.GWA[.EXT], ORG.GWH[.EXT] or DEVICEID.SMGW.")
@click.option("--role", type=click.Choice(ROLES), help="Default: what the CN says.")
@click.option("--environment", type=click.Choice(["test", "production"]), default="test", show_default=True)
@click.option("--ou", help="EMT: 13-digit market partner id. SMGW: manufacturer (-g) or CN of the administrator (-w).")
@click.option("--country", default="DE", show_default=True)
@click.option("--email", help="Contact (not for gateways).")
@click.option("--uri", help="Contact (not for gateways).")
@click.option("--dns", multiple=True, help="Host for the TLS certificate; the URI's host by default.")
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for keys and package."
)
def new_command(
    home: "Home",
    output: Output,
    cn: str,
    role: str | None,
    environment: str,
    ou: str | None,
    country: str,
    email: str | None,
    uri: str | None,
    dns: tuple[str, ...],
    out: Path,
) -> None:
    """Make three keys and an initial request package: OUT/tls.key, sig.key, enc.key and request.der."""
    from smpki.participant.new_request import Wanted, write_new_request
    from smpki.policy.load import default_policy_text, load_policy
    from smpki.policy.model import CertificateType

    wanted = Wanted(cn, CertificateType(role) if role else None, ou, country, email, uri, dns)
    policy = load_policy(default_policy_text())
    today = datetime.now(UTC).date()
    files = write_new_request(wanted, policy, "production" if environment == "production" else "test", out, today)
    output.show({"files": [str(file) for file in files]}, "\n".join(str(file) for file in files))


request_command.add_command(new_command)
