"""Counters of meters without TLS never wrap, repeat or go back, over any loss of power."""

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smpki.errors import GatewayError
from smpki.gateway.durable import DurableFile
from smpki.gateway.lmn_counter import OLDEST_STORED, MeterCounters
from smpki.gateway.lmn_keys import HIGHEST_COUNTER, MasterKey

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY, NEW_KEY = MasterKey(bytes(16)), MasterKey(bytes(range(16)))


class Clock:
    """A time that a test sets."""

    now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(tmp_path: Path) -> DurableFile:
    return DurableFile(tmp_path / "counters")


@pytest.fixture
def start(memory: DurableFile, clock: Clock) -> Callable[..., MeterCounters]:
    """Starts a side of the link, for the first time or after it lost its power."""

    def begin(key: MasterKey = KEY, **options: Any) -> MeterCounters:
        return MeterCounters(memory, key, clock=clock, **options)

    return begin


def code(call: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as caught:
        call()
    assert KEY.reveal().hex() not in str(caught.value.as_dict())
    return caught.value.code


def broken(_: int) -> None:
    """Take the place of ``os.fsync`` when the disk is full."""
    raise OSError(28, "No space left on device")


Start = Callable[..., MeterCounters]


def test_each_counter_is_sent_once_and_rises(start: Start) -> None:
    counters = start(new_key=True)
    taken = [counters.take() for _ in range(100)]
    assert taken == list(range(100))


@pytest.mark.parametrize("stretch", [1, 2, 16])
@pytest.mark.parametrize("sent", [1, 2, 15, 16, 17])
def test_none_is_sent_again_after_a_loss_of_power(start: Start, stretch: int, sent: int) -> None:
    counters = start(new_key=True, stretch=stretch)
    last = max(counters.take() for _ in range(sent))
    after = start(stretch=stretch).take()
    assert last < after <= last + stretch


def test_a_number_is_written_down_before_it_is_used(start: Start, memory: DurableFile) -> None:
    counters = start(new_key=True, stretch=4)
    for _ in range(10):
        taken = counters.take()
        stored = memory.read()
        assert stored is not None
        assert taken <= json.loads(json.dumps(stored))["keys"][KEY.check_value]["sent"]


@pytest.mark.requirement("REQ.WMBUS.Unidirektional.60")
def test_only_a_higher_counter_is_accepted(start: Start) -> None:
    counters = start(new_key=True)
    counters.accept(0)
    counters.accept(5)
    for old in (0, 4, 5):
        assert code(lambda old=old: counters.require_new(old)) == "lmn.counter.replayed"
        assert code(lambda old=old: counters.accept(old)) == "lmn.counter.replayed"
    counters.accept(6)
    after = start()
    assert code(lambda: after.require_new(6)) == "lmn.counter.replayed"
    after.accept(7)


def test_what_is_sent_lies_above_what_was_received(start: Start) -> None:
    counters = start(new_key=True)
    counters.take()
    counters.accept(1000)
    assert counters.take() == 1001
    counters.accept(1001)  # the other side has not heard of it yet
    assert counters.take() == 1002
    assert start().take() > 1002


def test_counters_end_and_never_wrap(start: Start) -> None:
    counters = start(new_key=True)
    counters.accept(HIGHEST_COUNTER - 1)
    assert counters.take() == HIGHEST_COUNTER
    assert code(counters.take) == "lmn.counter.exhausted"
    assert code(start().take) == "lmn.counter.exhausted"
    counters.accept(HIGHEST_COUNTER)
    for wrapped in (0, 1, HIGHEST_COUNTER):
        assert code(lambda wrapped=wrapped: counters.accept(wrapped)) == "lmn.counter.replayed"
    assert code(lambda: counters.accept(HIGHEST_COUNTER + 1)) == "lmn.counter.range"


def test_only_a_new_key_starts_anew(start: Start) -> None:
    counters = start(new_key=True)
    counters.accept(1000)
    assert code(lambda: start(new_key=True)) == "lmn.counter.key_used"
    assert code(lambda: start(NEW_KEY)) == "lmn.counter.key_unknown"
    start(NEW_KEY, new_key=True).accept(0)
    # the former key goes on where it was: a meter whose association is undone has it again
    assert code(lambda: start(new_key=True)) == "lmn.counter.key_used"
    assert code(lambda: start().accept(1000)) == "lmn.counter.replayed"
    assert code(lambda: start(NEW_KEY).accept(0)) == "lmn.counter.replayed"


def test_a_missing_file_is_no_reason_to_begin(start: Start, memory: DurableFile) -> None:
    assert code(start) == "lmn.counter.missing"
    start(new_key=True).accept(7)
    memory.path.unlink()
    assert code(start) == "lmn.counter.missing"


def test_two_sides_with_one_file_neither_send_nor_accept_the_same(start: Start, memory: DurableFile) -> None:
    start(new_key=True)
    one, other = (MeterCounters(DurableFile(memory.path), KEY, clock=Clock()) for _ in range(2))
    one.take()
    one.accept(7)
    for call in (other.take, lambda: other.accept(7), lambda: other.accept(8)):
        assert code(call) == "durable.changed"
    one.accept(8)


def test_an_older_copy_does_not_bring_counters_back(start: Start, memory: DurableFile) -> None:
    counters = start(new_key=True)
    older = memory.path.read_bytes()
    counters.accept(7)
    memory.path.write_bytes(older)
    assert code(lambda: counters.accept(8)) == "durable.changed"


WRONG = {
    "nothing": b"",
    "torn": b'{"keys": {"',
    "no object": b"[]",
    "another's": b'{"last_accepted": 5}',
    "no keys": b'{"keys": []}',
    "no counters": b'{"keys": {"66e94bd4ef8a2c3b": 5}}',
    "half of them": b'{"keys": {"66e94bd4ef8a2c3b": {"sent": 5}}}',
    "too low": b'{"keys": {"66e94bd4ef8a2c3b": {"sent": 5, "received": -2}}}',
    "too high": b'{"keys": {"66e94bd4ef8a2c3b": {"sent": 5, "received": 4294967296}}}',
    "no number": b'{"keys": {"66e94bd4ef8a2c3b": {"sent": 5, "received": true}}}',
    "a fraction": b'{"keys": {"66e94bd4ef8a2c3b": {"sent": 5, "received": 1.5}}}',
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("new_key", [True, False])
def test_a_file_that_is_not_ours_is_refused_and_kept(
    start: Start, memory: DurableFile, content: bytes, new_key: bool
) -> None:
    memory.path.write_bytes(content)
    assert code(lambda: start(new_key=new_key)) in {"lmn.counter.memory", "durable.unreadable"}
    assert memory.path.read_bytes() == content


def test_on_a_full_disk_nothing_is_sent_or_accepted(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    counters = start(new_key=True, stretch=2)
    counters.accept(10)
    last = counters.take()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        assert counters.take() == last + 1  # was written down before
        assert code(counters.take) == "durable.unwritable"
        assert code(lambda: counters.accept(20)) == "durable.unwritable"
        assert code(lambda: start(NEW_KEY, new_key=True)) == "durable.unwritable"
        counters.require_new(20)
    counters.accept(20)  # sent again, it is accepted
    assert counters.take() == 21


def test_by_default_no_message_is_accepted_again(start: Start) -> None:
    counters = start(new_key=True)
    for counter in range(5):
        counters.accept(counter)
        assert counters.store_due is None
        assert code(lambda counter=counter: start().require_new(counter)) == "lmn.counter.replayed"


def test_what_is_stored_is_no_older_than_said(start: Start, clock: Clock) -> None:
    counters = start(new_key=True, store_within=6 * HOUR)
    counters.accept(1)
    counters.accept(2)
    assert counters.store_due == NOON + 6 * HOUR
    start().require_new(1)  # nothing is written yet
    clock.now += 5 * HOUR
    counters.accept(3)
    assert counters.store_due == NOON + 6 * HOUR
    clock.now += HOUR
    counters.accept(4)
    assert counters.store_due is None
    assert code(lambda: start().require_new(4)) == "lmn.counter.replayed"


def test_a_silent_meters_counter_is_stored_in_time_too(start: Start, clock: Clock) -> None:
    counters = start(new_key=True, store_within=OLDEST_STORED)
    counters.accept(1)
    clock.now += OLDEST_STORED
    assert counters.store_due == clock.now
    counters.store()
    assert counters.store_due is None
    assert code(lambda: start().require_new(1)) == "lmn.counter.replayed"


def test_a_clock_that_was_set_back_stores_at_once(start: Start, clock: Clock) -> None:
    counters = start(new_key=True, store_within=6 * HOUR)
    counters.accept(1)
    clock.now -= HOUR
    counters.accept(2)
    assert code(lambda: start().require_new(2)) == "lmn.counter.replayed"


def test_sending_stores_what_was_received(start: Start) -> None:
    counters = start(new_key=True, store_within=6 * HOUR)
    counters.accept(7)
    counters.take()
    assert counters.store_due is None
    assert code(lambda: start().require_new(7)) == "lmn.counter.replayed"


@pytest.mark.parametrize("within", [-HOUR, OLDEST_STORED + timedelta(microseconds=1)])
def test_12_hours_are_the_most(start: Start, within: timedelta) -> None:
    assert code(lambda: start(new_key=True, store_within=within)) == "lmn.counter.store_within"


EVENTS = st.lists(
    st.one_of(
        st.just(("take", 0)),
        st.tuples(st.just("accept"), st.integers(0, 40)),
        st.tuples(st.just("hours"), st.integers(0, 5)),
        st.just(("crash", 0)),
        st.tuples(st.just("crash while writing"), st.integers(0, 40)),
    ),
    max_size=40,
)


def live(events: list[tuple[str, int]], folder: Path) -> None:
    """A life of losses of power: what must hold, holds."""
    clock, within = Clock(), 6 * HOUR
    memory = DurableFile(folder / "counters")
    counters = MeterCounters(memory, KEY, new_key=True, clock=clock, store_within=within, stretch=3)
    taken: list[int] = []
    accepted: list[tuple[datetime, int]] = []  # since the last loss of power
    kept: list[int] = []

    def accept(counter: int, *refusals: str) -> None:
        try:
            counters.accept(counter)
            accepted.append((clock.now, counter))
        except GatewayError as error:
            assert error.code in {"lmn.counter.replayed", *refusals}

    for event, value in events:
        if event == "take":
            taken.append(counters.take())
        elif event == "accept":
            accept(value)
        elif event == "hours":
            clock.now += value * HOUR
            if counters.store_due is not None and counters.store_due <= clock.now:
                clock.now = counters.store_due  # the caller keeps its word
                counters.store()
        else:
            if event == "crash while writing":
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(os, "fsync", broken)
                    accept(value, "durable.unwritable")
                    with suppress(GatewayError):
                        taken.append(counters.take())
            counters = MeterCounters(memory, KEY, clock=clock, store_within=within, stretch=3)
            kept += [counter for at, counter in accepted if clock.now - at >= within]
            accepted = []
            for counter in kept:
                with pytest.raises(GatewayError):
                    counters.require_new(counter)
    assert taken == sorted(set(taken))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS)
def test_any_life_keeps_the_promises(events: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        live(events, Path(folder))


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS)
def test_very_many_lives_keep_the_promises(events: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        live(events, Path(folder))
