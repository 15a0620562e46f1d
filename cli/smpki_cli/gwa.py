"""``smpki gwa``."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from smpki.errors import SmpkiError
from smpki_cli.common import Output, command, read_file, refuse
from smpki_cli.configured_token import open_configured, start_provider_of
from smpki_cli.gwa_desk import Desk, gateway_rows, gateway_values, with_desk
from smpki_cli.gwa_jobs import JOB_COMMANDS
from smpki_cli.serving import Place, monitored, say_ready, until_told, with_log, with_metrics
from smpki_cli.token_key import given_password

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from smpki.ca.home import Home
    from smpki.participant.key_places import KeySource
    from smpki.service.administrator.adoption import Adopted
    from smpki.service.administrator.authority import Authority
    from smpki.service.administrator.configuration import Configuration
    from smpki.service.administrator.server import AdministratorServer, Running

_FILE = click.Path(dir_okay=False, path_type=Path)
_LARGEST_RECORD = 1024 * 1024


@click.group("gwa")
def gwa_command() -> None:
    """Be the administrator (GWA) of gateways.

    All commands but serve give orders, or look; `smpki gwa serve` does what is ordered. They find the configuration by
    --config, by SMPKI_GWA_CONFIG, or as gwa.yaml in the current folder.
    """


@command("serve", first=start_provider_of)
@click.argument("config", metavar="CONFIG", type=_FILE)
@with_metrics
@click.option("--for", "seconds", type=click.FloatRange(0), help="End after so many seconds.")
@with_log
def serve_command(home: "Home", output: Output, config: Path, metrics: Place | None, seconds: float | None) -> None:
    """Serve gateways and do jobs as the file CONFIG says (docs/administrator.md), until SIGTERM or SIGINT.

    Prints one line when it is ready; its log goes to the error stream. What is not done when it ends is taken up the
    next time.
    """
    from smpki.service.administrator.claim import at_work
    from smpki.service.administrator.configuration import load_configuration
    from smpki.service.administrator.own import load_own
    from smpki.service.administrator.pace import Pace
    from smpki.service.administrator.server import AdministratorServer
    from smpki.service.administrator.store.store import AdministratorStore
    from smpki.service.own_triple import FileOrTokenSource

    for name in ("alembic", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    configuration = load_configuration(config)
    pace = Pace(lambda: datetime.now(UTC), monotonic, asyncio.sleep)
    with (
        open_configured(configuration.token) as token,
        closing(AdministratorStore.create(configuration.database)) as store,
        at_work(configuration.database),
    ):
        keys = FileOrTokenSource(token, partial(given_password, configuration.password_file))
        with _authority(configuration, keys, pace.now) as authority:
            own = load_own(configuration.own, keys)
            server = AdministratorServer(configuration, own, store, authority, pace)
            asyncio.run(_serve(output, server, own.certificates.tls, metrics, seconds))


@contextmanager
def _authority(
    configuration: "Configuration", keys: "KeySource", now: Callable[[], datetime]
) -> "Iterator[Authority | None]":
    """The CA that is configured: in a process of its own, which starts at once, or by its web service."""
    issuer = configuration.issuer
    if issuer is None:
        yield None
    elif issuer.home is not None and issuer.sub_ca is not None:
        from smpki.ca.home import Home
        from smpki.ca.worker import open_in_worker
        from smpki.service.administrator.authority import LocalAuthority

        with closing(LocalAuthority(partial(open_in_worker, Home(issuer.home), "gwa"), issuer.sub_ca)) as local:
            local.start()
            yield local
    else:
        from smpki.participant.access import Access
        from smpki.service.administrator.remote_authority import RemoteAuthority
        from smpki.service.own_ca import read_own_ca
        from smpki.service.own_triple import read_identity

        trust = configuration.trust
        ca = read_own_ca(configuration.own, now, trust=(*trust.anchors, *trust.authorities), crls=trust.crl_folder)
        yield RemoteAuthority(Access(issuer.url or "", read_identity(configuration.own, keys), ca))


async def _serve(
    output: Output,
    server: "AdministratorServer",
    certificate: "Certificate",
    metrics: Place | None,
    seconds: float | None,
) -> None:
    from smpki.service.operation.metrics import days_left, new_registry, own_deadline

    own = own_deadline(certificate)
    async with monitored(metrics, new_registry(), None, [lambda: days_left([own], datetime.now(UTC))]) as monitoring:
        await _run(output, server, monitoring, seconds)


async def _run(
    output: Output, server: "AdministratorServer", monitoring: Mapping[str, str], seconds: float | None
) -> None:
    def ready(running: "Running") -> None:
        say_ready(output, {**running.places.model_dump(), **monitoring})

    stop = asyncio.Event()
    running = asyncio.ensure_future(server.run(stop, ready))
    told = asyncio.ensure_future(until_told(seconds))
    await asyncio.wait((running, told), return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    told.cancel()
    await running


@command("adopt")
@click.argument("records", metavar="DELIVERY...", nargs=-1, required=True, type=_FILE)
@click.option("--wake-up", metavar="HOST[:PORT]", help="Where wake-ups go; {id} in it stands for the gateway's id.")
@with_desk
@click.pass_context
def adopt_command(
    ctx: click.Context, home: "Home", output: Output, desk: Desk, records: tuple[Path, ...], wake_up: str | None
) -> None:
    """Take gateways into our charge, by their manufacturer's delivery records or a former administrator's.

    Ends with 1 if one was refused; the others are adopted.
    """
    adopted: list[Adopted] = []
    refused: list[tuple[Path, SmpkiError]] = []
    adoption = desk.adoption()
    for file in records:
        try:
            adopted.append(adoption.adopt(read_file(file, _LARGEST_RECORD), str(file)))
            if wake_up is not None:
                desk.set_wake_up(adopted[-1].gateway, wake_up)
        except SmpkiError as error:
            refused.append((file, error))
    values = [one.as_dict() for one in adopted]
    if output.as_json and len(records) == 1 and refused:
        refuse(refused[0][1], as_json=True)
    else:
        told = [{"file": str(file), "error": why.as_dict()} for file, why in refused]
        rows = [(one.gateway.dns, one.state, one.sender, one.warning) for one in adopted]
        output.table({"adopted": values, "refused": told}, ("gateway", "", "from", ""), rows)
        for _, why in () if output.as_json else refused:
            refuse(why, as_json=False)
    if refused:
        ctx.exit(1)


@command("list")
@click.option("--after", metavar="ID", default="", help="Those behind this one.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True)
@with_desk
def list_command(home: "Home", output: Output, desk: Desk, after: str, limit: int) -> None:
    """List the gateways in our charge, and those that were."""
    with desk.store.view() as view:
        gateways = view.gateways.page(after=after.lower(), limit=limit)
    columns = ("gateway", "state", "certificates", "end", "last seen (UTC)")
    output.table({"gateways": [gateway_values(one) for one in gateways]}, columns, gateway_rows(gateways))


@command("show")
@click.argument("gateway", metavar="ID")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Of jobs, and so on.")
@with_desk
def show_command(home: "Home", output: Output, desk: Desk, gateway: str, limit: int) -> None:
    """Show one gateway: its certificates, the latest jobs, what it has told, what has happened."""
    id = desk.id_of(gateway)
    with desk.store.view() as view:
        known = view.gateways.get(id)
        jobs = view.jobs.of(id, limit=limit)
        told = view.journal.notifications(id, limit=limit)
        events = view.journal.events(id, limit=limit)
    values = {
        "gateway": gateway_values(known),
        "jobs": [job.as_dict() for job in jobs],
        "notifications": [one.model_dump(mode="json") for one in told],
        "events": [one.as_dict() for one in events],
    }
    facts = [
        *((name, str(value)) for name, value in gateway_values(known).items() if not isinstance(value, dict | None)),
        *((f"job {job.number}", f"{job.kind}: {job.state} at {job.step}{_reason(job.error)}") for job in jobs),
        *((f"told {one.at:%Y-%m-%d %H:%M:%S}", f"{one.level} {one.text} [{one.event}]") for one in told),
        *((f"event {one.at:%Y-%m-%d %H:%M:%S}", f"{one.level} {one.text} [{one.event}]") for one in events),
    ]
    output.table(values, ("", ""), facts)


@command("events")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="So many of the latest.")
@with_desk
def events_command(home: "Home", output: Output, desk: Desk, limit: int) -> None:
    """Show what has happened, with whatever gateway or with none of ours; the latest in front."""
    with desk.store.view() as view:
        events = view.journal.events(limit=limit)
    rows = ((f"{one.at:%Y-%m-%d %H:%M:%S}", one.level, one.gateway or "", one.text, one.event) for one in events)
    output.table({"events": [one.as_dict() for one in events]}, ("at (UTC)", "", "gateway", "", "event"), rows)


def _reason(error: Mapping[str, str] | None) -> str:
    return f": {error['message']} [{error['code']}]" if error else ""


for each in (serve_command, adopt_command, list_command, show_command, events_command, *JOB_COMMANDS):
    gwa_command.add_command(each)
