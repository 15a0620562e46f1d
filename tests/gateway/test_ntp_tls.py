"""Time through TLS, from server to gateway, with the certificates of both."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import TlsError
from smpki.gateway.ntp_client import NtpClient
from smpki.gateway.ntp_stream import Complaint, NtpServerProtocol, synchronise, time_server_check
from smpki.gateway.time_keeper import Standing, TimeKeeper, TimeSet
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import exact_match
from smpki.tls.profile import HAN_CLIENT, HAN_SERVER, WAN_CLIENT, WAN_SERVER, Profile, Version
from smpki.tls.transport import serve

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
YEAR = timedelta(days=365)
UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
SERVER_KEY, GATEWAY_KEY = (ec.generate_private_key(ec.BrainpoolP256R1()) for _ in range(2))
TLS_USES = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH, x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH])

Certificates = Callable[..., x509.Certificate]


class Office:
    """An administrator's time server, and a gateway."""

    def __init__(self, server: x509.Certificate, gateway: x509.Certificate) -> None:
        self.seconds = 0.0
        self.complaints: list[Complaint] = []
        self.server, self.gateway = server, gateway
        self.trusted = server
        self.keeper = TimeKeeper(UNKNOWN_TIME, self.monotonic)
        self.client = NtpClient(self.keeper, random=lambda octets: b"\x55" * octets)

    def monotonic(self) -> float:
        return self.seconds

    def time(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def protocol(self) -> NtpServerProtocol:
        return NtpServerProtocol(
            lambda: Standing(self.time(), trusted=True, stratum=1),
            log=self.complaints.append,
            monotonic=self.monotonic,
        )

    def ask(self, client: Profile = WAN_CLIENT, server: Profile = WAN_SERVER) -> Any:
        """A minute later: connect to the server and ask it."""
        self.seconds += 60
        theirs = Endpoint(
            server,
            Identity((self.server,), SERVER_KEY),
            exact_match([self.gateway], now=self.time),
            clock=self.time,
        )
        ours = Endpoint(
            client,
            Identity((self.gateway,), GATEWAY_KEY),
            time_server_check([self.trusted], self.keeper),
            clock=self.keeper.reading,
        )

        async def scenario() -> Any:
            async with await serve(self.protocol, theirs, "127.0.0.1", 0) as listener:
                return await synchronise(self.client, ours, "127.0.0.1", listener.port)

        return asyncio.run(scenario())


@pytest.fixture
def office(make_certificate: Certificates) -> Callable[..., Office]:
    def make(**dates: datetime) -> Office:
        server = make_certificate(SERVER_KEY.public_key(), extended=TLS_USES, **dates)
        return Office(server, make_certificate(GATEWAY_KEY.public_key(), extended=TLS_USES))

    return make


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize(("client", "server"), [(WAN_CLIENT, WAN_SERVER), (HAN_CLIENT, HAN_SERVER)])
@pytest.mark.requirement("REQ.TA.NTP.BuildRequest.20")
def test_the_time_comes_through_tls(
    office: Callable[..., Office], client: Profile, server: Profile, version: Version
) -> None:
    one = office()
    versions = frozenset([version])
    result = one.ask(replace(client, versions=versions), replace(server, versions=versions))
    assert isinstance(result, TimeSet)
    assert one.keeper.now() == one.time()
    assert one.complaints == []


@pytest.mark.requirement("REQ.TA.TLS.Handshake.160")
def test_dates_of_the_servers_certificate_count_as_soon_as_there_is_a_time(office: Callable[..., Office]) -> None:
    expired = office(not_after=NOW - YEAR)
    assert isinstance(expired.ask(), TimeSet)
    with pytest.raises(TlsError) as refused:
        expired.ask()
    assert refused.value.code == "tls.peer.expired"
    expired.keeper.distrust()
    assert isinstance(expired.ask(), TimeSet)


def test_only_the_configured_server_tells_the_time(office: Callable[..., Office]) -> None:
    one = office()
    right = one.server
    one.server = office().server
    with pytest.raises(TlsError) as refused:
        one.ask()
    assert refused.value.code == "tls.peer.unknown"
    assert one.keeper.now() is None
    one.server = right
    assert isinstance(one.ask(), TimeSet)
