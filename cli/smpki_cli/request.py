"""``smpki request``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, read_file
from smpki_cli.keys import OUT_FILE, SIGNER, Keys, now_for, now_in, with_keys
from smpki_cli.policy import policy_of
from smpki_cli.roles import ROLES

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.policy.model import EnvironmentName

_OUT = click.Path(file_okay=False, path_type=Path)
_POLICY = click.option(
    "--policy", "policy_file", type=click.Path(path_type=Path), help="Default: the home's, or the one that comes along."
)


@click.group("request")
def request_command() -> None:
    """Make request packages, as a participant does."""


@command("new")
@click.option("--cn", required=True, help="ORG.EMT[.EXT], ORG.GWA[.EXT], ORG.GWH[.EXT] or DEVICEID.SMGW.")
@click.option("--role", type=click.Choice(ROLES), help="Default: what the CN says.")
@click.option("--environment", type=click.Choice(["test", "production"]), default="test", show_default=True)
@click.option("--ou", help="EMT: 13-digit market partner id. SMGW: manufacturer (-g) or CN of the administrator (-w).")
@click.option("--country", default="DE", show_default=True)
@click.option("--email", help="Contact (not for gateways).")
@click.option("--uri", help="Contact (not for gateways).")
@click.option("--dns", multiple=True, help="Host for the TLS certificate; the URI's host by default.")
@click.option("--out", required=True, type=_OUT, help="Folder for keys and package.")
@_POLICY
@with_keys(new=True)
def new_command(
    home: "Home",
    output: Output,
    keys: Keys,
    cn: str,
    role: str | None,
    environment: "EnvironmentName",
    ou: str | None,
    country: str,
    email: str | None,
    uri: str | None,
    dns: tuple[str, ...],
    out: Path,
    policy_file: Path | None,
) -> None:
    """Make three keys and an initial request package: OUT/tls.key, sig.key, enc.key and request.der."""
    from smpki.participant.new_request import Wanted, write_new_request
    from smpki.policy.model import CertificateType

    wanted = Wanted(cn, CertificateType(role) if role else None, ou, country, email, uri, dns)
    today = now_in(environment).date()
    place = keys.place(out, f"{cn} {today}")
    _show(output, write_new_request(wanted, policy_of(home, policy_file), environment, out, place, today))


@command("renew")
@click.argument("previous", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=_OUT, help="Folder for keys and package.")
@_POLICY
@with_keys(new=True, signer=True)
def renew_command(
    home: "Home", output: Output, keys: Keys, previous: Path, out: Path, policy_file: Path | None
) -> None:
    """Make three new keys and a renewal package (Folgeantrag), signed with the previous SIG key.

    PREVIOUS is the folder of the triple, with sig.pem and, in files, sig.key; or its SIG certificate.
    """
    from smpki.participant.renewal import names_of, write_renewal
    from smpki.participant.signers import tls_certificate
    from smpki.policy.names import DistinguishedName

    policy = policy_of(home, policy_file)
    signer = keys.signer(previous)
    now = now_for(signer.certificate, policy)
    names = names_of(signer.certificate, tls_certificate(previous))
    holder = DistinguishedName.from_x509(signer.certificate.subject).common_name
    _show(output, write_renewal(signer, names, policy, out, keys.place(out, f"{holder} {now.date()}"), now))


@command("authorise")
@click.argument("package", type=click.Path(path_type=Path))
@SIGNER
@OUT_FILE
@with_keys(signer=True)
def authorise_command(home: "Home", output: Output, keys: Keys, package: Path, signer: Path, out: Path) -> None:
    """Authorise a gateway's initial or renewal package, as its manufacturer (GWH) or administrator (GWA)."""
    from smpki.participant.acts import authorise
    from smpki.participant.packages import write_output
    from smpki.requests.read import MAX_SIZE

    authority = keys.signer(signer)
    now = now_for(authority.certificate, policy_of(home, None))
    write_output(out, authorise(read_file(package, MAX_SIZE + 1), authority, now))
    _show(output, (str(out),))


def _show(output: Output, made: tuple[str, ...]) -> None:
    output.show({"files": list(made)}, "\n".join(made))


for each in (new_command, renew_command, authorise_command):
    request_command.add_command(each)
