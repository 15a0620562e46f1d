"""``smpki emt``."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command
from smpki_cli.configured_token import open_configured, start_provider_of
from smpki_cli.serving import Place, monitored, say_ready, shown, until_told, with_log, with_metrics
from smpki_cli.token_key import given_password

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from smpki.ca.home import Home
    from smpki.service.market_participant.configuration import Configuration
    from smpki.service.market_participant.store.deliveries import TakenDelivery, Total
    from smpki.service.market_participant.triples import OwnTriple

_CONFIG = click.argument("config", type=click.Path(dir_okay=False, path_type=Path))


@click.group("emt")
def emt_command() -> None:
    """Be a market participant (EMT) that takes readings from gateways."""


@command("serve", first=start_provider_of)
@_CONFIG
@with_metrics
@click.option("--for", "seconds", type=click.FloatRange(0), help="End after so many seconds.")
@with_log
def serve_command(home: "Home", output: Output, config: Path, metrics: Place | None, seconds: float | None) -> None:
    """Take deliveries as the file CONFIG says (docs/market-participant.md), until SIGTERM or SIGINT.

    Prints one line when it is ready; its log goes to the error stream.
    """
    from smpki.service.market_participant.configuration import load_configuration
    from smpki.service.market_participant.triples import load_triples
    from smpki.service.own_triple import FileOrTokenSource

    configuration = load_configuration(config)
    with open_configured(configuration.token) as token:
        keys = FileOrTokenSource(token, partial(given_password, configuration.password_file))
        asyncio.run(_serve(output, configuration, load_triples(configuration.triples, keys), metrics, seconds))


async def _serve(
    output: Output,
    configuration: "Configuration",
    triples: "Sequence[OwnTriple]",
    metrics: Place | None,
    seconds: float | None,
) -> None:
    from smpki.service.market_participant.server import market_participant
    from smpki.service.operation.metrics import days_left, new_registry, own_deadline

    own = own_deadline(triples[0].tls.certificates[0])
    async with (
        market_participant(configuration, triples, lambda: datetime.now(UTC)) as server,
        monitored(metrics, new_registry(), None, [lambda: days_left([own], datetime.now(UTC))]) as monitoring,
    ):
        address = shown(configuration.address[0], server.port)
        say_ready(output, {"address": address, "path": configuration.path, **monitoring})
        await until_told(seconds)


@command("list")
@_CONFIG
@click.option("--gateway", metavar="ID", help="The deliveries of this gateway, one by one.")
@click.option("--after", type=click.IntRange(0), default=0, help="With --gateway: those after this number.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="With --gateway.")
def list_command(home: "Home", output: Output, config: Path, gateway: str | None, after: int, limit: int) -> None:
    """Show what was taken, by gateway: with --gateway which deliveries, and where their lines are.

    The server may run meanwhile.
    """
    from smpki.policy.device_id import DeviceId
    from smpki.service.market_participant.configuration import load_configuration
    from smpki.service.market_participant.server import database
    from smpki.service.market_participant.store.store import DeliveryStore

    store = DeliveryStore.open(database(load_configuration(config).data))
    with store.view() as view:
        if gateway is None:
            _show_totals(output, view.totals())
        else:
            _show_deliveries(output, view.page(DeviceId.parse(gateway).dns, after=after, limit=limit))
    store.close()


def _show_totals(output: Output, totals: "Sequence[Total]") -> None:
    values = [
        {
            "gateway": one.gateway,
            "deliveries": one.deliveries,
            "readings": one.readings,
            "last_taken_at": one.last_taken_at.isoformat(),
        }
        for one in totals
    ]
    rows = [
        (one.gateway, str(one.deliveries), str(one.readings), f"{one.last_taken_at:%Y-%m-%d %H:%M:%S}")
        for one in totals
    ]
    output.table({"gateways": values}, ("gateway", "deliveries", "readings", "last taken at (UTC)"), rows)


def _show_deliveries(output: Output, page: "Mapping[int, TakenDelivery]") -> None:
    from smpki.service.market_participant.output import file_name

    values = [
        {
            "number": number,
            "delivery_id": one.id,
            "readings": one.readings,
            "taken_at": one.taken_at.isoformat(),
            "sha256": one.digest.hex(),
            "file": file_name(one.file),
            "from_octet": one.from_octet,
            "to_octet": one.to_octet,
        }
        for number, one in page.items()
    ]
    rows = [
        (
            str(number),
            one.id,
            str(one.readings),
            f"{one.taken_at:%Y-%m-%d %H:%M:%S}",
            f"{file_name(one.file)} {one.from_octet}-{one.to_octet}",
        )
        for number, one in page.items()
    ]
    output.table({"deliveries": values}, ("", "delivery", "readings", "taken at (UTC)", "octets"), rows)


emt_command.add_command(serve_command)
emt_command.add_command(list_command)
