"""``smpki issue``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.certificates import certificate_rows, certificate_values
from smpki_cli.common import Output, command, read_file, refuse, surroundings
from smpki_cli.roles import ROLES

if TYPE_CHECKING:
    from smpki.ca.home import Home


@command("issue")
@click.argument("packages", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--sub-ca", required=True, metavar="ORG.CA", help="The Sub-CA that issues.")
@click.option("--role", type=click.Choice(ROLES), help="Default: what the subject's CN says.")
@click.option("--again", is_flag=True, help="Issue the next number though the subject has a valid triple.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the certificates.")
@click.pass_context
def issue_command(
    ctx: click.Context,
    home: "Home",
    output: Output,
    packages: tuple[Path, ...],
    sub_ca: str,
    role: str | None,
    again: bool,
    out: Path | None,
) -> None:
    """Issue the TLS, SIG and ENC certificates for request packages; each package is granted whole or not at all."""
    from smpki.ca.chain import chain_above
    from smpki.ca.opening import open_pki
    from smpki.ca.output import triple_files, triple_folder, write_files
    from smpki.ca.triples import Order
    from smpki.policy.model import CertificateType
    from smpki.requests.read import MAX_SIZE

    kind = CertificateType(role) if role else None
    orders = [Order(str(path), read_file(path, MAX_SIZE + 1), kind, again) for path in packages]
    with open_pki(home, surroundings(), "issue") as pki:
        outcomes = pki.issue(orders, sub_ca)
        granted = [outcome for outcome in outcomes if outcome.error is None]
        if out is not None:
            for outcome in granted:
                folder = out if len(orders) == 1 else triple_folder(out, outcome.certificates)
                chain = chain_above(pki.store, outcome.certificates[0])
                write_files(folder, triple_files(outcome.certificates, chain))

    certificates = [certificate for outcome in granted for certificate in outcome.certificates]
    refusals = [outcome for outcome in outcomes if outcome.error is not None]
    if output.as_json and len(orders) == 1 and refusals and refusals[0].error is not None:
        refuse(refusals[0].error, as_json=True)
        ctx.exit(1)
    values = [
        {
            "package": outcome.name,
            "state": outcome.state,
            "certificates": certificate_values(outcome.certificates),
            "error": outcome.error.as_dict() if outcome.error else None,
        }
        for outcome in outcomes
    ]
    if certificates or output.as_json:
        output.table({"packages": values}, *certificate_rows(certificates))
    for outcome in refusals:
        if outcome.error is not None and not output.as_json:
            click.echo(f"{outcome.name}:", err=True)
            refuse(outcome.error, as_json=False)
    if refusals:
        ctx.exit(1)
