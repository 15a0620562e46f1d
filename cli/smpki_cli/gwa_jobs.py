"""Commands of ``smpki gwa`` that order a job and wait for it."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smpki_cli.common import Output, command, printable, read_file, rfc3339
from smpki_cli.gwa_desk import Desk, show_job, with_desk

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.service.administrator.store.jobs import Job

_FILE = click.Path(dir_okay=False, path_type=Path)
_LARGEST_PROFILE = 1024 * 1024
_KINDS = ("communication", "meter", "evaluation")


def _job_command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command that orders a job for a gateway; gets ``gateway`` (:class:`DeviceId`), ``desk`` and ``wait``."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        function = click.option("--no-wait", is_flag=True, help="Order it, and don't wait until it is done.")(function)
        function = with_desk(function)
        function = click.argument("gateway", metavar="ID")(function)
        return command(name)(function)

    return decorate


def _nothing(job: "Job") -> str:
    return ""


def _finish(output: Output, desk: Desk, job: "Job", no_wait: bool, text: Callable[["Job"], str] = _nothing) -> None:
    """Print the job, once it is done unless nobody waits for it.

    :param text: what to tell people of its result
    """
    if not no_wait:
        job = desk.wait_for(job)
    show_job(output, job, text(job) if job.state == "done" else "")


def _simple(name: str, help: str, text: Callable[["Job"], str] = _nothing) -> click.Command:
    """A command that orders a job of its own name without arguments."""

    def run(home: "Home", output: Output, desk: Desk, gateway: str, no_wait: bool) -> None:
        _finish(output, desk, desk.orders.order(desk.id_of(gateway), name), no_wait, text)

    run.__doc__ = help
    return _job_command(name)(run)


def _until(job: "Job") -> str:
    return f"its certificates are valid until {job.result['not_after'][:10]}" if job.result else ""


def _facts(job: "Job") -> str:
    """What came of it, indented."""
    return printable(json.dumps(job.result, indent=2, ensure_ascii=False))


@_job_command("wake")
@click.option("--address", metavar="HOST[:PORT]", help="Where wake-ups go from now on.")
def wake_command(home: "Home", output: Output, desk: Desk, gateway: str, no_wait: bool, address: str | None) -> None:
    """Wake a gateway, again and again until it connects."""
    id = desk.id_of(gateway)
    if address is not None:
        desk.set_wake_up(id, address)
    _finish(output, desk, desk.orders.order(id, "wake"), no_wait, lambda job: "it is connected")


@_job_command("set")
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=_FILE)
def set_command(
    home: "Home", output: Output, desk: Desk, gateway: str, no_wait: bool, kind: str, files: tuple[Path, ...]
) -> None:
    """Set profiles, JSON in FILEs, in the order in which they are given (docs/gateway.md describes them)."""
    from smpki.gateway import api

    folders = (api.COMMUNICATION_PROFILES, api.METER_PROFILES, api.EVALUATION_PROFILES)
    bodies = [(str(file), read_file(file, _LARGEST_PROFILE)) for file in files]
    job = desk.orders.profiles(desk.id_of(gateway), folders[_KINDS.index(kind)], bodies)
    _finish(output, desk, job, no_wait)


@_job_command("log")
@click.argument("log", type=click.Choice(["system", "calibration"]), default="system")
@click.option("--from", "since", callback=rfc3339, metavar="TIME", help="Entries of then and later (RFC 3339).")
@click.option("--to", "until", callback=rfc3339, metavar="TIME", help="Entries of before then.")
@click.option("--level", type=click.Choice(["I", "W", "E", "F"]), help="Entries of this level.")
@click.option("--count", type=click.IntRange(1, 10_000), default=100, show_default=True, help="So many at most.")
def log_command(
    home: "Home",
    output: Output,
    desk: Desk,
    gateway: str,
    no_wait: bool,
    log: str,
    since: datetime | None,
    until: datetime | None,
    level: str | None,
    count: int,
) -> None:
    """Read a gateway's log: system or calibration."""
    query = {"q.count": str(count)}
    query |= {"q.fromtime": since.isoformat()} if since else {}
    query |= {"q.totime": until.isoformat()} if until else {}
    query |= {"q.level": level} if level else {}
    job = desk.orders.order(desk.id_of(gateway), "log", {"log": log, "query": query})
    _finish(output, desk, job, no_wait, _entries)


def _entries(job: "Job") -> str:
    entries = job.result["entries"] if job.result else ()
    return printable("\n".join(f"{one['timestamp']} {one['level']} {one['text']} [{one['event']}]" for one in entries))


@_job_command("report")
@click.option("--recipient", help="Of this communication profile only.")
def report_command(
    home: "Home", output: Output, desk: Desk, gateway: str, no_wait: bool, recipient: str | None
) -> None:
    """Let a gateway deliver now, what was refused included."""
    job = desk.orders.order(desk.id_of(gateway), "report", {"recipient": recipient})
    _finish(output, desk, job, no_wait)


@_job_command("hand-over")
@click.option("--to", "name", required=True, metavar="NAME", help="CN of the new administrator.")
@click.option("--management", required=True, metavar="HOST:PORT", help="Where gateways connect to it.")
@click.option("--admin-service", required=True, metavar="HOST:PORT", help="Where they notify it.")
@click.option("--time", required=True, metavar="HOST:PORT", help="Where they get the time from it.")
@click.option("--server-name", help="What they ask its servers for (SNI).")
@click.option(
    "--certificates", required=True, multiple=True, type=_FILE, help="A file with its certificates; may be repeated."
)
@click.option("--out", type=_FILE, help="File for the record that it adopts the gateway by.")
def hand_over_command(
    home: "Home",
    output: Output,
    desk: Desk,
    gateway: str,
    no_wait: bool,
    name: str,
    management: str,
    admin_service: str,
    time: str,
    server_name: str | None,
    certificates: tuple[Path, ...],
    out: Path | None,
) -> None:
    """Hand a gateway over to another administrator.

    The record is written first: the new administrator adopts the gateway by it. Then the gateway is told, and comes
    back if it can't reach them; it is told again then. When it stays away, the CA is told, and it is not ours any more.
    The record is in the job's result too: smpki gwa show ID --json.
    """
    from smpki.gateway.configuration import AdministratorConfiguration
    from smpki.participant.packages import write_output

    files = tuple(file.absolute() for file in certificates)
    to = AdministratorConfiguration(
        name=name,
        management=management,
        admin_service=admin_service,
        time=time,
        server_name=server_name,
        certificates=files,
    ).load()
    job = desk.orders.hand_over(desk.id_of(gateway), to)
    written: list[Path] = []

    def write(job: "Job") -> None:
        if out is not None and job.result and not written:
            write_output(out, job.result["record"].encode())
            written.append(out)
            if not output.as_json:
                click.echo(f"{out}: for {name} to adopt the gateway by")

    show_job(output, job if no_wait else desk.wait_for(job, write))


JOB_COMMANDS = (
    wake_command,
    _simple(
        "personalise", "Give a gateway new keys, and certificates of operation (Wirkzertifikate) for them.", _until
    ),
    _simple("renew", "Give a gateway new keys, and the next certificates for them.", _until),
    set_command,
    _simple("suspend", "Have a gateway's certificates suspended by the CA; it is not let in any more."),
    _simple("resume", "Have a gateway's certificates resumed by the CA; it is let in again."),
    hand_over_command,
    _simple("introduce", "Tell a gateway our present addresses and certificates."),
    _simple("status", "Ask a gateway for its status.", _facts),
    log_command,
    _simple("self-test", "Let a gateway test itself.", _facts),
    report_command,
)
