"""``smpki gateway telegram``."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki.errors import GatewayError
from smpki_cli.common import Output, command, rfc3339

if TYPE_CHECKING:
    from smpki.ca.home import Home

_FILE = click.Path(dir_okay=False, path_type=Path)


@command("telegram")
@click.argument("meter", metavar="ID")
@click.argument("registers", metavar="OBIS=VALUE...", nargs=-1, required=True)
@click.option("--unit", type=click.IntRange(0, 255), default=30, show_default=True, help="COSEM unit; 30 is Wh.")
@click.option("--scaler", type=click.IntRange(-128, 127), default=0, show_default=True, help="Power of ten of VALUE.")
@click.option("--at", callback=rfc3339, metavar="TIME", help="When it was measured (RFC 3339). Default: left out.")
@click.option("--out", required=True, type=_FILE, help="Append the telegram to this file.")
def telegram_command(
    home: "Home",
    output: Output,
    meter: str,
    registers: tuple[str, ...],
    unit: int,
    scaler: int,
    at: datetime | None,
    out: Path,
) -> None:
    """Stand in for the meter with this device ID (such as 1ABC0012345678): append an SML telegram to a file.

    A gateway whose meter source is that file reads it. VALUE is an integer, before scaling: 1-0:1.8.0=1234.
    """
    from smpki.gateway.readings import Obis
    from smpki.gateway.sml_telegram import Register, telegram
    from smpki.policy.device_id import DeviceId

    listed = []
    for text in registers:
        obis, _, value = text.partition("=")
        listed.append(Register(Obis.parse(obis), _integer(value, text), scaler, unit, measured_at=at))
    octets = telegram(DeviceId.parse(meter), listed)
    try:
        with out.open("ab") as stream:
            stream.write(octets)
    except OSError as error:
        message = f"can't be written: {error.strerror}"
        raise GatewayError("file.unwritable", message, where=str(out), hint="check the path") from None
    output.show({"file": str(out), "octets": len(octets)}, f"{len(octets)} octets to {out}")


def _integer(value: str, text: str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = None
    if number is None or not -(2**63) <= number < 2**64:
        message = f"{text!r} has no integer of at most 64 bits behind the equals sign"
        raise click.BadParameter(message, param_hint="OBIS=VALUE")
    return number
