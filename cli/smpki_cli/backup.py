"""``smpki backup`` and ``smpki restore``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home

_FILE = click.Path(dir_okay=False, path_type=Path)


@command("backup")
@click.argument("file", type=_FILE)
@click.option("--with-audit-key", is_flag=True, help="The audit key goes along: keep the file as you keep that key.")
def backup_command(home: "Home", output: Output, file: Path, with_audit_key: bool) -> None:
    """Write a backup: the database as it is now, settings and policy; the PKI may work meanwhile.

    Neither the token's keys nor PINs are in it, nor by default audit.key: docs/backup.md says how these are kept.
    """
    from smpki import __version__
    from smpki.ca.backup import back_up

    clock, _ = surroundings().clock(home.settings())
    manifest = back_up(home, file, now=clock(), program=__version__, with_key=with_audit_key)
    rows = manifest.rows
    text = f"{file}: {rows['certificate']} certificates, {rows['audit']} audit entries, audit head {manifest.head}"
    output.show({"file": str(file), **manifest.model_dump(mode="json")}, text)


@command("restore")
@click.argument("file", type=_FILE)
@click.option("--database", metavar="URL", help="An empty database. Default: that of the home's settings, or SQLite.")
@click.option(
    "--accept",
    multiple=True,
    type=click.Choice(["older", "findings"]),
    help="Go on though transactions are lost, or the audit chain does not hold; the audit notes it.",
)
@click.option("--check", is_flag=True, help="Only see whether the file is whole.")
def restore_command(
    home: "Home", output: Output, file: Path, database: str | None, accept: tuple[str, ...], check: bool
) -> None:
    """Restore a backup in a home that has no PKI, or the database of a home that lost it; nothing is overwritten.

    The home needs the PKI's audit.key, unless the backup has it. docs/backup.md says what else to do.
    """
    from smpki.ca.backup import Place, check_backup, restore

    if check:
        manifest = check_backup(file, home)
        text = f"{file} is whole: made at {manifest.made_at:%Y-%m-%d %H:%M} UTC, audit head {manifest.head}"
        output.show({"file": str(file), **manifest.model_dump(mode="json")}, text)
        return
    manifest, restored = restore(file, Place(home, database), clock=surroundings().clock, accept=accept)
    lines = [f"{sum(restored.rows.values())} rows of {len(restored.rows)} tables are restored in {home.folder}"]
    lines += [f"{restored.lost} transactions that came after the backup are lost"] if restored.lost else []
    lines += (
        [f"{len(restored.abandoned)} certificates that were being issued are given up"] if restored.abandoned else []
    )
    lines += [f"{one.where}: {one.message} [{one.code}]" for one in restored.findings]
    lines.append("next: put the token back, then smpki audit verify")
    value = {
        "made_at": manifest.made_at.isoformat(),
        "rows": dict(restored.rows),
        "head": restored.head.counter,
        "lost": restored.lost,
        "abandoned": list(restored.abandoned),
        "findings": [one.code for one in restored.findings],
    }
    output.show(value, "\n".join(lines))
