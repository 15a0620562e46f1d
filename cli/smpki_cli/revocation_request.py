"""``smpki revocation-request``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command
from smpki_cli.keys import OUT_FILE, SIGNER, Keys, now_for, with_keys
from smpki_cli.policy import policy_of
from smpki_cli.web_service import Caller, show_brought, start_provider, with_web_service

if TYPE_CHECKING:
    from smpki.ca.home import Home


@command("revocation-request", first=start_provider)
@click.argument("certificates", metavar="CERT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--reason",
    required=True,
    help="Such as key-compromise or superseded; certificate-hold suspends, remove-from-crl ends a suspension.",
)
@SIGNER
@OUT_FILE
@with_keys(signer=True)
@with_web_service("--send")
def revocation_request_command(
    home: "Home",
    output: Output,
    keys: Keys,
    caller: Caller,
    certificates: tuple[Path, ...],
    reason: str,
    signer: Path,
    out: Path,
) -> None:
    """Make a signed request to revoke, suspend or resume certificates (Sperrantrag).

    CERT is a file with certificates, or the folder of a triple.
    """
    from smpki.participant.acts import revocation_request
    from smpki.participant.packages import write_output
    from smpki.participant.signers import triple_certificates
    from smpki.policy.reasons import read_reason

    named = [one for place in certificates for one in triple_certificates(place)]
    asking = keys.signer(signer)
    now = now_for(asking.certificate, policy_of(home, None))
    request = revocation_request(named, read_reason(reason), asking, now)
    write_output(out, request)
    show_brought(output, caller, out, signer, lambda service: service.revoke(request))
