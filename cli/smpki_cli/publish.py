"""``smpki publish``."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, host_and_port, read_file, refuse, surroundings
from smpki_cli.config_file import with_config
from smpki_cli.serving import Place, monitored, say_ready, shown, until_told, with_log, with_metrics
from smpki_cli.tls import identity_of, start_provider
from smpki_cli.token_key import KeyChoice, with_key

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from smpki.ca.home import Home
    from smpki.service.publishing.directory import Report
    from smpki.service.publishing.ldap_client import LdapConnection
    from smpki.service.publishing.publisher import Pace, Publisher
    from smpki.tls.endpoint import Endpoint

_FILE = click.Path(dir_okay=False, path_type=Path)
_HTTP, _LDAP, _LDAPS = 80, 389, 636
_HOLDERS = ("root-tls", "sub-ca-tls-root", "sub-ca-tls", "emt", "gwa", "gwh", "smgw-g", "smgw-w")
_PATIENCE, _GRACE = 30.0, 10.0
_MOST_SHOWN = 10

_UNTIL = click.option("--for", "seconds", type=click.FloatRange(0), help="End after so many seconds.")
_CHECK = click.option("--check", is_flag=True, help="See whether it could serve, and end; with 1 if not.")


@click.group("publish")
def publish_command() -> None:
    """Give out CRLs and certificates: by HTTP, and in a directory (Verzeichnisdienst)."""


@command("serve")
@with_config("SMPKI_PUBLISH_SERVE")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, metavar="HOST[:PORT]", help="0: a free port.")
@with_metrics
@_CHECK
@_UNTIL
@with_log
def serve_command(
    home: "Home", output: Output, listen: str, metrics: Place | None, check: bool, seconds: float | None
) -> None:
    """Serve the newest CRLs and the certificates of CAs by HTTP, under the paths that certificates name.

    Without TLS, as CRLs are: they are signed, and who checks a TLS certificate may need them first. `smpki crl publish`
    writes the same as files for any web server. Prints one line when it is ready; its log goes to the error stream.
    """
    from smpki.ca.opening import open_store
    from smpki.service.operation.deadlines import pki_deadlines
    from smpki.service.operation.metrics import days_left, new_registry
    from smpki.service.plain_http import http_server
    from smpki.service.publishing.documents import Documents
    from smpki.service.publishing.http_application import application

    address = host_and_port(listen, _HTTP, lowest=0)
    settings = home.settings()
    clock, _ = surroundings().clock(settings)
    with open_store(home, surroundings()) as store:
        policy, environment = home.policy(), settings.environment
        documents, registry = Documents(store, policy, environment), new_registry()

        def ends() -> "Iterator[Metric]":
            now = clock()
            return days_left(pki_deadlines(store, policy, environment, now), now)

        async def serve() -> None:
            async with (
                http_server(application(documents, clock), *address) as port,
                monitored(metrics, registry, lambda: store.of_kinds(["root"]), [ends]) as monitoring,
            ):
                say_ready(output, {"address": shown(address[0], port), **monitoring})
                await until_told(seconds)

        if check:
            output.show({"listen": listen}, f"could serve at {listen}")
        else:
            asyncio.run(serve())


@command("ldap", first=start_provider)
@with_config("SMPKI_PUBLISH_LDAP")
@click.option("--url", required=True, help="ldaps://HOST[:PORT], or ldapi://PATH with %2F for /.")
@click.option("--once", is_flag=True, help="Compare, write what is missing, and end; with 1 if an entry was refused.")
@click.option("--cert", "certificates", type=_FILE, help="The publisher's TLS certificate, and its chain, if any.")
@with_key("--key", required=False)
@click.option("--peer", "peers", multiple=True, type=_FILE, help="The directory's TLS certificate; may be repeated.")
@click.option("--bind-dn", default="", help="Log in by this name. Default: by certificate, or as the local user.")
@click.option("--bind-password-file", type=_FILE, help="The password for --bind-dn, mode 0600.")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(_HOLDERS), help="Only holders of this type; may be repeated."
)
@click.option("--revoked", is_flag=True, help="Show certificates that are revoked or suspended, too.")
@click.option(
    "--every", type=click.FloatRange(0.1), default=10, show_default=True, help="Seconds between looks at the store."
)
@click.option(
    "--compare",
    type=click.FloatRange(1),
    default=3600,
    show_default=True,
    help="Seconds between comparisons of all that there is.",
)
@_UNTIL
@with_log
@click.pass_context
def ldap_command(
    ctx: click.Context,
    home: "Home",
    output: Output,
    url: str,
    once: bool,
    certificates: Path | None,
    key: KeyChoice | None,
    peers: tuple[Path, ...],
    bind_dn: str,
    bind_password_file: Path | None,
    kinds: tuple[str, ...],
    revoked: bool,
    every: float,
    compare: float,
    seconds: float | None,
) -> None:
    """Keep a directory up to date: certificates and CRLs of CAs, certificates of holders.

    What the directory missed is found by comparing, and written. Holders' certificates that have ended or are revoked
    go; what others wrote stays. Without --once it goes on until SIGTERM or SIGINT, whatever happens to the directory.
    """
    from smpki.ca.opening import open_store
    from smpki.policy.model import CertificateType
    from smpki.service.publishing.publisher import HOLDERS, Pace, Publisher

    if (bind_password_file is None) != (not bind_dn):
        raise click.UsageError("give --bind-dn together with --bind-password-file")
    identity = certificates, key
    connect = _connector(home, url, identity, peers, (bind_dn, bind_password_file))
    settings = home.settings()
    clock, _ = surroundings().clock(settings)
    shown = tuple(CertificateType(kind) for kind in kinds) or HOLDERS
    with open_store(home, surroundings()) as store:
        publisher = Publisher(store, home.policy(), settings.environment, clock, shown, revoked)
        if once:
            report = asyncio.run(_once(connect, publisher))
            _show(output, report)
            ctx.exit(1 if report.refused else 0)
        pace = Pace(timedelta(seconds=every), timedelta(seconds=compare))
        asyncio.run(_keep(output, url, connect, publisher, pace, seconds))


@command("ldaps", first=start_provider)
@with_config("SMPKI_PUBLISH_LDAPS")
@click.option("--listen", required=True, metavar="HOST[:PORT]", help="Port 636 unless one is given; 0: a free one.")
@click.option(
    "--directory", default="127.0.0.1", show_default=True, metavar="HOST[:PORT]", help="Where it listens without TLS."
)
@click.option("--cert", "certificates", required=True, type=_FILE, help="The TLS certificate, and its chain, if any.")
@with_key("--key")
@click.option("--trust", "roots", required=True, multiple=True, type=_FILE, help="A trusted root; may be repeated.")
@click.option(
    "--crls",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of CRLs and CAs' certificates. Default: published in the home.",
)
@_UNTIL
@with_log
def ldaps_command(
    home: "Home",
    output: Output,
    listen: str,
    directory: str,
    certificates: Path,
    key: KeyChoice,
    roots: tuple[Path, ...],
    crls: Path | None,
    seconds: float | None,
) -> None:
    """A door of TLS before a directory, for clients with SM-PKI certificates; directories don't know their curves.

    Who has a TLS certificate of the SM-PKI that is in force may come in. The directory decides what anybody may read.
    Prints one line when it is ready; its log goes to the error stream.
    """
    from smpki.service.publishing.door import open_door
    from smpki.service.trust_material import trust_material
    from smpki.tls.endpoint import Endpoint
    from smpki.tls.profile import WAN_SERVER
    from smpki.tls.session import steady
    from smpki.trust.tls_peer import trusted

    outside = host_and_port(listen, _LDAPS, lowest=0)
    inside = host_and_port(directory, _LDAP)
    material = trust_material(roots, (), crls or home.published_folder, _now)
    authorities = [one.subject for one in material().roots]
    check = trusted(material, now=_now)
    identity, clock = identity_of(home, certificates, key), steady(_now, monotonic)
    endpoint = Endpoint(WAN_SERVER, identity, check, clock=clock, trusted_authorities=authorities)

    async def serve() -> None:
        async with await open_door(endpoint, outside, inside) as server:
            say_ready(output, {"address": shown(outside[0], server.port)})
            await until_told(seconds)

    asyncio.run(serve())


def _connector(
    home: "Home",
    url: str,
    identity: tuple[Path | None, KeyChoice | None],
    peers: tuple[Path, ...],
    bind: tuple[str, Path | None],
) -> "Callable[[], AbstractAsyncContextManager[LdapConnection]]":
    """What makes connections to the directory and logs in."""
    from smpki.participant.password import read_password
    from smpki.service.publishing.ldap_client import Place, connection_to

    place = Place.parse(url)
    endpoint = _endpoint(home, identity, peers) if place.host else None
    name, file = bind
    password = read_password(file) if file else None

    @asynccontextmanager
    async def connect() -> "AsyncIterator[LdapConnection]":
        async with connection_to(place, endpoint, _PATIENCE) as connection:
            await connection.bind(name, password.reveal().decode() if password else None)
            yield connection

    return connect


def _endpoint(home: "Home", identity: tuple[Path | None, KeyChoice | None], peers: tuple[Path, ...]) -> "Endpoint":
    """Our side of TLS to a directory, with SM-PKI certificates or ordinary ones."""
    from smpki.service.publishing.ldap_client import PROFILE
    from smpki.tls.endpoint import Endpoint
    from smpki.tls.peers import exact_match
    from smpki.trust.files import read_certificates

    if not peers:
        raise click.UsageError("give the directory's certificate: --peer")
    known = [one for file in peers for one in read_certificates(read_file(file), str(file))]
    return Endpoint(PROFILE, identity_of(home, *identity), exact_match(known, now=_now), clock=_now)


async def _once(
    connect: "Callable[[], AbstractAsyncContextManager[LdapConnection]]", publisher: "Publisher"
) -> "Report":
    async with connect() as connection:
        return await publisher.session(connection).compare()


async def _keep(
    output: Output,
    url: str,
    connect: "Callable[[], AbstractAsyncContextManager[LdapConnection]]",
    publisher: "Publisher",
    pace: "Pace",
    seconds: float | None,
) -> None:
    from smpki.service.publishing.publisher import keep_published

    say_ready(output, {"directory": url})
    stop = asyncio.Event()
    work = asyncio.create_task(keep_published(connect, publisher, pace, stop))
    told = asyncio.create_task(until_told(seconds))
    await asyncio.wait([work, told], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    with suppress(TimeoutError):  # in the middle of a long comparison, which the next start begins anew
        await asyncio.wait_for(work, _GRACE)


def _show(output: Output, report: "Report") -> None:
    counts = {"added": report.added, "changed": report.changed, "removed": report.removed}
    refused: list[object] = [error.as_dict() for error in report.refused]
    text = ", ".join(f"{count} {what}" for what, count in counts.items())
    output.show({**counts, "refused": refused}, f"entries: {text}, {len(refused)} refused")
    if not output.as_json:
        for error in report.refused[:_MOST_SHOWN]:
            refuse(error, as_json=False)


def _now() -> datetime:
    return datetime.now(UTC)


for _command in (serve_command, ldap_command, ldaps_command):
    publish_command.add_command(_command)
