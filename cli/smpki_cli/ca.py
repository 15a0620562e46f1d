"""``smpki ca``."""

from typing import TYPE_CHECKING

import click

from smpki_cli.certificates import certificate_values
from smpki_cli.common import Output, command, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home


@click.group("ca")
def ca_command() -> None:
    """The CAs of this PKI."""


@command("list")
def list_command(home: "Home", output: Output) -> None:
    """List the CAs: until when their keys sign, until when their certificates are valid."""
    from smpki.ca.opening import open_store

    with open_store(home, surroundings()) as store:
        found = sorted(store.authorities(), key=lambda one: (one.not_before, one.subject_cn, one.serial))
    values = [
        {**value, "key_use_end": one.key_use_end.isoformat() if one.key_use_end else None}
        for one, value in zip(found, certificate_values(found), strict=True)
        if isinstance(value, dict)
    ]
    rows = (
        (
            one.kind,
            one.subject_cn,
            "" if one.dn_serial is None else str(one.dn_serial),
            one.generation or "",
            f"{one.key_use_end:%Y-%m-%d}" if one.key_use_end else "",
            f"{one.not_after:%Y-%m-%d}",
            one.serial,
        )
        for one in found
    )
    columns = ("type", "common name", "number", "generation", "key signs to", "valid to", "serial")
    output.table({"authorities": values}, columns, rows)


ca_command.add_command(list_command)
