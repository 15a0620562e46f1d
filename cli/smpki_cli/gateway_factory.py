"""``smpki gateway provision`` and ``check-delivery``."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, printable, read_file, rfc3339, surroundings
from smpki_cli.keys import clock_for
from smpki_cli.policy import policy_of
from smpki_cli.token_key import KeyChoice, given_password, with_key
from smpki_cli.verify import now_of, own_authorities

if TYPE_CHECKING:
    from cryptography import x509

    from smpki.ca.home import Home
    from smpki.gateway.factory import Report
    from smpki.gateway.factory_folder import FactoryFolder
    from smpki.gateway.provisioning import Commission, Issuer
    from smpki.gateway.workbench import Workbench

_FILE = click.Path(dir_okay=False, path_type=Path)
_TRIPLE = "NAME|DIR"


def _address(ctx: click.Context, param: click.Parameter, value: str) -> str:
    from smpki.gateway.api_types import split_address

    try:
        split_address(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}") from None
    return value


def _block(ctx: click.Context, param: click.Parameter, value: str) -> int:
    try:
        return int(value, 16)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not hexadecimal") from None


@command("provision")
@click.option("--count", type=click.IntRange(1, 100_000_000), help="Make so many gateways.")
@click.option("--ids", type=_FILE, help="Make the gateways of this list: a device id a line.")
@click.option("--manufacturer", default="XXX", show_default=True, help="Of counted ids: three letters (FLAG).")
@click.option("--block", default="00", show_default=True, callback=_block, help="Of counted ids: fabrication block.")
@click.option("--first", type=click.IntRange(0), default=1, show_default=True, help="Of counted ids: first number.")
@click.option("--sub-ca", metavar="ORG.CA", help="The Sub-CA of this PKI that issues.")
@click.option("--url", help="Or the web service of the one that issues; the manufacturer's TLS certificate asks.")
@click.option("--gwh", required=True, metavar=_TRIPLE, help="The manufacturer: the folder of its triple.")
@click.option("--gwa", required=True, metavar=_TRIPLE, help="The administrator: the folder of its certificates.")
@click.option("--management", required=True, metavar="HOST:PORT", callback=_address, help="Where it manages gateways.")
@click.option("--admin", required=True, metavar="HOST:PORT", callback=_address, help="Where it is notified.")
@click.option("--time", required=True, metavar="HOST:PORT", callback=_address, help="Where it tells the time.")
@click.option("--server-name", help="What gateways ask its servers for (SNI).")
@click.option(
    "--wake-up",
    default="0.0.0.0:22357",
    show_default=True,
    metavar="HOST:PORT",
    callback=_address,
    help="Where gateways listen for wake-ups.",
)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the gateways.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes. Default: one for each processor.")
@with_key("--gwh-key", required=False)
@click.pass_context
def provision_command(
    ctx: click.Context,
    home: "Home",
    output: Output,
    key: KeyChoice | None,
    count: int | None,
    ids: Path | None,
    manufacturer: str,
    block: int,
    first: int,
    sub_ca: str | None,
    url: str | None,
    gwh: str,
    gwa: str,
    management: str,
    admin: str,
    time: str,
    server_name: str | None,
    wake_up: str,
    out: Path,
    workers: int | None,
) -> None:
    """Make gateways, as their manufacturer does: token, keys, quality seal, trust anchors, signed delivery record.

    Each gateway gets a folder OUT/ID. A NAME is that of a folder in HOME/participants. The manufacturer's private key
    is sig.key beside its sig.pem, unless --gwh-key or --token-key names another. A run that was interrupted is started
    again: what is done is found again, and nothing is made twice. Ends with 1 if a gateway could not be made.
    """
    from smpki.gateway.configuration import AdministratorConfiguration, WakeUpConfiguration
    from smpki.gateway.crew import Crew
    from smpki.gateway.device_numbers import counted, listed
    from smpki.gateway.factory import make_gateways
    from smpki.gateway.factory_folder import FactoryFolder
    from smpki.gateway.factory_office import Office
    from smpki.gateway.provisioning import commission_for
    from smpki.service.parties import read_administrator, read_chain, read_manufacturer

    if (count is None) == (ids is None):
        raise click.UsageError("say which gateways: --count or --ids")
    if (sub_ca is None) == (url is None):
        raise click.UsageError("say who issues: --sub-ca or --url")
    devices = listed(read_file(ids), str(ids)) if ids else counted(manufacturer, block, first, count or 0)
    maker, receiver = (_folder_of(home, name) for name in (gwh, gwa))
    administrator = read_administrator(receiver)
    place = AdministratorConfiguration(
        name=administrator.name,
        management=management,
        admin_service=admin,
        time=time,
        server_name=server_name,
        certificates=tuple(Path(f"gwa-{use}.pem") for use in ("tls", "sig", "enc")),
    )
    key = key or KeyChoice(home, maker / "sig.key", None, None, None, None, None)
    folder = FactoryFolder(out.absolute())
    with key.open() as private, _issuing(home, sub_ca, url, maker) as (issuer, name, clock):
        signer = read_manufacturer(maker, private)
        office = Office(folder, signer, administrator, (*read_chain(maker), *read_chain(receiver)), clock)
        commission = commission_for(signer.certificate, administrator, place, WakeUpConfiguration(listen=wake_up))
        workbench = partial(_workbench, folder, commission)
        with Crew(workbench, "worker", min(workers or os.cpu_count() or 1, len(devices))) as crew:
            issuer.chain()  # a Sub-CA that can't issue says so before anything is made
            with folder.used_by({"manufacturer": office.name, "issuer": name}):
                counts = _show(output, make_gateways(devices, office, issuer, crew), len(devices), out)
    if counts["failed"]:
        ctx.exit(1)


@contextmanager
def _issuing(
    home: "Home", sub_ca: str | None, url: str | None, maker: Path
) -> "Iterator[tuple[Issuer, str, Callable[[], datetime]]]":
    """Who issues, their name, and the clock of their PKI."""
    if url is None:
        from smpki.ca.worker import open_in_worker
        from smpki.service.issuing import SubCaProcess

        name = sub_ca or ""
        clock, _ = surroundings().clock(home.settings())
        with SubCaProcess(partial(open_in_worker, home, "issue"), name) as issuer:
            yield issuer, name, clock
        return
    from smpki.participant.access import Access
    from smpki.participant.signers import read_file_certificates
    from smpki.service.own_ca import read_own_ca
    from smpki.service.own_triple import FileOrTokenSource, read_identity
    from smpki.service.remote_issuing import RemoteSubCa

    clock = clock_for(read_file_certificates(maker / "tls.pem")[0], policy_of(home, None))
    identity = read_identity(maker, FileOrTokenSource(None, partial(given_password, None)))
    access = Access(url, identity, read_own_ca(maker, clock))
    yield RemoteSubCa(access), access.ca.name.common_name, clock


@contextmanager
def _workbench(folder: "FactoryFolder", commission: "Commission") -> "Iterator[Workbench]":
    """In a worker, whose environment is its own."""
    from smpki.gateway.workbench import Workbench
    from smpki.hsm.token_set_up import SetUpProgram

    with SetUpProgram() as set_up:
        yield Workbench(folder, commission, os.environ, set_up)


def _folder_of(home: "Home", name: str) -> Path:
    """A folder that was named, or the one of that name among the home's participants."""
    folder = Path(name)
    return folder if folder.is_dir() else home.folder / "participants" / name


def _show(output: Output, reports: "Iterable[Report]", total: int, out: Path) -> Mapping[str, int]:
    """A line for each gateway as it is done, and a summary; while they are made, a bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    counts = dict.fromkeys(("provisioned", "known", "failed"), 0)
    console = Console(stderr=True)
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("gateways", total=total)
        for report in reports:
            counts[report.state] += 1
            click.echo(json.dumps(_value(report), ensure_ascii=False) if output.as_json else _line(report))
            progress.advance(task)
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    click.echo(json.dumps({**counts, "out": str(out)}) if output.as_json else f"{words}; {out}")
    return counts


def _value(report: "Report") -> dict[str, object]:
    return {
        "id": report.device.dns,
        "state": report.state,
        "serials": report.record.certificates.serials if report.record else [],
        "error": report.error.as_dict() if report.error else None,
    }


def _line(report: "Report") -> str:
    error = report.error
    why = "" if error is None else f": {error}" + (f" (hint: {error.hint})" if error.hint else "")
    return printable(f"{report.device.dns} {report.state}{why}")


@command("check-delivery")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=_FILE)
@click.option("--gwh-cert", type=_FILE, help="The SIG certificate of the manufacturer that has to have signed.")
@click.option("--trust", metavar="ROOT", multiple=True, type=_FILE, help="A trusted root, instead of this PKI's own.")
@click.option("--untrusted", metavar="FILE", multiple=True, type=_FILE, help="CAs, links, CRL signers for the chains.")
@click.option("--crl", "crls", metavar="FILE", multiple=True, type=_FILE, help="A revocation list.")
@click.option("--at", callback=rfc3339, metavar="TIME", help="The moment in question (RFC 3339); now by default.")
def check_delivery_command(
    home: "Home",
    output: Output,
    files: tuple[Path, ...],
    gwh_cert: Path | None,
    trust: tuple[Path, ...],
    untrusted: tuple[Path, ...],
    crls: tuple[Path, ...],
    at: datetime | None,
) -> None:
    """Does the delivery record in each FILE hold? Ends with 0 when all do, with 1 when one does not.

    Signature, manufacturer, the chains of all certificates, and whether they belong together. Without --trust the roots
    of this PKI are trusted, and its CAs are at hand. What no --crl lists is not taken for revoked.
    """
    from smpki.gateway.delivery_check import Trust, check_files
    from smpki.gateway.delivery_record import MOST_OCTETS
    from smpki.trust.files import read_certificates, read_crls

    def certificates(*paths: Path) -> "list[x509.Certificate]":
        return [one for path in paths for one in read_certificates(read_file(path), str(path))]

    roots, helpers = (certificates(*trust), []) if trust else own_authorities(home)
    against = Trust(
        roots=tuple(roots),
        at=at or now_of(home),
        manufacturer=certificates(gwh_cert)[0] if gwh_cert else None,
        untrusted=(*helpers, *certificates(*untrusted)),
        crls=tuple(one for path in crls for one in read_crls(read_file(path), str(path))),
    )
    checked = check_files({str(path): read_file(path, MOST_OCTETS + 1) for path in files}, against)
    valid = not any(one.findings for one in checked)
    value = {"valid": valid, "at": against.at.isoformat(), "deliveries": [one.as_dict() for one in checked]}
    output.show(value, "\n".join(map(str, checked)))
    click.get_current_context().exit(0 if valid else 1)
