"""``smpki verify``."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, printable, read_file, rfc3339, surroundings

if TYPE_CHECKING:
    from cryptography import x509

    from smpki.ca.home import Home
    from smpki.trust.question import Verdict

_FILE = click.Path(dir_okay=False, path_type=Path)
_CAS = ("root", "link", "crl-signer", "tls-signer", "sub-ca")
_ROLES = (*_CAS, "root-tls", "sub-ca-tls-root", "sub-ca-tls", "emt", "gwa", "gwh", "smgw-g", "smgw-w")


@command("verify")
@click.argument("certificates", metavar="CERT...", nargs=-1, required=True, type=_FILE)
@click.option("--role", type=click.Choice(_ROLES), help="The certificate type that the holder must have.")
@click.option("--use", type=click.Choice(["tls", "sig", "enc"]), help="What the key must be for.")
@click.option("--at", callback=rfc3339, metavar="TIME", help="The moment in question (RFC 3339); now by default.")
@click.option("--crl", "crls", metavar="FILE", multiple=True, type=_FILE, help="A revocation list.")
@click.option("--untrusted", metavar="FILE", multiple=True, type=_FILE, help="CAs, links, CRL signers for the chain.")
@click.option("--trust", metavar="ROOT", multiple=True, type=_FILE, help="A trusted root, instead of this PKI's own.")
@click.option(
    "--revocation",
    type=click.Choice(["required", "if-known", "ignored"]),
    default="required",
    show_default=True,
    help="Whether every certificate needs a current CRL; what a CRL lists is never valid, unless they are ignored.",
)
def verify_command(
    home: "Home",
    output: Output,
    certificates: tuple[Path, ...],
    role: str | None,
    use: str | None,
    at: datetime | None,
    crls: tuple[Path, ...],
    untrusted: tuple[Path, ...],
    trust: tuple[Path, ...],
    revocation: str,
) -> None:
    """Does the chain of each CERT hold? Ends with 0 when all do, with 1 when one does not.

    Files hold PEM (several in a row, in any order) or DER. Every certificate of every CERT is asked about, and may
    stand in the others' chains. Without --trust the roots of this PKI are trusted, and its CAs are at hand.
    """
    from smpki.policy.model import CertificateType
    from smpki.trust.files import read_certificates, read_crls
    from smpki.trust.question import Question, Revocation
    from smpki.trust.validate import validate

    asked = [one for path in certificates for one in read_certificates(read_file(path), str(path))]
    helpers = [one for path in untrusted for one in read_certificates(read_file(path), str(path))]
    roots = [one for path in trust for one in read_certificates(read_file(path), str(path))]
    lists = tuple(one for path in crls for one in read_crls(read_file(path), str(path)))
    if not trust:
        roots, own = own_authorities(home)
        helpers += own
    moment = at or now_of(home)
    verdicts = [
        validate(
            Question(
                certificate=one,
                roots=tuple(roots),
                at=moment,
                untrusted=(*helpers, *asked),
                crls=lists,
                role=CertificateType(role) if role else None,
                use=use,  # type: ignore[arg-type]
                revocation=Revocation(revocation),
            )
        )
        for one in asked
    ]
    valid = all(verdict.valid for verdict in verdicts)
    values = [_as_dict(one, verdict) for one, verdict in zip(asked, verdicts, strict=True)]
    text = "\n".join(_as_text(one, verdict) for one, verdict in zip(asked, verdicts, strict=True))
    output.show({"valid": valid, "at": moment.isoformat(), "certificates": values}, text)
    click.get_current_context().exit(0 if valid else 1)


def own_authorities(home: "Home") -> "tuple[list[x509.Certificate], list[x509.Certificate]]":
    """The PKI's roots, and all its CAs."""
    from cryptography import x509

    from smpki.ca.opening import open_store

    with open_store(home, surroundings()) as store:
        found = [(one.kind, x509.load_der_x509_certificate(one.der)) for one in store.of_kinds(_CAS)]
    return [certificate for kind, certificate in found if kind == "root"], [certificate for _, certificate in found]


def now_of(home: "Home") -> datetime:
    """The PKI's clock; where there is no PKI, SMPKI_CLOCK does not hold."""
    from smpki.ca.home import Settings

    settings = home.settings() if home.settings_file.exists() else Settings(environment="production")
    clock, _ = surroundings().clock(settings)
    return clock()


def _as_dict(certificate: "x509.Certificate", verdict: "Verdict") -> dict[str, object]:
    return {
        **_name(certificate),
        "valid": verdict.valid,
        "chain": [_name(one) for one in verdict.chain],
        "reasons": [one.as_dict() for one in verdict.reasons],
    }


def _as_text(certificate: "x509.Certificate", verdict: "Verdict") -> str:
    lines = [f"{'valid' if verdict.valid else 'NOT VALID'}: {_title(certificate)}"]
    lines += [f"  {'       ' if place else 'chain: '}{_title(one)}" for place, one in enumerate(verdict.chain)]
    lines += [f"  because {one}" for one in verdict.reasons]
    return printable("\n".join(lines))


def _title(certificate: "x509.Certificate") -> str:
    return "{subject}, serial {serial}".format_map(_name(certificate))


def _name(certificate: "x509.Certificate") -> dict[str, str]:
    from smpki.trust.question import name_text

    try:
        subject = name_text(certificate.subject)
    except ValueError:  # pyca reads names late
        subject = "a name that can't be read"
    return {"subject": subject, "serial": f"{certificate.serial_number:x}"}
