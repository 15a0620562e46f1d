"""``smpki process``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, read_file, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home


@command("process")
@click.argument("file", type=click.Path(path_type=Path))
def process_command(home: "Home", output: Output, file: Path) -> None:
    """Act on a signed revocation request or UpdateDeviceAdmin, when its sender is entitled to it."""
    from smpki.ca.opening import open_pki

    data = read_file(file)
    with open_pki(home, surroundings(), "process") as pki:
        done = pki.process(data, str(file))
    taken_back = [
        {
            "serial": one.certificate.serial,
            "subject_cn": one.certificate.subject_cn,
            "purpose": one.certificate.purpose,
            "state": one.revocation.reason if one.revocation else "in force",
        }
        for one in done.taken_back
    ]
    values = {
        "sender": done.sender,
        "known": done.known,
        "taken_back": taken_back,
        "handed_over": list(done.handed_over),
        "new_admin": done.new_admin,
    }
    if done.known and not output.as_json:
        click.echo(f"this request of {done.sender} was acted upon before: nothing is done again")
    if done.handed_over and not output.as_json:
        click.echo(f"{', '.join(done.handed_over)}: in the charge of {done.new_admin} from now on")
    if taken_back or output.as_json:
        rows = ((one["subject_cn"], one["purpose"], one["state"], one["serial"]) for one in taken_back)
        output.table(values, ("common name", "", "state", "serial"), rows)
