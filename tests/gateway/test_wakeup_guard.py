"""No wake-up counts twice, not even after a loss of power."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import GatewayError
from smpki.gateway.durable import DurableFile
from smpki.gateway.wakeup import Accepted, Claim, Reason, Refused, WakeUpReader, build_wake_up
from smpki.gateway.wakeup_guard import WakeUpGuard
from smpki.policy.device_id import DeviceId

GATEWAY = DeviceId.parse("ETST0000000001")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEY = ec.generate_private_key(ec.BrainpoolP256R1())
ORDER = 0xA9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7


class Clock:
    """A gateway's time, that a test sets."""

    now: datetime | None = NOW

    def __call__(self) -> datetime | None:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(make_certificate: Callable[..., x509.Certificate], clock: Clock, tmp_path: Path) -> Callable[[], WakeUpGuard]:
    """Starts the gateway's guard, again and again."""
    reader = WakeUpReader(GATEWAY, [make_certificate(KEY.public_key())])
    return lambda: WakeUpGuard(reader, clock=clock, memory=DurableFile(tmp_path / "wake-up"))


def message(ahead: int = 0) -> bytes:
    return build_wake_up(GATEWAY, NOW + ahead * SECOND, KEY)


def test_a_message_counts_once(start: Callable[[], WakeUpGuard]) -> None:
    guard, first = start(), message()
    accepted = guard.check(first)
    assert isinstance(accepted, Accepted)
    assert accepted.sent_at == NOW
    assert guard.check(first) == Refused(Reason.REPLAY)
    assert guard.check(message()) == Refused(Reason.REPLAY)  # the same second, signed anew
    assert guard.check(message(-1)) == Refused(Reason.REPLAY)
    assert isinstance(guard.check(message(+1)), Accepted)


def test_nor_does_it_count_after_a_restart(start: Callable[[], WakeUpGuard]) -> None:
    first = message()
    assert isinstance(start().check(first), Accepted)
    restarted = start()
    assert restarted.check(first) == Refused(Reason.REPLAY)
    assert isinstance(restarted.check(message(+1)), Accepted)


def test_nor_with_the_other_reading_of_its_time_or_another_signature_made_of_its_own(
    start: Callable[[], WakeUpGuard],
) -> None:
    guard, first = start(), message()
    assert isinstance(guard.check(first), Accepted)
    # of (r, s) everybody can make (r, n - s), which holds as well
    twin = first[:76] + (ORDER - int.from_bytes(first[76:])).to_bytes(32)
    claim = guard.reader.read(twin, NOW)
    assert isinstance(claim, Claim)
    assert isinstance(claim.verify(), Accepted)
    assert guard.check(twin) == Refused(Reason.REPLAY)
    assert guard.accept(claim) == Refused(Reason.REPLAY)


def test_a_replay_costs_no_signature_check(start: Callable[[], WakeUpGuard]) -> None:
    guard = start()
    guard.check(message())
    assert guard.inspect(message()) == Refused(Reason.REPLAY)


def test_what_is_refused_is_not_remembered(start: Callable[[], WakeUpGuard], clock: Clock, tmp_path: Path) -> None:
    guard = start()
    forged = message(+10)[:-1] + b"\0"
    assert guard.check(forged) == Refused(Reason.SIGNATURE)
    assert guard.check(message(+61)) == Refused(Reason.EARLY)
    clock.now = None
    assert guard.check(message(+5)) == Refused(Reason.OWN_TIME)
    assert not (tmp_path / "wake-up").exists()
    clock.now = NOW
    assert isinstance(guard.check(message()), Accepted)


def test_it_is_written_down_before_it_counts(start: Callable[[], WakeUpGuard], monkeypatch: pytest.MonkeyPatch) -> None:
    guard, first = start(), message()

    def full(self: DurableFile, value: object) -> None:
        raise GatewayError("durable.unwritable", "can't be written: No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(DurableFile, "write", full)
        assert guard.check(first) == Refused(Reason.NOT_RECORDED)
    assert isinstance(guard.check(first), Accepted)  # nobody has acted on it
    assert start().check(first) == Refused(Reason.REPLAY)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "durable.unreadable"),
        ("{}", "wakeup.memory"),
        ('{"last_accepted": null}', "wakeup.memory"),
        ('{"last_accepted": true}', "wakeup.memory"),
        ('{"last_accepted": "1"}', "wakeup.memory"),
    ],
)
def test_a_lost_memory_is_not_begun_anew(
    content: str, code: str, start: Callable[[], WakeUpGuard], tmp_path: Path
) -> None:
    (tmp_path / "wake-up").write_text(content)
    with pytest.raises(GatewayError) as refused:
        start()
    assert refused.value.code == code


def test_a_new_certificate_of_the_administrator_does_not_bring_back_what_counted(
    start: Callable[[], WakeUpGuard], make_certificate: Callable[..., x509.Certificate]
) -> None:
    guard, first = start(), message()
    assert isinstance(guard.check(first), Accepted)
    guard.reader = WakeUpReader(GATEWAY, [make_certificate(KEY.public_key())])
    assert guard.check(first) == Refused(Reason.REPLAY)
