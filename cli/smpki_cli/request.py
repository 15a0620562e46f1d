"""``smpki request``."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, read_file
from smpki_cli.keys import OUT_FILE, SIGNER, Keys, now_for, now_in, with_keys
from smpki_cli.policy import policy_of
from smpki_cli.roles import ROLES
from smpki_cli.web_service import PENDING, Caller, pending_folder, start_provider, with_web_service

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from smpki.ca.home import Home
    from smpki.policy.model import EnvironmentName

_OUT = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_POLICY = click.option(
    "--policy", "policy_file", type=click.Path(path_type=Path), help="Default: the home's, or the one that comes along."
)


@click.group("request")
def request_command() -> None:
    """Make request packages, and send them, as a participant does."""


@command("new")
@click.option("--cn", required=True, help="ORG.EMT[.EXT], ORG.GWA[.EXT], ORG.GWH[.EXT] or DEVICEID.SMGW.")
@click.option("--role", type=click.Choice(ROLES), help="Default: what the CN says.")
@click.option("--environment", type=click.Choice(["test", "production"]), default="test", show_default=True)
@click.option("--ou", help="EMT: 13-digit market partner id. SMGW: manufacturer (-g) or CN of the administrator (-w).")
@click.option("--country", default="DE", show_default=True)
@click.option("--email", help="Contact (not for gateways).")
@click.option("--uri", help="Contact (not for gateways).")
@click.option("--dns", multiple=True, help="Host for the TLS certificate; the URI's host by default.")
@click.option("--out", required=True, type=_OUT, help="Folder for keys and package; with --send, for the triple too.")
@_POLICY
@click.option("--send", "portal", metavar="URL", help="Hand it in at this test-certificate service (REST).")
@click.option("--access", type=_FILE, help="File with the token for --send, 0600.")
@click.option("--send-ca", type=_FILE, help="CAs of the service's own TLS certificate. Default: this machine's.")
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
    portal: str | None,
    access: Path | None,
    send_ca: Path | None,
) -> None:
    """Make three keys and an initial request package: OUT/tls.key, sig.key, enc.key and request.der.

    With --send, what OUT has of an earlier call is sent again: so a package that an operator had to approve gets its
    triple.
    """
    from smpki.participant.new_request import Wanted, write_new_request
    from smpki.participant.packages import PACKAGE
    from smpki.policy.model import CertificateType

    if (portal is None) != (access is None):
        raise click.UsageError("--send and --access belong together")
    made: tuple[str, ...] = ()
    now = now_in(environment)
    if portal is None or not (out / PACKAGE).exists():
        wanted = Wanted(cn, CertificateType(role) if role else None, ou, country, email, uri, dns)
        place = keys.place(out, f"{cn} {now.date()}")
        made = write_new_request(wanted, policy_of(home, policy_file), environment, out, place, now.date())
    if portal is None or access is None:
        _show(output, made)
        return
    _hand_in(output, out, made, portal, access, send_ca, lambda: now_in(environment))


def _hand_in(
    output: Output,
    out: Path,
    made: tuple[str, ...],
    url: str,
    access: Path,
    authorities: Path | None,
    now: "Callable[[], datetime]",
) -> None:
    """Send a package to a test-certificate service and show what came of it."""
    from smpki.participant.packages import PACKAGE
    from smpki.participant.password import read_password
    from smpki.participant.portal import Portal
    from smpki.participant.sending import triple_in
    from smpki.requests.read import MAX_SIZE

    token = read_password(access).reveal().decode()

    async def sent() -> str:
        async with Portal(url, token, now, authorities) as portal:
            return await portal.send(read_file(out / PACKAGE, MAX_SIZE + 1), out)

    state = asyncio.run(sent())
    files = [*made, *map(str, triple_in(out))]
    output.show({"state": state, "files": files}, "\n".join([*files, state]))


@command("renew", first=start_provider)
@click.argument("previous", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=_OUT, help="Folder for keys and package; with --send, for the triple too.")
@_POLICY
@PENDING
@with_keys(new=True, signer=True)
@with_web_service("--send")
def renew_command(
    home: "Home",
    output: Output,
    keys: Keys,
    caller: Caller,
    previous: Path,
    out: Path,
    policy_file: Path | None,
    pending: Path | None,
) -> None:
    """Make three new keys and a renewal package (Folgeantrag), signed with the previous SIG key.

    PREVIOUS is the folder of the triple, with sig.pem and, in files, sig.key; or its SIG certificate. With --send, what
    OUT has of an earlier call is sent again.
    """
    from smpki.participant.packages import PACKAGE
    from smpki.participant.renewal import names_of, write_renewal
    from smpki.participant.signers import tls_certificate
    from smpki.policy.names import DistinguishedName

    made: tuple[str, ...] = ()
    if caller.url is None or not (out / PACKAGE).exists():
        policy = policy_of(home, policy_file)
        signer = keys.signer(previous)
        now = now_for(signer.certificate, policy)
        names = names_of(signer.certificate, tls_certificate(previous))
        holder = DistinguishedName.from_x509(signer.certificate.subject).common_name
        made = write_renewal(signer, names, policy, out, keys.place(out, f"{holder} {now.date()}"), now)
    if caller.url is None:
        _show(output, made)
    else:
        _send(output, caller, out / PACKAGE, out, pending, previous, made)


@command("send", first=start_provider)
@click.argument("package", type=_FILE)
@click.option("--out", type=_OUT, help="Folder for the triple. Default: the package's.")
@PENDING
@with_keys()
@with_web_service("--url", own=True)
def send_command(
    home: "Home", output: Output, keys: Keys, caller: Caller, package: Path, out: Path | None, pending: Path | None
) -> None:
    """Send a package to the web service of a Sub-CA, and keep the triple that comes.

    It is checked against the package and the chain beside --as, and written as `smpki issue` does: tls.pem, sig.pem,
    enc.pem, chain.pem. The same package again gets the same triple.
    """
    _send(output, caller, package, out or package.parent, pending)


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


def _send(
    output: Output,
    caller: Caller,
    package: Path,
    out: Path,
    pending: Path | None,
    own: Path | None = None,
    made: tuple[str, ...] = (),
) -> None:
    """Send a package and show what came of it.

    :param own: whose triple is shown where ``--as`` names none
    :param made: what was made before
    """
    from smpki.participant.sending import send_package, triple_in
    from smpki.requests.read import MAX_SIZE

    async def sent() -> str:
        content, access = read_file(package, MAX_SIZE + 1), caller.access(own)
        async with access.open() as service:
            return await send_package(service, content, out, access.ca, pending_folder(pending))

    state = asyncio.run(sent())
    files = [*made, *map(str, triple_in(out))]
    output.show({"state": state, "files": files}, "\n".join([*files, state]))


for each in (new_command, renew_command, authorise_command, send_command):
    request_command.add_command(each)
