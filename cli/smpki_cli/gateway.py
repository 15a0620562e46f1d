"""``smpki gateway``."""

import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki.errors import GatewayError
from smpki_cli.common import Output, command, host_and_port, read_file, rfc3339
from smpki_cli.gateway_factory import check_delivery_command, provision_command
from smpki_cli.gateway_run import run_command
from smpki_cli.gateway_telegram import telegram_command
from smpki_cli.token_key import KeyChoice, with_key

if TYPE_CHECKING:
    from smpki.ca.home import Home

_FILE = click.Path(dir_okay=False, path_type=Path)
_SECONDS_BETWEEN = 1
_AT = click.option("--at", callback=rfc3339, metavar="TIME", help="The time instead of now (RFC 3339).")


@click.group("gateway")
def gateway_command() -> None:
    """Make gateways, as their manufacturer does; wake them, as their administrator does; run one."""


@command("wake")
@click.argument("gateway", metavar="ID")
@click.argument("target", metavar="[HOST[:PORT]]", required=False)
@click.option("--out", type=_FILE, help="Write the message to this file.")
@click.option(
    "--repeat",
    type=click.IntRange(1, 10),
    default=1,
    show_default=True,
    help="Send the message so often, a second apart; the gateway acts once.",
)
@_AT
@with_key("--key")
def wake_command(
    home: "Home",
    output: Output,
    key: KeyChoice,
    gateway: str,
    target: str | None,
    out: Path | None,
    repeat: int,
    at: datetime | None,
) -> None:
    """Wake the gateway with this device ID (such as EABC0012345678): it calls its administrator then.

    The message is signed with the administrator's SIG key and sent to HOST by UDP; port 22357 unless one is given, an
    IPv6 address with a port in brackets. Gateways never answer.
    """
    from smpki.gateway.wakeup import build_wake_up
    from smpki.gateway.wakeup_listener import DEFAULT_PORT
    from smpki.participant.packages import write_output
    from smpki.policy.device_id import DeviceId

    if target is None and out is None:
        raise click.UsageError("say where to: HOST[:PORT], or --out FILE")
    address = None if target is None else host_and_port(target, DEFAULT_PORT)
    recipient = DeviceId.parse(gateway)
    moment = at or datetime.now(UTC)
    with key.open() as opened:
        message = build_wake_up(recipient, moment, opened)
    if out is not None:
        write_output(out, message)
    if address is not None:
        _send(message, address, repeat)
    values = {
        "gateway": str(recipient),
        "time": moment.isoformat(timespec="seconds"),
        "octets": len(message),
        "file": out and str(out),
        "sent_to": address and {"host": address[0], "port": address[1], "times": repeat},
    }
    text = [str(out)] if out else []
    if address is not None:
        text.append(f"sent {len(message)} octets to {address[0]}, UDP port {address[1]}")
    output.show(values, "\n".join(text))


@command("check-wake")
@click.argument("file", metavar="FILE", type=_FILE)
@click.option("--id", "gateway", required=True, help="The gateway's device id.")
@click.option("--gwa-cert", "certificates", required=True, multiple=True, type=_FILE, help="The administrator's SIG.")
@click.option("--window", type=click.IntRange(0, 86_400), default=60, show_default=True, help="Seconds to either side.")
@_AT
def check_wake_command(
    home: "Home",
    output: Output,
    file: Path,
    gateway: str,
    certificates: tuple[Path, ...],
    window: int,
    at: datetime | None,
) -> None:
    """Would this gateway act on the wake-up message in FILE? Ends with 0 if so, with 1 if not.

    Whether it has acted on it before only the gateway knows.
    """
    from smpki.gateway.wakeup import Refused, WakeUpReader, Window
    from smpki.policy.device_id import DeviceId
    from smpki.trust.files import read_certificates

    administrators = [one for path in certificates for one in read_certificates(read_file(path), str(path))]
    either_side = timedelta(seconds=window)
    reader = WakeUpReader(DeviceId.parse(gateway), administrators, Window(either_side, either_side))
    claim = reader.read(read_file(file, 64 * 1024), at or datetime.now(UTC))
    result = claim if isinstance(claim, Refused) else claim.verify()
    if isinstance(result, Refused):
        output.show({"accepted": False, "reason": result.reason.value}, f"refused: {result.reason.value}")
        click.get_current_context().exit(1)
    output.show({"accepted": True, "time": result.sent_at.isoformat()}, f"accepted, of {result.sent_at.isoformat()}")


def _send(message: bytes, address: tuple[str, int], times: int) -> None:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as udp:
            for sent in range(times):
                if sent:
                    time.sleep(_SECONDS_BETWEEN)
                udp.sendto(message, place)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "the name is no host's"
        message_text = f"the message can't be sent: {reason}"
        hint = "check the host and the network"
        raise GatewayError("wakeup.unsent", message_text, where=f"{address[0]}:{address[1]}", hint=hint) from None


gateway_command.add_command(wake_command)
gateway_command.add_command(check_wake_command)
gateway_command.add_command(provision_command)
gateway_command.add_command(check_delivery_command)
gateway_command.add_command(telegram_command)
gateway_command.add_command(run_command)
