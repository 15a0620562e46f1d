"""``smpki gateway run``."""

import asyncio
import logging
import random
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command
from smpki_cli.configured_token import open_configured, start_provider_of
from smpki_cli.serving import log_to_stderr, say_ready, until_told

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.gateway.runtime import Gateway, Ready


@command("run", first=start_provider_of)
@click.argument("config", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--for", "seconds", type=click.FloatRange(0), help="End after so many seconds.")
def run_command(home: "Home", output: Output, config: Path, seconds: float | None) -> None:
    """Be the gateway that CONFIG (gateway.yaml, see docs/gateway.md) describes, until SIGTERM or SIGINT.

    It listens for wake-ups only, and opens all its connections itself. Prints one line when it is ready; its log is in
    its database and goes to the error stream.
    """
    from smpki.gateway.configuration import load_configuration
    from smpki.gateway.opening import at_work, open_module, open_store
    from smpki.gateway.pace import Pace
    from smpki.gateway.runtime import Gateway
    from smpki.gateway.time_keeper import TimeKeeper

    log_to_stderr()
    for name in ("alembic", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    configuration = load_configuration(config)
    with (
        at_work(configuration),
        open_configured(configuration.token) as token,
        open_module(configuration, token) as module,
        closing(open_store(configuration)) as store,
    ):
        gateway = Gateway(
            configuration,
            module=module,
            store=store,
            pace=Pace(TimeKeeper(datetime.now(UTC), time.monotonic), asyncio.sleep, random.random),
            software=f"smpki {version('smpki')}",
            new_id=lambda: str(uuid.uuid4()),
        )
        asyncio.run(_run(output, gateway, seconds))


async def _run(output: Output, gateway: "Gateway", seconds: float | None) -> None:
    def ready(facts: "Ready") -> None:
        host, port = facts.wake_up
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        say_ready(output, {"gateway": facts.gateway, "wake_up": address})

    stop = asyncio.Event()
    running = asyncio.ensure_future(gateway.run(stop, ready))
    told = asyncio.ensure_future(until_told(seconds))
    await asyncio.wait((running, told), return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await running
    told.cancel()
