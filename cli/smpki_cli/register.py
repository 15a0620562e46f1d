"""``smpki register`` and ``smpki registry``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.certificates import certificate_rows, certificate_values
from smpki_cli.common import Output, command, read_file, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.service.web.store.registry import Registration

_URL = click.option("--callback-url", metavar="URL", help="Where its web service takes results, https.")


@command("register")
@click.argument("package", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--organisation", required=True, help="The name before its role in the CN.")
@click.option("--id", "partner_id", help="Market partner id: the OU of its names.")
@click.option("--role", required=True, type=click.Choice(["emt", "gwa", "gwh"]))
@click.option("--contact", required=True, metavar="MAIL", help="For people.")
@_URL
@click.option("--sub-ca", required=True, metavar="ORG.CA", help="The Sub-CA that issues.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the certificates.")
def register_command(
    home: "Home",
    output: Output,
    package: Path,
    organisation: str,
    partner_id: str | None,
    role: str,
    contact: str,
    callback_url: str | None,
    sub_ca: str,
    out: Path | None,
) -> None:
    """Register a participant whose first package came out of band, and issue its certificates.

    From then on it uses the web service, with the TLS certificate that it gets here. The same once more changes
    nothing.
    """
    from smpki.ca.chain import chain_above
    from smpki.ca.opening import open_pki
    from smpki.ca.output import triple_files, write_files
    from smpki.policy.model import CertificateType
    from smpki.requests.read import MAX_SIZE
    from smpki.service.web.registering import Applicant, RegistrationDesk

    data = read_file(package, MAX_SIZE + 1)
    applicant = Applicant(organisation, CertificateType(role), partner_id, contact, callback_url)
    with open_pki(home, surroundings(), "register") as pki:
        registration, certificates = RegistrationDesk(pki).register(applicant, data, sub_ca, str(package))
        if out is not None:
            write_files(out, triple_files(certificates, chain_above(pki.store, certificates[0])))
    values = {"registration": _value(registration), "certificates": certificate_values(certificates)}
    output.table(values, *certificate_rows(certificates))


@click.group("registry")
def registry_command() -> None:
    """Who is registered, and for what."""


@command("list")
def list_command(home: "Home", output: Output) -> None:
    """List who is registered."""
    from smpki.ca.opening import open_store
    from smpki.service.web.store.registry import Registry

    with open_store(home, surroundings()) as store:
        _show(output, *store.beside(Registry).all())


@command("change")
@click.argument("common_name", metavar="CN")
@click.option("--contact", metavar="MAIL", help="For people.")
@click.option("--callback-url", metavar="URL", help="Where its web service takes results, https; empty: nowhere.")
@click.option("--blocked/--admitted", default=None, help="Whether what it asks for is refused.")
def change_command(
    home: "Home", output: Output, common_name: str, contact: str | None, callback_url: str | None, blocked: bool | None
) -> None:
    """Change what is registered of a participant."""
    from smpki.ca.opening import open_pki
    from smpki.service.web.registering import RegistrationDesk

    with open_pki(home, surroundings(), "register") as pki:
        desk = RegistrationDesk(pki)
        _show(output, desk.change(common_name, contact=contact, callback_url=callback_url, blocked=blocked))


@command("add-sub-ca")
@click.argument("common_name", metavar="ORG.CA")
@click.option("--contact", required=True, metavar="MAIL", help="For people.")
@_URL
def add_sub_ca_command(home: "Home", output: Output, common_name: str, contact: str, callback_url: str | None) -> None:
    """Register a Sub-CA that was certified here and runs elsewhere, as a client of the root."""
    from smpki.ca.opening import open_pki
    from smpki.service.web.registering import RegistrationDesk

    with open_pki(home, surroundings(), "register") as pki:
        _show(output, RegistrationDesk(pki).register_sub_ca(common_name, contact, callback_url))


def _show(output: Output, *found: "Registration") -> None:
    rows = (
        (
            one.subject_cn,
            one.role,
            one.partner_id or "",
            one.contact,
            one.callback_url or "",
            "blocked" if one.blocked else f"since {one.registered_at:%Y-%m-%d}",
        )
        for one in found
    )
    values = {"registrations": [_value(one) for one in found]}
    output.table(values, ("common name", "role", "id", "contact", "callbacks to", ""), rows)


def _value(one: "Registration") -> dict[str, object]:
    return {
        "common_name": one.subject_cn,
        "role": one.role,
        "organisation": one.organisation,
        "id": one.partner_id,
        "contact": one.contact,
        "callback_url": one.callback_url,
        "blocked": one.blocked,
        "registered_at": one.registered_at.isoformat(),
    }


for each in (list_command, change_command, add_sub_ca_command):
    registry_command.add_command(each)
