"""``smpki list`` and ``smpki show``."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, surroundings
from smpki_cli.standing import revocation_value, revocation_words

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.ca.store.records import ListedCertificate

Columns = Sequence[str]
Rows = Iterable[Sequence[str]]


def certificate_values(certificates: "Iterable[ListedCertificate]") -> list[dict[str, object]]:
    """Certificates as JSON values."""
    return [
        {
            "serial": certificate.serial,
            "kind": certificate.kind,
            "purpose": certificate.purpose,
            "subject_cn": certificate.subject_cn,
            "number": certificate.dn_serial,
            "not_before": certificate.not_before.isoformat(),
            "not_after": certificate.not_after.isoformat(),
            "issuer_serial": certificate.issuer_serial,
            "generation": certificate.generation,
        }
        for certificate in certificates
    ]


def certificate_rows(certificates: "Iterable[ListedCertificate]") -> tuple[Columns, Rows]:
    """Certificates as a table: the columns, and the rows."""
    columns = ("type", "", "common name", "number", "valid to", "serial")
    rows = (
        (
            certificate.kind,
            certificate.purpose,
            certificate.subject_cn,
            "" if certificate.dn_serial is None else str(certificate.dn_serial),
            f"{certificate.not_after:%Y-%m-%d}",
            certificate.serial,
        )
        for certificate in certificates
    )
    return columns, rows


@command("list")
@click.option("--kind", help="One certificate type only, such as emt or sub-ca.")
@click.option("--purpose", type=click.Choice(["ca", "crl", "tls", "sig", "enc"]))
@click.option("--cn", help="One subject only.")
@click.option("--after", metavar="SERIAL", help="Go on behind this serial.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
def list_command(
    home: "Home",
    output: Output,
    kind: str | None,
    purpose: str | None,
    cn: str | None,
    after: str | None,
    limit: int,
) -> None:
    """List certificates in the order in which they were issued, a page at a time."""
    from smpki.ca.opening import open_store

    with open_store(home, surroundings()) as store:
        page = store.page(after=after, limit=limit, kind=kind, purpose=purpose, cn=cn)
        revoked = store.revocations.among([one.serial for one in page.certificates])
    found = [revoked.get(one.serial) for one in page.certificates]
    values = [
        {**value, "revocation": revocation_value(one)}
        for value, one in zip(certificate_values(page.certificates), found, strict=True)
    ]
    columns, rows = certificate_rows(page.certificates)
    with_state = ((*row, revocation_words(one)) for row, one in zip(rows, found, strict=True))
    output.table({"certificates": values, "next": page.next}, (*columns, "state"), with_state)
    if page.next and not output.as_json:
        click.echo(f"more: --after {page.next}", err=True)


@command("show")
@click.argument("serial")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Write the certificate and its chain here."
)
def show_command(home: "Home", output: Output, serial: str, out: Path | None) -> None:
    """Show the certificate with this serial number (hexadecimal; the first digits are enough)."""
    from smpki.ca.chain import chain_above
    from smpki.ca.opening import open_store
    from smpki.ca.output import triple_files, write_files
    from smpki.requests.explain import explain

    with open_store(home, surroundings()) as store:
        found = store.find(serial)
        revocation = store.revocations.among([found.serial]).get(found.serial)
        chain = chain_above(store, found)
    explanation = explain(found.der, home.policy())
    if out is not None:
        write_files(out, triple_files([found], chain))
    (value,) = certificate_values([found])
    values = {
        "certificate": {**value, "revocation": revocation_value(revocation)},
        "explanation": explanation.as_dict(),
    }
    lines = [revocation_words(revocation).upper()] if revocation else []
    output.show(values, "\n".join([*lines, explanation.text()]))
