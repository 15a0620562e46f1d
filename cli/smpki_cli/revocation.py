"""``smpki revoke``, ``smpki suspend``, ``smpki resume`` and ``smpki settle-suspensions``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smpki_cli.common import Output, command, read_file, surroundings
from smpki_cli.standing import revocation_value, revocation_words

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.ca.revocation import TakenBack, Which

_MAX_CERTIFICATE = 64 * 1024


def taken_back_values(taken_back: "Sequence[TakenBack]") -> list[object]:
    """Certificates and how they stand now, as JSON values."""
    return [
        {
            "serial": one.certificate.serial,
            "kind": one.certificate.kind,
            "purpose": one.certificate.purpose,
            "subject_cn": one.certificate.subject_cn,
            "number": one.certificate.dn_serial,
            "revocation": revocation_value(one.revocation),
        }
        for one in taken_back
    ]


def taken_back_rows(taken_back: "Sequence[TakenBack]") -> tuple[Sequence[str], list[Sequence[str]]]:
    """The same as a table: the columns, and the rows."""
    columns = ("type", "", "common name", "number", "state", "serial")
    rows: list[Sequence[str]] = [
        (
            one.certificate.kind,
            one.certificate.purpose,
            one.certificate.subject_cn,
            "" if one.certificate.dn_serial is None else str(one.certificate.dn_serial),
            revocation_words(one.revocation) or "in force",
            one.certificate.serial,
        )
        for one in taken_back
    ]
    return columns, rows


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which certificates, and on whose behalf."""
    for option in (
        click.option("--requested-by", metavar="WHO", help="On whose behalf, for the audit."),
        click.option("--triple/--no-triple", default=None, help="The rest of its triple too. Default: the policy's."),
        click.option("--cert", "files", multiple=True, type=click.Path(path_type=Path), help="A certificate's file."),
        click.option("--serial", "serials", multiple=True, help="A serial number, hexadecimal; the first digits do."),
    ):
        function = option(function)
    return function


def _only_reason(*spellings: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A --reason that may be given, and says nothing new."""
    choice = click.Choice(spellings, case_sensitive=False)
    return click.option("--reason", type=choice, expose_value=False, help="There is but this one.")


def _take_back(
    home: "Home", output: Output, action: str, serials: Sequence[str], files: Sequence[Path], **how: Any
) -> None:
    from smpki.ca.opening import open_pki

    if not serials and not files:
        raise click.UsageError("name a certificate: --serial or --cert")
    which: list[Which] = [*serials, *(read_file(file, _MAX_CERTIFICATE) for file in files)]
    with open_pki(home, surroundings(), action) as pki:
        taken_back = getattr(pki.revocations, action)(which, **how)
    output.table({"certificates": taken_back_values(taken_back)}, *taken_back_rows(taken_back))
    if not output.as_json:
        click.echo("the next CRL shows it: smpki crl issue", err=True)


@command("revoke")
@_options
@click.option("--reason", required=True, help="Such as key-compromise, superseded or cessation-of-operation.")
def revoke_command(home: "Home", output: Output, **options: Any) -> None:
    """Revoke certificates for good (Sperrung)."""
    _take_back(home, output, "revoke", **options)


@command("suspend")
@_options
@_only_reason("certificate-hold", "certificate_hold", "certificateHold", "6")
def suspend_command(home: "Home", output: Output, **options: Any) -> None:
    """Suspend a gateway's certificates (Suspendierung), for the longest time that the policy gives."""
    _take_back(home, output, "suspend", **options)


@command("resume")
@_options
@_only_reason("remove-from-crl", "remove_from_crl", "removeFromCRL", "8")
def resume_command(home: "Home", output: Output, **options: Any) -> None:
    """End a suspension: the certificates are in force again."""
    _take_back(home, output, "resume", **options)


@command("settle-suspensions")
def settle_suspensions_command(home: "Home", output: Output) -> None:
    """Revoke or resume, as the policy says, what was suspended for the longest time; for a timer to run.

    ``smpki crl issue --due`` does it too.
    """
    from smpki.ca.opening import open_pki

    with open_pki(home, surroundings(), "settle-suspensions") as pki:
        settled = pki.revocations.settle()
    output.table({"certificates": taken_back_values(settled)}, *taken_back_rows(settled))
