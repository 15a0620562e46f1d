"""``smpki cms``: protect contents and open them; no PKI is needed."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, printable, read_file
from smpki_cli.streams import STANDARD, private_file, scratch_file, source_file
from smpki_cli.token_key import KeyChoice, with_key

if TYPE_CHECKING:
    from cryptography import x509

    from smpki.ca.home import Home
    from smpki.gateway.cms import Protection
    from smpki.gateway.content_suite import Suite

_FILE = click.Path(dir_okay=False, path_type=Path)
_IN = click.argument("source", metavar="IN", type=_FILE)
_OUT = click.argument("target", metavar="OUT", type=_FILE)
_MEBIBYTE = 1024 * 1024


@click.group("cms")
def cms_command() -> None:
    """Protect contents for their recipient (Inhaltsdatensicherung), and open what was protected.

    IN and OUT are files; - is standard input or output.
    """


@command("protect")
@_IN
@_OUT
@click.option("--sender-cert", required=True, type=_FILE, help="The sender's SIG certificate.")
@with_key("--sender-key")
@click.option("--recipient", required=True, type=_FILE, metavar="CERT", help="The recipient's ENC certificate.")
@click.option("--suite", type=click.Choice(["gcm", "cbc-cmac"]), default="gcm", show_default=True, help="Of AES.")
@click.option("--compress", is_flag=True, help="Compress before encrypting.")
@click.option(
    "--kdf-info",
    type=click.Choice(["rfc5753", "none"]),
    default="rfc5753",
    show_default=True,
    help="SharedInfo of the key derivation: none for recipients who know no other.",
)
@click.option("--no-cert", is_flag=True, help="Don't enclose the sender's certificate.")
def protect_command(
    home: "Home",
    output: Output,
    key: KeyChoice,
    source: Path,
    target: Path,
    sender_cert: Path,
    recipient: Path,
    suite: str,
    compress: bool,
    kdf_info: str,
    no_cert: bool,
) -> None:
    """Encrypt IN for its recipient and sign that as the sender: OUT is a DER message."""
    from smpki.gateway.cms import Protection, protect_stream
    from smpki.gateway.content_suite import CBC_CMAC, GCM, KdfInfo

    suites = {each.mode.value: each for each in (GCM, CBC_CMAC)}
    protection = Protection(suites[suite], compress, KdfInfo(kdf_info), enclose=not no_cert)
    signer, encrypted_for = _certificate(sender_cert), _certificate(recipient)
    with key.open() as opened, source_file(source) as content, private_file(target) as message:
        protect_stream(
            content,
            message,
            sender_certificate=signer,
            sender_key=opened,
            recipient_certificate=encrypted_for,
            protection=protection,
            scratch=lambda: scratch_file(target),
        )
    _report(output, target, protection)


@command("open")
@_IN
@_OUT
@click.option("--recipient-cert", required=True, type=_FILE, help="The recipient's ENC certificate.")
@with_key("--recipient-key")
@click.option("--sender-cert", required=True, type=_FILE, help="The SIG certificate that has to have signed.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="MIB",
    help="What a compressed content may unpack to, in MiB.",
)
def open_command(
    home: "Home",
    output: Output,
    key: KeyChoice,
    source: Path,
    target: Path,
    recipient_cert: Path,
    sender_cert: Path,
    limit: int,
) -> None:
    """Verify who signed IN, and decrypt it: OUT is the content, readable by its owner alone."""
    from smpki.gateway.cms import open_stream

    own, sender = _certificate(recipient_cert), _certificate(sender_cert)
    with key.open() as opened, source_file(source) as message, private_file(target) as content:
        protection = open_stream(
            message,
            content,
            recipient_certificate=own,
            recipient_key=opened,
            sender_certificate=sender,
            limit=limit * _MEBIBYTE,
        )
    _report(output, target, protection)


@command("inspect")
@_IN
def inspect_command(home: "Home", output: Output, source: Path) -> None:
    """Say what can be seen of a message without a key."""
    from smpki.gateway.cms_inspect import inspect_stream

    with source_file(source) as message:
        seen = inspect_stream(message)
    certificate = seen.certificate
    values = {
        "recipient_key_id": seen.recipient_key_id.hex(),
        "signer_key_id": seen.signer_key_id.hex(),
        "certificate": certificate
        and {"subject": certificate.subject.rfc4514_string(), "serial": f"{certificate.serial_number:x}"},
        "signature_hash": seen.signature_hash,
        "signature_holds": seen.signature_holds,
        "suite": _suite_values(seen.suite),
        "compressed": seen.compressed,
        "octets": seen.octets,
    }
    words = {
        None: "none is enclosed",
        True: "the signature holds under it",
        False: "the signature does not hold under it",
    }
    text = (
        f"for the ENC key     {seen.recipient_key_id.hex()}",
        f"signed by SIG key   {seen.signer_key_id.hex()}, with {seen.signature_hash}",
        f"certificate         {certificate.subject.rfc4514_string() + ': ' if certificate else ''}"
        f"{words[seen.signature_holds]}",
        f"suite               {_suite_text(seen.suite)}",
        f"content             {seen.octets} octets encrypted{', compressed' if seen.compressed else ''}",
    )
    output.show(values, printable("\n".join(text)))


cms_command.add_command(protect_command)
cms_command.add_command(open_command)
cms_command.add_command(inspect_command)


def _certificate(file: Path) -> "x509.Certificate":
    """The first certificate in a file."""
    from smpki.trust.files import read_certificates

    return read_certificates(read_file(file, _MEBIBYTE), str(file))[0]


def _report(output: Output, target: Path, protection: "Protection") -> None:
    """Say what was done, unless the output is taken."""
    if target == STANDARD:
        return
    values = {
        "file": str(target),
        "suite": _suite_values(protection.suite),
        "compressed": protection.compress,
        "kdf_info": protection.kdf_info.value,
        "certificate_enclosed": protection.enclose,
        "signature_hash": protection.signature_hash,
    }
    output.show(values, str(target))


def _suite_values(suite: "Suite") -> dict[str, object]:
    return {**asdict(suite), "mode": suite.mode.value}


def _suite_text(suite: "Suite") -> str:
    return f"ECKA-EG with {suite.kdf_hash}, AES-{suite.wrap_bits} key wrap, AES-{suite.bits} {suite.mode.value}"
