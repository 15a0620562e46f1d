"""Messages between a meter and the gateway that share a key."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smpki.errors import GatewayError
from smpki.gateway.durable import DurableFile
from smpki.gateway.lmn_counter import MeterCounters
from smpki.gateway.lmn_keys import Direction, MasterKey, server_id
from smpki.gateway.lmn_link import MeterLink, ProtectedMessage, Suite
from smpki.policy.device_id import DeviceId

KEY = MasterKey(bytes(range(16)))
METER = server_id(DeviceId.parse("1MTR0E00000123"))
SUITES = [Suite(), Suite(tag_length=8), Suite(ccm=True), Suite(ccm=True, tag_length=12), Suite(ccm=True, tag_length=8)]
NOW = datetime(2026, 11, 22, tzinfo=UTC)

Ends = Callable[..., tuple[MeterLink, MeterLink]]


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    """Meter and gateway, anew or after both lost their power."""

    def make(suite: Suite = SUITES[0], *, new_key: bool = True, meter: bytes = METER) -> tuple[MeterLink, MeterLink]:
        links = [
            MeterLink(
                KEY,
                meter,
                direction,
                MeterCounters(DurableFile(tmp_path / direction.name), KEY, new_key=new_key, clock=lambda: NOW),
                suite,
            )
            for direction in (Direction.FROM_METER, Direction.TO_METER)
        ]
        return links[0], links[1]

    return make


def code(call: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value.code


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_both_directions(ends: Ends, suite: Suite) -> None:
    meter, gateway = ends(suite)
    for number in range(3):
        up = meter.seal(b"reading %d" % number, clear=METER)
        assert len(up.tag) == suite.tag_length
        assert gateway.open(up) == b"reading %d" % number
        down = gateway.seal(b"command %d" % number)
        assert down.counter > up.counter
        assert meter.open(down) == b"command %d" % number


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_no_message_counts_twice_even_after_a_loss_of_power(ends: Ends, suite: Suite) -> None:
    meter, gateway = ends(suite)
    first, second = meter.seal(b"1"), meter.seal(b"2")
    assert gateway.open(second) == b"2"
    assert code(lambda: gateway.open(first)) == "lmn.counter.replayed"
    assert code(lambda: gateway.open(second)) == "lmn.counter.replayed"
    meter, gateway = ends(suite, new_key=False)
    assert code(lambda: gateway.open(second)) == "lmn.counter.replayed"
    assert gateway.open(meter.seal(b"3")) == b"3"


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_a_message_does_not_come_back_to_its_sender(ends: Ends, suite: Suite) -> None:
    meter, gateway = ends(suite)
    assert code(lambda: meter.open(meter.seal(b"reading"))) == "lmn.rejected"
    assert code(lambda: gateway.open(gateway.seal(b"command"))) == "lmn.rejected"


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_what_is_not_authentic_does_not_move_the_counter(ends: Ends, suite: Suite) -> None:
    meter, gateway = ends(suite)
    message = meter.seal(b"reading", clear=METER)
    forged: list[ProtectedMessage] = [
        replace(message, counter=message.counter + 1),
        replace(message, counter=2**32 - 1),
        replace(message, clear=b""),
        replace(message, clear=METER[:-1] + b"\0"),
        replace(message, ciphertext=b""),
        replace(message, ciphertext=message.ciphertext[::-1]),
        replace(message, tag=bytes(suite.tag_length)),
        replace(message, tag=message.tag[:-1]),
    ]
    for each in forged:
        assert code(lambda each=each: gateway.open(each)) == "lmn.rejected"
    assert code(lambda: gateway.open(replace(message, counter=2**32))) == "lmn.counter.range"
    assert gateway.open(message) == b"reading"


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_the_border_between_clear_and_ciphertext_does_not_move(ends: Ends, suite: Suite) -> None:
    meter, gateway = ends(suite)
    message = meter.seal(bytes(40), clear=bytes(32))
    both = message.clear + message.ciphertext
    for border in range(len(both) + 1):
        if border != len(message.clear):
            moved = replace(message, clear=both[:border], ciphertext=both[border:])
            assert code(lambda moved=moved: gateway.open(moved)) == "lmn.rejected"
    assert gateway.open(message) == bytes(40)


def test_another_meters_message_is_refused(ends: Ends, tmp_path: Path) -> None:
    _, gateway = ends()
    (tmp_path / "FROM_METER").unlink()
    (tmp_path / "TO_METER").unlink()
    other, _ = ends(meter=server_id(DeviceId.parse("1MTR0E00000124")))
    assert code(lambda: gateway.open(other.seal(b"reading"))) == "lmn.rejected"


@pytest.mark.parametrize("ccm", [False, True])
def test_a_message_of_another_suite_is_refused(ends: Ends, tmp_path: Path, ccm: bool) -> None:
    _, gateway = ends(Suite(ccm=ccm))
    (tmp_path / "FROM_METER").unlink()
    (tmp_path / "TO_METER").unlink()
    meter, _ = ends(Suite(ccm=not ccm))
    assert code(lambda: gateway.open(meter.seal(b"a reading of 16."))) == "lmn.rejected"


@pytest.mark.parametrize(("ccm", "length"), [(False, 12), (False, 4), (True, 4), (True, 10), (True, 0)])
def test_a_suite_of_no_guideline_is_refused(ccm: bool, length: int) -> None:
    assert code(lambda: Suite(ccm, length)) == "lmn.tag_length"
