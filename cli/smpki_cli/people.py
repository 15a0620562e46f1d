"""Options of a server that people and their scripts use as well: REST, and the portal."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from smpki_cli.common import host_and_port
from smpki_cli.serving import shown

if TYPE_CHECKING:
    from smpki.service.web.server import WebService

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
"""As browsers write it (RFC 6454 6.2), since forms are compared with it: in small letters, without a path."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class People:
    """Where people are served.

    :param tls: folder of certificate and key; ``None``: plain
    :param url: as browsers see it; ``None``: what host and port say
    :param tryout_ports: where TLS clients are tried; 0: any free one
    """

    host: str
    port: int
    tls: Path | None = None
    url: str | None = None
    tryout_ports: tuple[int, ...] = (0,)

    def origin(self, port: int) -> str:
        """Where browsers find it.

        :param port: the real one
        """
        return self.url or f"{'https' if self.tls else 'http'}://{shown(self.host, port)}"


def with_people(function: F) -> F:
    """The options of :func:`people`."""
    folder = click.Path(file_okay=False, path_type=Path)
    for option in (
        click.option(
            "--tryout-port",
            "tryout_ports",
            type=click.IntRange(0, 65535),
            multiple=True,
            default=(0,),
            help="Where participants try their TLS clients, such as a firewall lets through; 0: any free one.",
        ),
        click.option("--portal-url", metavar="URL", help="As browsers see it, where a proxy stands before it."),
        click.option("--portal-tls", type=folder, help="tls.pem with those above it, tls.key. Default: no TLS."),
        click.option(
            "--portal",
            metavar="HOST:PORT",
            help="Serve people and scripts there, by HTTP with ordinary TLS, or plain on loopback.",
        ),
    ):
        function = option(function)
    return function


def given_people(portal: str | None, tls: Path | None, url: str | None, tryout_ports: tuple[int, ...]) -> People | None:
    """What the options say; ``None``: people are not served.

    :raises click.UsageError: options without ``--portal``, or an address that browsers never say they come from
    """
    if portal is None:
        if tls or url:
            raise click.UsageError("--portal-tls and --portal-url need --portal")
        return None
    if url is not None and not _ORIGIN.fullmatch(url := url.rstrip("/")):
        raise click.UsageError(
            "--portal-url is a scheme, a host, and a port if need be, such as https://portal.example"
        )
    return People(*host_and_port(portal, 8080, lowest=0), tls, url, tryout_ports)


@asynccontextmanager
async def serving_people(people: People | None, service: "WebService") -> AsyncIterator[dict[str, str]]:
    """Serve people as long as the context lasts; facts for :func:`smpki_cli.serving.say_ready`.

    :raises SmpkiError: ``tls.people.*``, ``http.listen``
    """
    if people is None:
        yield {}
        return
    from smpki.service.desk.desk import Desk
    from smpki.service.people import Address, people_server
    from smpki.service.portal.rooms import whole_portal
    from smpki.service.portal.site import Site

    desk, trials = Desk(service.pki, service.settings.ca), service.trials(people.tryout_ports)
    pages = whole_portal(Site(desk, people.url, trials))
    try:
        async with people_server(desk, Address(people.host, people.port, people.tls), pages) as port:
            yield {"portal": people.origin(port)}
    finally:
        trials.close()
