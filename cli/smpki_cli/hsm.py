"""``smpki hsm``."""

from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home


@click.group("hsm")
def hsm_command() -> None:
    """The token."""


@command("info")
def info_command(home: "Home", output: Output) -> None:
    """Show the token and the keys in it."""
    from smpki.ca.opening import open_token

    with open_token(home, surroundings()) as token:
        info, keys = token.info(), token.keys()
    values = {
        "label": info.label,
        "manufacturer": info.manufacturer,
        "model": info.model,
        "serial": info.serial,
        "module": str(info.module),
        "through_p11_kit": info.via_proxy,
        "library_version": info.library_version,
        "mechanisms": dict(info.mechanisms),
        "keys": [
            {"label": key.label, "id": key.key_id.hex(), "curve": key.curve, "use": str(key.use.name)} for key in keys
        ],
    }
    if not output.as_json:
        click.echo(f"token {info.label} ({info.manufacturer} {info.model}, serial {info.serial})")
        click.echo(f"module {info.module}{', p11-kit' if info.via_proxy else ''}, version {info.library_version}")
        missing = [name for name, offered in info.mechanisms.items() if not offered]
        click.echo(f"lacks: {', '.join(missing)}" if missing else "offers all mechanisms that are needed")
    rows = ((key.label, key.curve, str(key.use.name).lower(), key.key_id.hex()) for key in keys)
    output.table(values, ("key", "curve", "use", "id"), rows)


hsm_command.add_command(info_command)
