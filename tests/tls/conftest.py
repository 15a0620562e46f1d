"""Certificates, a clock and a pump for the tests of TLS."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from smpki.asn1.curves import CURVES
from smpki.tls.connection import Connection, Event
from smpki.tls.identity import Identity

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@cache
def _identity(name: str, curve: str = "brainpoolP256r1") -> Identity:
    key = ec.generate_private_key(CURVES[curve])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=365))
    return Identity((builder.sign(key, hashes.SHA256()),), key)


def _pump(client: Connection, server: Connection) -> tuple[list[Event], list[Event]]:
    client.start()
    at_client: list[Event] = []
    at_server: list[Event] = []
    while (data := client.data_to_send()) or (answer := server.data_to_send()):
        if data:
            at_server += server.receive(data)
        else:
            at_client += client.receive(answer)
    return at_client, at_server


@pytest.fixture
def identity() -> Callable[..., Identity]:
    """``identity(name, curve="brainpoolP256r1")``: a self-signed certificate and its key, made once a run."""
    return _identity


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """A clock that stands still."""
    return lambda: NOW


@pytest.fixture
def pump() -> Callable[[Connection, Connection], tuple[list[Event], list[Event]]]:
    """``pump(client, server)`` carries octets both ways until there are none: the events at both."""
    return _pump
