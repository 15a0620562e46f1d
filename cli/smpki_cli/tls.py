"""``smpki tls``."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from smpki.errors import TlsError
from smpki_cli.common import Output, command, host_and_port, printable, read_file, refuse
from smpki_cli.token_key import KeyChoice, pin_of, token_lock, with_key

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.tls.endpoint import Endpoint
    from smpki.tls.identity import Identity
    from smpki.tls.peers import PeerCheck
    from smpki.tls.profile import Role

_FILE = click.Path(dir_okay=False, path_type=Path)
_VERSIONS = {"1.2": ["TLSv1.2"], "1.3": ["TLSv1.3"], "both": ["TLSv1.2", "TLSv1.3"]}
_HTTPS = 443


def start_provider(parameters: Mapping[str, Any]) -> None:
    """OpenSSL can use a token's key only when it starts with pkcs11-provider."""
    if parameters["token_key"]:
        from smpki.hsm.module import find_module
        from smpki.tls.provider import find_provider, load_provider

        find_provider()  # before a person is asked for the PIN
        load_provider(find_module(parameters["module"]).path, pin_of(parameters["pin_file"]), os.environ)


def _tls_command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command that is one side of TLS; gets ``key`` and, as ``side``, what says how."""
    options: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
        click.option("--profile", type=click.Choice(["wan", "han", "lmn"]), default="wan", show_default=True),
        click.option("--tls", "versions", type=click.Choice([*_VERSIONS]), default="both", show_default=True),
        click.option("--cert", "certificates", type=_FILE, help="The own TLS certificate, and its chain, if any."),
        with_key("--key", required=False),
        click.option(
            "--peer", "peers", multiple=True, type=_FILE, help="Accept only this certificate; may be repeated."
        ),
    ]

    def decorate(function: Callable[..., Any]) -> click.Command:
        for option in reversed(options):
            function = option(function)
        return command(name, first=start_provider)(function)

    return decorate


@click.group("tls")
def tls_command() -> None:
    """Try TLS with a peer, as the profiles of WAN, HAN and LMN have it."""


@_tls_command("probe")
@click.argument("address", metavar="HOST[:PORT]")
@click.option("--name", "server_name", help="The server name to ask for (SNI).")
def probe_command(home: "Home", output: Output, address: str, server_name: str | None, **side: Any) -> None:
    """Make a handshake with a TLS server, and show what came of it: version, suite, group, peer, or the alert.

    Port 443 unless one is given. Without --peer any certificate will do, and is shown.
    """
    from smpki.tls.profile import Role

    host, port = host_and_port(address, _HTTPS)
    endpoint = _endpoint(home, Role.CLIENT, **side)
    try:
        facts = asyncio.run(_probe(endpoint, host, port, server_name))
    except TlsError as error:
        if output.as_json:
            output.show(_failure(error), "")
        else:
            refuse(error, False)
        click.get_current_context().exit(1)
    output.show(facts, _text(facts))


@_tls_command("listen")
@click.argument("address", metavar="[HOST[:PORT]]", default="127.0.0.1:0")
@click.option("--count", type=click.IntRange(1), help="End after so many connections.")
@click.option("--for", "seconds", type=click.FloatRange(0), help="End after so many seconds.")
def listen_command(
    home: "Home", output: Output, address: str, count: int | None, seconds: float | None, **side: Any
) -> None:
    """Be a TLS server: show what came of each handshake, and close.

    Port 443 unless one is given; 0 takes a free one. Clients have to show a certificate; without --peer any will do,
    and is shown.
    """
    from smpki.tls.profile import Role

    if side["key"] is None:
        raise click.UsageError("a server needs --cert and its key")
    endpoint = _endpoint(home, Role.SERVER, **side)
    came: list[dict[str, Any]] = []

    def note(one: dict[str, Any]) -> None:
        came.append(one)
        if not output.as_json:
            click.echo(printable(f"{_text(one)}\n"))

    asyncio.run(_listen(endpoint, host_and_port(address, _HTTPS, lowest=0), count, seconds, note))
    if output.as_json:
        output.show({"connections": came}, "")


class _Closer(asyncio.Protocol):
    """Notes what was agreed on, and closes."""

    def __init__(self, note: Callable[[dict[str, Any]], None]) -> None:
        self._note = note
        self.over: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._note(_facts(transport))
        transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(exc)


async def _probe(endpoint: "Endpoint", host: str, port: int, server_name: str | None) -> dict[str, Any]:
    from smpki.tls.transport import connect

    facts: dict[str, Any] = {}
    protocol = _Closer(facts.update)
    await connect(lambda: protocol, endpoint, host, port, server_name=server_name)
    # a server of TLS 1.3 may refuse the own certificate only now
    if error := await protocol.over:
        raise error
    return facts


async def _listen(
    endpoint: "Endpoint",
    address: tuple[str, int],
    count: int | None,
    seconds: float | None,
    note: Callable[[dict[str, Any]], None],
) -> None:
    from smpki.tls.transport import serve

    enough = asyncio.Event()
    left = count

    def noted(one: dict[str, Any]) -> None:
        nonlocal left
        note(one)
        left = left and left - 1
        if left == 0:
            enough.set()

    def failed(error: TlsError, transport: asyncio.Transport) -> None:
        noted(_failure(error) | {"address": _address(transport)})

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, enough.set)
    async with await serve(lambda: _Closer(noted), endpoint, *address, on_failure=failed) as server:
        click.echo(f"listening at {address[0]} port {server.port}", err=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), seconds)


def _endpoint(
    home: "Home",
    role: "Role",
    *,
    profile: str,
    versions: str,
    certificates: Path | None,
    key: KeyChoice | None,
    peers: tuple[Path, ...],
) -> "Endpoint":
    from smpki.tls import profile as profiles
    from smpki.tls.endpoint import Endpoint
    from smpki.tls.session import steady

    logging.getLogger("smpki.tls").addHandler(logging.NullHandler())  # all is shown here
    chosen: profiles.Profile = getattr(profiles, f"{profile}_{role.value}".upper())
    chosen = replace(chosen, versions=frozenset(profiles.Version(name) for name in _VERSIONS[versions]))
    identity, clock = identity_of(home, certificates, key), steady(_now, monotonic)
    return Endpoint(chosen, identity, _check(profile, peers), clock=clock)


def identity_of(home: "Home", certificates: Path | None, key: KeyChoice | None) -> "Identity | None":
    """Who we are in TLS: the certificate of a file, with its chain, and its key; ``None`` where neither was given."""
    if (certificates is None) != (key is None):
        raise click.UsageError("give --cert together with --key or --token-key")
    if certificates is None or key is None:
        return None
    from smpki.tls.identity import Identity, ProviderKey
    from smpki.tls.provider import key_uri, log_in
    from smpki.trust.files import read_certificates

    chain = read_certificates(read_file(certificates), str(certificates))
    if key.label is not None:
        log_in(key.token, token_lock(home))
        return Identity(chain, ProviderKey(key_uri(key.token, key.label)))
    with key.open() as private:
        return Identity(chain, private)


def _check(profile: str, peers: tuple[Path, ...]) -> "PeerCheck":
    from cryptography.hazmat.primitives.hashes import SHA256

    from smpki.tls.peers import exact_match, pinned
    from smpki.trust.files import read_certificates

    known = [one for file in peers for one in read_certificates(read_file(file), str(file))]
    if not known:
        return lambda chain: None
    if profile == "wan":
        return exact_match(known, now=_now)
    return pinned(one.fingerprint(SHA256()) for one in known)


def _facts(transport: asyncio.Transport) -> dict[str, Any]:
    from cryptography.hazmat.primitives.hashes import SHA256

    connection = transport.get_extra_info("tls")
    peer = connection.peer_certificate
    return {
        "address": _address(transport),
        "version": connection.version.value,
        "suite": connection.suite,
        "group": connection.group,
        "server_name": connection.server_name,
        "alpn": connection.alpn,
        "peer": peer
        and {
            "subject": peer.subject.rfc4514_string(),
            "issuer": peer.issuer.rfc4514_string(),
            "serial": f"{peer.serial_number:x}",
            "not_after": peer.not_valid_after_utc.isoformat(),
            "sha256": peer.fingerprint(SHA256()).hex(),
        },
    }


def _failure(error: TlsError) -> dict[str, Any]:
    """A refusal, with the alert that went over the wire and who sent it."""
    from smpki.tls.peers import describe

    alert = getattr(error, "alert", None)
    sender = "peer" if getattr(error, "received", False) else "this side"
    told = {} if alert is None else {"alert": describe(alert), "alert_by": sender}
    return {"error": error.as_dict() | told}


def _text(facts: Mapping[str, Any]) -> str:
    """For people: a line for each fact."""
    if error := facts.get("error"):
        return f"{facts['address']} refused: {error['message']} [{error['code']}]"
    rows = [(name, value) for name, value in facts.items() if name != "peer" and value]
    rows += [(f"peer's {name}", value) for name, value in (facts["peer"] or {}).items()]
    return printable("\n".join(f"{name:<16} {value}" for name, value in rows))


def _address(transport: asyncio.BaseTransport) -> str:
    name = transport.get_extra_info("peername")
    return f"{name[0]} port {name[1]}" if name else ""


def _now() -> datetime:
    return datetime.now(UTC)


tls_command.add_command(probe_command)
tls_command.add_command(listen_command)
