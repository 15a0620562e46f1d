"""What commands share that serve until they are told to end: log, monitoring, signals, the line that says they are
ready."""

import asyncio
import functools
import json
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from smpki_cli.common import Output, host_and_port

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from smpki.service.operation.metrics import Look

F = TypeVar("F", bound=Callable[..., Any])


def with_log(function: F) -> F:
    """Options of the log; it is set up before the command is called."""

    @functools.wraps(function)
    def run(log_form: str, log_names: bool, **parameters: Any) -> None:
        always = {"authority": parameters["ca"]} if "ca" in parameters else {}
        log_to_stderr(as_json=log_form == "json", personal=log_names, always=always)
        function(**parameters)

    form = click.Choice(["text", "json"])
    run = click.option("--log-names", is_flag=True, help="Let the log say who sent what; else roles and serials.")(run)
    return click.option("--log", "log_form", type=form, default="text", show_default=True, help="A line each.")(run)  # type: ignore[return-value]


def log_to_stderr(*, as_json: bool = False, personal: bool = False, always: Mapping[str, object] | None = None) -> None:
    """Let this process's log go to the error stream: all that we say, and other packages' warnings.

    :param personal: who is who, too
    :param always: facts of every line of JSON
    """
    from smpki.service.operation.log import JsonLines, TextLines

    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(personal=personal, always=always) if as_json else TextLines(personal=personal))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("smpki").setLevel(logging.INFO)


Place = tuple[str, int]


def _place(ctx: click.Context, param: click.Parameter, value: str | None) -> Place | None:
    if value is None:
        return None
    return host_and_port(f"127.0.0.1:{value}" if value.isdigit() else value, 9464, lowest=0)


with_metrics = click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    callback=_place,
    help="Give out /health, /ready and /metrics there, by plain HTTP; 127.0.0.1 unless a host is named.",
)
"""The option of :func:`monitored`."""


@asynccontextmanager
async def monitored(
    place: Place | None, registry: "CollectorRegistry", check: Callable[[], object] | None, looks: "Iterable[Look]" = ()
) -> AsyncIterator[dict[str, str]]:
    """Serve health, readiness and metrics as long as the context lasts; facts for :func:`say_ready`.

    :param place: ``None``: don't
    :param check: raises why the server is not ready
    :param looks: look figures up for metrics
    :raises SmpkiError: ``http.listen``
    """
    if place is None:
        yield {}
        return
    from smpki.service.operation.health import Readiness
    from smpki.service.operation.metrics import LookedUp
    from smpki.service.operation.monitor import monitor
    from smpki.service.plain_http import http_server

    registry.register(LookedUp(looks, time.monotonic))
    async with http_server(monitor(Readiness(check, time.monotonic), registry), *place, most=100) as port:
        yield {"metrics": shown(place[0], port)}


def shown(host: str, port: int) -> str:
    """``HOST:PORT``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def say_ready(output: Output, facts: Mapping[str, object]) -> None:
    """Print the line that a server prints once it can be reached, and tell systemd where it started us.

    :param facts: such as addresses
    """
    if output.as_json:
        click.echo(json.dumps({"ready": True, **facts}))
    else:
        click.echo(f"ready: {', '.join(f'{name} {value}' for name, value in facts.items())}")
    _tell_systemd("READY=1")


async def until_told(seconds: float | None = None) -> None:
    """Wait for SIGTERM or SIGINT, and then tell systemd.

    :param seconds: end after so many in any case
    """
    await told_within(seconds)
    _tell_systemd("STOPPING=1")


async def told_within(seconds: float | None) -> bool:
    """Wait for SIGTERM or SIGINT.

    :param seconds: at most; ``None``: as long as it takes
    :return: whether one has come
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    with suppress(TimeoutError):
        await asyncio.wait_for(told.wait(), seconds)
    return told.is_set()


def _tell_systemd(state: str) -> None:
    """sd_notify(3): one datagram, where systemd waits for it."""
    place = os.environ.get("NOTIFY_SOCKET")
    if place:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect(f"\0{place[1:]}" if place.startswith("@") else place)
            out.send(state.encode())
