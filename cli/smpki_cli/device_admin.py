"""``smpki device-admin``."""

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from smpki_cli.common import Output, command
from smpki_cli.keys import OUT_FILE, SIGNER, Keys, now_for, with_keys
from smpki_cli.policy import policy_of
from smpki_cli.web_service import Caller, show_brought, start_provider, with_web_service

if TYPE_CHECKING:
    from smpki.ca.home import Home


@command("device-admin", first=start_provider)
@click.argument("gateways", metavar="CN...", nargs=-1)
@click.option(
    "--list",
    "listed",
    type=click.File(errors="replace"),
    help="A file with the CN of a gateway a line; - reads the input.",
)
@click.option("--to", "new_admin", required=True, metavar="ORG.GWA", help="CN of the new administrator.")
@SIGNER
@OUT_FILE
@with_keys(signer=True)
@with_web_service("--send")
def device_admin_command(
    home: "Home",
    output: Output,
    keys: Keys,
    caller: Caller,
    gateways: tuple[str, ...],
    listed: TextIO | None,
    new_admin: str,
    signer: Path,
    out: Path,
) -> None:
    """Make a signed notice that gateways get another administrator (UpdateDeviceAdmin), as the one now in charge.

    CN is a gateway's, such as EABC0012345678.SMGW.
    """
    from smpki.participant.acts import device_admin
    from smpki.participant.packages import write_output

    named = [*gateways, *(line.strip() for line in listed or () if line.strip())]
    administrator = keys.signer(signer)
    now = now_for(administrator.certificate, policy_of(home, None))
    request = device_admin(named, new_admin, administrator, now)
    write_output(out, request)
    show_brought(output, caller, out, signer, lambda service: service.update_device_admin(request))
