"""Certificates, a clock, pairs of endpoints, and what carries octets between the two ends of a connection."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from OpenSSL import SSL

from smpki.asn1.curves import CURVES
from smpki.errors import TlsError
from smpki.tls import binding
from smpki.tls.connection import Connection
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import PeerCheck, exact_match
from smpki.tls.profile import WAN_CLIENT, WAN_SERVER, Profile, Version

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

_spec = importlib.util.spec_from_file_location("tls_wire", Path(__file__).with_name("tls_wire.py"))
assert _spec is not None and _spec.loader is not None
tls_wire = sys.modules.setdefault("tls_wire", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(tls_wire)


@dataclass
class Clock:
    """A clock that stands still until a test sets it."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


class End(Protocol):
    """One end of a connection: ours or that of a foreign library."""

    def start(self) -> None: ...
    def receive(self, data: bytes) -> list[Any]: ...
    def data_to_send(self) -> bytes: ...


class BareEnd:
    """One end that is pyOpenSSL without any of our rules.

    :param tune: sets the context up
    :ivar alerts: numbers of the alerts that came, close_notify among them
    """

    def __init__(
        self, *, server: bool, identity: Identity | None = None, tune: Callable[[SSL.Context], None] | None = None
    ) -> None:
        context = SSL.Context(SSL.TLS_METHOD)
        groups = [f"brainpoolP{bits}r1{suffix}" for bits in (256, 384, 512) for suffix in ("tls13", "")]
        binding.set_groups(context, [*groups, "P-256", "P-384"])
        if identity:
            context.use_certificate(identity.certificates[0])
            context.use_privatekey(identity.key)
        if tune:
            tune(context)
        self.alerts: list[int] = []
        context.set_info_callback(self._informed)
        self.ssl = SSL.Connection(context, None)
        self.server = server
        (self.ssl.set_accept_state if server else self.ssl.set_connect_state)()

    def start(self) -> None:
        if not self.server:
            self.receive(b"")

    def receive(self, data: bytes) -> list[Any]:
        if data:
            self.ssl.bio_write(data)
        received = []
        try:
            self.ssl.do_handshake()
            while True:
                received.append(self.ssl.recv(16384))
        except (SSL.WantReadError, SSL.ZeroReturnError):
            return received

    def data_to_send(self) -> bytes:
        try:
            return self.ssl.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""

    def _informed(self, _connection: SSL.Connection, where: int, value: int) -> None:
        if where == 0x4004:  # SSL_CB_READ_ALERT
            self.alerts.append(value & 0xFF)


@dataclass
class Outcome:
    """What came of it at both ends."""

    client_events: list[Any] = field(default_factory=list)
    server_events: list[Any] = field(default_factory=list)
    client_error: Exception | None = None
    server_error: Exception | None = None


def _drive(client: End, server: End, change: Callable[[bool, bytes], bytes] = lambda _to_server, data: data) -> Outcome:
    """Carry octets both ways until there are none, errors or not.

    :param change: what a man in the middle makes of them; called with whether they go to the server
    """
    outcome = Outcome()
    client.start()
    while True:
        idle = True
        for here, there, name in ((client, server, "server"), (server, client, "client")):
            data = here.data_to_send()
            if data and getattr(outcome, f"{name}_error") is None:
                idle = False
                try:
                    getattr(outcome, f"{name}_events").extend(there.receive(change(there is server, data)))
                except (TlsError, SSL.Error) as error:
                    setattr(outcome, f"{name}_error", error)
        if idle:
            return outcome


@cache
def _identity(name: str, curve: str = "brainpoolP256r1") -> Identity:
    key = ec.generate_private_key(CURVES[curve])
    return Identity((_certificate(name, key),), key)


def _certificate(
    name: str,
    key: CertificateIssuerPrivateKeyTypes,
    *,
    valid_from: datetime = NOW - timedelta(days=1),
    valid_to: datetime = NOW + timedelta(days=365),
    extensions: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(valid_from).not_valid_after(valid_to)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, hashes.SHA256())


@pytest.fixture
def identity() -> Callable[..., Identity]:
    """``identity(name, curve="brainpoolP256r1")``: a self-signed certificate and its key, made once a run."""
    return _identity


@pytest.fixture
def certificate() -> Callable[..., x509.Certificate]:
    """``certificate(name, key, valid_from=..., valid_to=..., extensions=())``: a self-signed one."""
    return _certificate


@pytest.fixture
def clock() -> Clock:
    """A clock: call it for the time, set ``now``."""
    return Clock()


@pytest.fixture
def ends(clock: Clock) -> Callable[..., tuple[Endpoint, Endpoint]]:
    """Makes the endpoints of a client and a server that expect each other.

    ``ends(versions={...}, client=WAN_CLIENT, server=WAN_SERVER, ours=..., theirs=..., client_check=...,
    server_check=..., authorities=(), session_clock=...)``
    """

    def make(
        versions: Sequence[Version] = tuple(Version),
        *,
        client: Profile = WAN_CLIENT,
        server: Profile = WAN_SERVER,
        ours: Identity | None = None,
        theirs: Identity | None = None,
        client_check: PeerCheck | None = None,
        server_check: PeerCheck | None = None,
        authorities: Sequence[x509.Name] = (),
        session_clock: Callable[[], datetime] = clock,
    ) -> tuple[Endpoint, Endpoint]:
        ours, theirs = ours or _identity("gateway"), theirs or _identity("administrator")
        client_check = client_check or exact_match(theirs.certificates[:1], now=clock)
        server_check = server_check or exact_match(ours.certificates[:1], now=clock)
        return tuple(
            Endpoint(
                replace(profile, versions=frozenset(versions)),
                who,
                check,
                clock=session_clock,
                trusted_authorities=authorities,
            )
            for profile, who, check in ((client, ours, client_check), (server, theirs, server_check))
        )

    return make


@pytest.fixture
def drive() -> Callable[..., Outcome]:
    """``drive(client, server)`` carries octets between two ends until there are none: an :class:`Outcome`."""
    return _drive


@pytest.fixture
def bare() -> type[BareEnd]:
    """``bare(server=..., identity=None, tune=None)``: a peer that is pyOpenSSL without our rules."""
    return BareEnd


@pytest.fixture
def pump() -> Callable[[Connection, Connection], tuple[list[Any], list[Any]]]:
    """``pump(client, server)``: the same where nothing may go wrong: the events at both ends."""

    def carry(client: Connection, server: Connection) -> tuple[list[Any], list[Any]]:
        outcome = _drive(client, server)
        for error in (outcome.server_error, outcome.client_error):
            if error:
                raise error
        return outcome.client_events, outcome.server_events

    return carry
