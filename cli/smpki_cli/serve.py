"""``smpki serve``."""

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, host_and_port, surroundings
from smpki_cli.config_file import with_config
from smpki_cli.configured_token import start_provider_of_home
from smpki_cli.people import People, given_people, serving_people, with_people
from smpki_cli.serving import Place, monitored, say_ready, shown, until_told, with_log, with_metrics
from smpki_cli.starting_anew import start_anew, token_lost
from smpki_cli.token_key import given_password

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.service.web.server import WebService

_FOLDER = click.Path(file_okay=False, path_type=Path)


@command("serve", first=start_provider_of_home)
@with_config("SMPKI_SERVE")
@click.option("--ca", required=True, metavar="ORG.CA|root", help="The CA that is served.")
@click.option("--listen", default="127.0.0.1:8443", show_default=True, metavar="HOST:PORT", help="0: a free port.")
@click.option(
    "--tls", "tls_folder", type=_FOLDER, help="tls.pem, tls.key, chain.pem. Default: the CA's own key in the token."
)
@click.option(
    "--crls", type=_FOLDER, help="Revocation lists of a root that is elsewhere, *.crl; read when they change."
)
@click.option("--connections", type=click.IntRange(1), default=1000, show_default=True, help="At a time.")
@click.option(
    "--queue-at",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Packages waiting, from which on more are answered later, if the sender takes callbacks.",
)
@with_people
@with_metrics
@click.option("--check", is_flag=True, help="See whether it could serve and issue, and end; with 1 if not.")
@click.option("--for", "seconds", type=click.FloatRange(0), help="End after so many seconds.")
@with_log
def serve_command(
    home: "Home",
    output: Output,
    ca: str,
    listen: str,
    tls_folder: Path | None,
    crls: Path | None,
    connections: int,
    queue_at: int,
    portal: str | None,
    portal_tls: Path | None,
    portal_url: str | None,
    tryout_ports: tuple[int, ...],
    metrics: Place | None,
    check: bool,
    seconds: float | None,
) -> None:
    """Answer market participants, administrators and Sub-CAs as TR-03129-4 says, over mutual TLS, until SIGTERM or
    SIGINT.

    Who has certificates of this PKI in force may connect; the WSDL is at ?wsdl, and REST below /api/v1. Several
    processes may share one PostgreSQL. Prints one line when it is ready; its log goes to the error stream.
    docs/operation.md has the rest.
    """
    from smpki.ca.opening import open_pki
    from smpki.participant.key_places import FileSource
    from smpki.service.own_triple import read_identity
    from smpki.service.people import Address, tls_of
    from smpki.service.web.operations import Patience
    from smpki.service.web.server import Settings, prepare

    host, port = host_and_port(listen, 8443, lowest=0)
    people = given_people(portal, portal_tls, portal_url, tryout_ports)
    if people is not None and ca == "root":
        raise click.UsageError("--portal is for a Sub-CA: people get nothing from the root")
    settings = Settings(ca, host, port, crls, connections, patience=Patience(waiting=queue_at))
    identity = read_identity(tls_folder, FileSource(partial(given_password, None))) if tls_folder else None
    with open_pki(home, surroundings(), "serve") as pki:
        service = prepare(pki, settings, identity)
        if check:
            service.check()
            if people is not None:
                tls_of(Address(people.host, people.port, people.tls))
            output.show({"ca": service.authority, "listen": listen}, f"{service.authority} could serve at {listen}")
            return
        is_over = asyncio.run(_serve(output, service, people, metrics, seconds))
    if not is_over:
        start_anew()


async def _serve(
    output: Output, service: "WebService", people: People | None, place: Place | None, seconds: float | None
) -> bool:
    """Serve; whether it is over. If not, the token was lost for this process."""
    from smpki.service.operation.metrics import new_registry
    from smpki.service.web.metrics import WebMetrics

    registry, settings = new_registry(), service.settings
    async with (
        service.running(WebMetrics(registry)) as server,
        serving_people(people, service) as portal,
        monitored(place, registry, service.check, [service.figures]) as monitoring,
    ):
        say_ready(output, {"address": shown(settings.host, server.port), "ca": settings.ca, **portal, **monitoring})
        told, lost = map(asyncio.ensure_future, (until_told(seconds), token_lost(service.check)))
        done, others = await asyncio.wait((told, lost), return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        return told in done
