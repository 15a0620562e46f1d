"""``smpki ca``."""

from typing import TYPE_CHECKING

import click

from smpki_cli.certificates import certificate_values
from smpki_cli.common import Output, command, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home

_DIGITS = 8  # of a serial number; smpki show takes as few


@click.group("ca")
def ca_command() -> None:
    """The CAs of this PKI."""


@command("list")
def list_command(home: "Home", output: Output) -> None:
    """List the CAs: until when their keys sign and their certificates are valid, and what to do next."""
    from smpki.ca.duties import duties
    from smpki.ca.opening import open_store

    around = surroundings()
    now = around.clock(home.settings())[0]()
    with open_store(home, around) as store:
        found = duties(home.policy(), store, now)
    certificates = [duty.certificate for duty in found]
    values = [
        {
            **value,
            "key_here": one.token_key_id is not None,
            "key_use_end": one.key_use_end.isoformat() if one.key_use_end else None,
            "state": duty.state.value,
            "by": duty.by.isoformat() if duty.by else None,
            "todo": duty.todo,
        }
        for duty, one, value in zip(found, certificates, certificate_values(certificates), strict=True)
    ]
    rows = (
        (
            one.kind,
            one.subject_cn,
            "" if one.dn_serial is None else str(one.dn_serial),
            one.generation or "",
            f"{one.key_use_end:%Y-%m-%d}" if one.key_use_end else "",
            f"{one.not_after:%Y-%m-%d}",
            one.serial[:_DIGITS],
            duty.todo,
        )
        for duty, one in zip(found, certificates, strict=True)
    )
    columns = ("type", "common name", "number", "generation", "key signs to", "valid to", "serial", "next")
    output.table({"authorities": values}, columns, rows)


ca_command.add_command(list_command)
