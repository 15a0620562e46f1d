"""The UDP port for wake-ups: floods cost little, nothing is ever sent."""

import asyncio
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import GatewayError
from smpki.gateway.durable import DurableFile
from smpki.gateway.wakeup import Accepted, Claim, Reason, WakeUpReader, build_wake_up
from smpki.gateway.wakeup_guard import WakeUpGuard
from smpki.gateway.wakeup_listener import Limits, Notice, WakeUpListener, listen
from smpki.policy.device_id import DeviceId

GATEWAY = DeviceId.parse("ETST0000000001")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = ec.generate_private_key(ec.BrainpoolP256R1())
MESSAGE = build_wake_up(GATEWAY, NOW, KEY)
FORGED = MESSAGE[:-1] + bytes([MESSAGE[-1] ^ 1])
SENDER = ("192.0.2.1", 4711)


class Office:
    """A listener with a clock that stands still unless a test moves it; what it reported."""

    def __init__(self, certificate: x509.Certificate, memory: Path) -> None:
        self.seconds = 0.0
        self.woken: list[Accepted] = []
        self.notices: list[Notice] = []
        reader = WakeUpReader(GATEWAY, [certificate])
        self.guard = WakeUpGuard(reader, clock=lambda: NOW, memory=DurableFile(memory))
        self.listener = self.make_listener(Limits(checks=5, notices=3))

    def make_listener(self, limits: Limits) -> WakeUpListener:
        return WakeUpListener(
            self.guard,
            wake=self.woken.append,
            log=self.notices.append,
            monotonic=lambda: self.seconds,
            limits=limits,
        )

    def receive(self, data: bytes, times: int = 1) -> None:
        for _ in range(times):
            self.listener.datagram_received(data, SENDER)


@pytest.fixture
def office(make_certificate: Callable[..., x509.Certificate], tmp_path: Path) -> Office:
    return Office(make_certificate(KEY.public_key()), tmp_path / "wake-up")


def test_each_refused_packet_is_logged_at_most_once_and_few_are(office: Office) -> None:
    office.receive(b"WU\x01 password", times=1000)
    assert office.notices == [Notice(Reason.LENGTH, "192.0.2.1", 0)] * 3
    office.seconds += 20  # three a minute
    office.receive(b"", times=2)
    assert office.notices[3:] == [Notice(Reason.LENGTH, "192.0.2.1", 997)]
    office.seconds += 3600
    office.receive(b"", times=4)
    assert [notice.unlogged for notice in office.notices[4:]] == [1, 0, 0]
    assert "password" not in repr(office.notices)


def test_a_flood_costs_a_bounded_number_of_signature_checks(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    verify, checks = Claim.verify, []
    monkeypatch.setattr(Claim, "verify", lambda claim: checks.append(1) or verify(claim))
    office.receive(b"junk", times=1000)
    assert len(checks) == 0
    office.receive(FORGED, times=1000)
    assert len(checks) == 5
    office.receive(MESSAGE)
    assert not office.woken
    office.seconds += 1
    office.receive(MESSAGE)
    assert [one.sent_at for one in office.woken] == [NOW]
    office.receive(MESSAGE, times=1000)
    assert len(checks) == 6
    assert len(office.woken) == 1


def test_overload_is_told_from_a_bad_signature(office: Office) -> None:
    office.listener = office.make_listener(Limits(checks=1, notices=3))
    office.receive(FORGED, times=3)
    assert [notice.reason for notice in office.notices] == [Reason.SIGNATURE, Reason.OVERLOAD, Reason.OVERLOAD]


def test_silence_towards_the_sender_over_a_socket(office: Office) -> None:
    async def scenario() -> None:
        transport = await listen(office.listener, "127.0.0.1", 0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.0.1", 0))
            for data in (b"", b"junk", FORGED, bytes(60_000), MESSAGE, MESSAGE):
                sender.sendto(data, transport.get_extra_info("sockname"))
            async with asyncio.timeout(10):
                while not office.woken:
                    await asyncio.sleep(0.01)
            sender.settimeout(0.1)
            with pytest.raises(TimeoutError):
                sender.recv(1)
        transport.close()

    asyncio.run(scenario())
    assert len(office.woken) == 1
    assert len(office.notices) == 3


def test_a_port_that_is_taken(office: Office) -> None:
    async def scenario(port: int) -> None:
        await listen(office.listener, "127.0.0.1", port)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(GatewayError) as refused:
            asyncio.run(scenario(taken.getsockname()[1]))
    assert refused.value.code == "wakeup.port"
