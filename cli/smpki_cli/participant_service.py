"""``smpki participant chain``, ``status``, ``receive`` and ``pending``: a participant and its CA's web service."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, host_and_port
from smpki_cli.keys import Keys, with_keys
from smpki_cli.serving import log_to_stderr, say_ready, shown, until_told
from smpki_cli.web_service import Caller, start_provider, with_web_service

if TYPE_CHECKING:
    from cryptography import x509

    from smpki.ca.home import Home

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@command("chain", first=start_provider)
@click.option("--issuer", metavar="NAME", help="CN=..., O=..., C=..., serialNumber=... Default: of one's own triple.")
@click.option("--out", required=True, type=_FILE, help="File for the CAs, the root first.")
@with_keys()
@with_web_service("--url", own=True)
def chain_command(home: "Home", output: Output, keys: Keys, caller: Caller, issuer: str | None, out: Path) -> None:
    """Ask for the CAs above a certificate, link certificates included, by the name of its issuer.

    Written is only what leads from a root that is trusted to the issuer.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    from smpki.participant.granted import check_chain
    from smpki.participant.packages import write_whole
    from smpki.participant.signers import read_file_certificates
    from smpki.policy.names import DistinguishedName

    own = read_file_certificates(caller.own() / "tls.pem")[0]
    wanted = issuer or str(DistinguishedName.from_x509(own.issuer))

    async def asked() -> "tuple[x509.Certificate, ...]":
        access = caller.access()
        async with access.open() as service:
            return check_chain(await service.certificate_chain(wanted), wanted, access.ca)

    chain = asyncio.run(asked())
    write_whole(out, b"".join(one.public_bytes(Encoding.PEM) for one in chain))
    names = [one.subject.rfc4514_string() for one in chain]
    output.show({"issuer": wanted, "chain": names, "files": [str(out)]}, "\n".join([*names, str(out)]))


@command("status", first=start_provider)
@with_keys()
@with_web_service("--url", own=True)
def status_command(home: "Home", output: Output, keys: Keys, caller: Caller) -> None:
    """Ask whether the web service and the CA behind it work; ends with 1 if not."""

    async def asked() -> None:
        async with caller.access().open() as service:
            await service.check_status()

    asyncio.run(asked())
    output.show({"url": caller.url, "works": True}, f"{caller.url} works")


@command("receive", first=start_provider)
@click.option("--listen", required=True, metavar="HOST:PORT", help="0: a free port.")
@click.option("--pending", required=True, type=_FOLDER, help="What was asked: the folder that was given when sending.")
@click.option("--for", "seconds", type=click.FloatRange(0), help="End after so many seconds.")
@with_keys()
@with_web_service(None, own=True)
def receive_command(
    home: "Home", output: Output, keys: Keys, caller: Caller, listen: str, pending: Path, seconds: float | None
) -> None:
    """Take the results that the CA sends later, until SIGTERM or SIGINT.

    Only the CA that issued the triple of --as gets in. A triple comes into the folder that was named when its package
    was sent; what nobody asked for, into PENDING/news. Prints one line when it is ready; its log goes to the error
    stream.
    """
    from smpki.participant.pending import PendingFolder
    from smpki.service.receiving import Receiver, ReceiverSettings, receiving

    host, port = host_and_port(listen, 8443, lowest=0)
    log_to_stderr()
    own = caller.own()
    ca = caller.ca(own)

    receiver = Receiver(PendingFolder(pending), pending / "news", ca, lambda url: caller.access(url=url))

    async def serve() -> None:
        async with receiving(receiver, ca, caller.identity(own), ReceiverSettings(host, port)) as server:
            say_ready(output, {"address": shown(host, server.port)})
            await until_told(seconds)

    asyncio.run(serve())


@command("pending")
@click.argument("folder", type=_FOLDER)
def pending_command(home: "Home", output: Output, folder: Path) -> None:
    """Show what was sent with --pending, and what came of it."""
    from smpki.participant.pending import PendingFolder

    found = PendingFolder(folder).all()
    rows = ((one.message_id, one.status or "", str(one.folder), one.message) for one in found)
    output.table({"requests": [one.as_dict() for one in found]}, ("message", "result", "triple in", ""), rows)
