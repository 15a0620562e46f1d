"""Deliveries: each reading once to each participant, the same octets until an answer came."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smpki.errors import GatewayError, StoreError
from smpki.gateway.readings import Obis, Reading
from smpki.gateway.store.outbox import Answered, Delivery, Sealed, Selection
from smpki.gateway.store.store import GatewayStore, Transaction
from smpki.policy.device_id import DeviceId

Make = Callable[..., Reading]
MINUTE = timedelta(minutes=1)


def document(readings: Sequence[Reading]) -> bytes:
    return json.dumps([one.as_json() for one in readings]).encode()


def contents(delivery: Delivery) -> list[Reading]:
    return [Reading.from_json(one) for one in json.loads(delivery.document)]


def made(found: Delivery | None) -> Delivery:
    assert found is not None
    return found


def attempt(work: Transaction, *ids: str, now: datetime, then: datetime, octets: bytes = b"sealed") -> None:
    messages = [(work.outbox.get(id), Sealed("circumstances", octets)) for id in ids]
    work.outbox.attempt(messages, now=now, next_attempt_at=then)


def answer(work: Transaction, *ids: str, now: datetime, status: int = 204) -> None:
    state: Any = "acknowledged" if status == 204 else "refused"
    work.outbox.answer([Answered(work.outbox.get(id), state, status) for id in ids], now=now)


@pytest.fixture
def deliver(store: GatewayStore, selection: Selection, noon: datetime) -> Callable[..., Delivery]:
    """Make one delivery in a transaction of its own: ``deliver(id, participant="emt")``."""

    def deliver(id: str, participant: str = "emt") -> Delivery:
        with store.work() as work:
            return made(work.outbox.create(participant, selection, id, document, now=noon))

    return deliver


def test_each_participant_gets_each_reading_once(
    store: GatewayStore, reading: Make, noon: datetime, selection: Selection, deliver: Callable[..., Delivery]
) -> None:
    with store.work() as work:
        work.readings.add([reading(0), reading(1)], now=noon)
    assert contents(deliver("a")) == [reading(0), reading(1)]
    with store.work() as work:
        work.readings.add([reading(3), reading(2)], now=noon)
    assert contents(deliver("b")) == [reading(3), reading(2)]
    assert contents(deliver("c", "other")) == [reading(0), reading(1), reading(3), reading(2)]
    with store.work() as work:
        assert work.outbox.create("emt", selection, "d", document, now=noon) is None
        assert [one.reading for one in work.outbox.readings_of("b")] == [reading(3), reading(2)]
        assert work.outbox.counts() == {("emt", "open"): 2, ("other", "open"): 1}


def test_a_selection_chooses_registers_and_times(
    store: GatewayStore, reading: Make, noon: datetime, registers: list[tuple[DeviceId, Obis]]
) -> None:
    def of(quarter: int, register: int) -> Reading:
        meter, obis = registers[register]
        return reading(quarter, meter=meter, obis=obis)

    with store.work() as work:
        work.readings.add([of(quarter, register) for quarter in range(3) for register in range(3)], now=noon)
        quarter = timedelta(minutes=15)
        chosen = Selection(frozenset(registers[:2]), since=noon + quarter, until=noon + 2 * quarter)
        assert contents(made(work.outbox.create("emt", chosen, "a", document, now=noon))) == [of(1, 0), of(1, 1)]
        wider = replace(chosen, registers=frozenset(registers), since=None)
        found = made(work.outbox.create("emt", wider, "b", document, now=noon))
        assert contents(found) == [of(0, 0), of(0, 1), of(0, 2), of(1, 2)]
        assert work.outbox.create("emt", Selection(frozenset()), "c", document, now=noon) is None


def test_many_readings_go_in_several_deliveries(
    store: GatewayStore, reading: Make, noon: datetime, selection: Selection
) -> None:
    with store.work() as work:
        work.readings.add([reading(quarter) for quarter in range(7)], now=noon)
        sizes = []
        for number in count():
            found = work.outbox.create("emt", selection, str(number), document, now=noon, limit=3)
            if found is None:
                break
            sizes.append(len(contents(found)))
    assert sizes == [3, 3, 1]


def test_a_document_that_cant_be_built_leaves_nothing(
    store: GatewayStore, reading: Make, noon: datetime, selection: Selection, deliver: Callable[..., Delivery]
) -> None:
    def fail(_: Sequence[Reading]) -> bytes:
        raise GatewayError("any.code", "it can't be built")

    with store.work() as work:
        work.readings.add([reading(0)], now=noon)
    with pytest.raises(GatewayError), store.work() as work:
        work.outbox.create("emt", selection, "a", fail, now=noon)
    assert contents(deliver("a")) == [reading(0)]


def test_an_id_names_one_delivery(
    store: GatewayStore, reading: Make, noon: datetime, deliver: Callable[..., Delivery]
) -> None:
    with store.work() as work:
        work.readings.add([reading(0)], now=noon)
    deliver("a")
    with pytest.raises(StoreError) as refused:
        deliver("a", "other")
    assert refused.value.code == "store.conflict"
    assert contents(deliver("b", "other")) == [reading(0)]


def test_readings_that_come_late_or_for_another_selection_are_not_passed_over(
    store: GatewayStore, reading: Make, noon: datetime, registers: list[tuple[DeviceId, Obis]]
) -> None:
    """What was reached is known for one selection, and by the order of storing rather than that of the times."""
    meter, obis = registers[1]
    one, both = Selection(frozenset(registers[:1])), Selection(frozenset(registers[:2]))
    with store.work() as work:
        work.readings.add([reading(5), reading(6, meter=meter, obis=obis)], now=noon)
        assert contents(made(work.outbox.create("emt", one, "a", document, now=noon))) == [reading(5)]
        assert work.outbox.create("emt", one, "b", document, now=noon) is None
        work.readings.add([reading(1)], now=noon)
        found = made(work.outbox.create("emt", both, "c", document, now=noon))
        assert contents(found) == [reading(6, meter=meter, obis=obis), reading(1)]
        assert work.outbox.create("emt", one, "d", document, now=noon) is None
        assert len(contents(made(work.outbox.create("other", both, "e", document, now=noon)))) == 3


def test_what_was_delivered_is_not_looked_at_again(
    store: GatewayStore, reading: Make, noon: datetime, selection: Selection
) -> None:
    def steps() -> int:
        """What SQLite does to find that there is nothing to deliver, and what is due."""
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        with store.work() as work:
            connection = work.outbox._connection.connection.driver_connection
            assert connection is not None
            connection.set_progress_handler(step, 10)
            assert work.outbox.create("emt", selection, "none", document, now=noon) is None
            assert work.outbox.due("emt", noon) == ()
            assert work.outbox.next_attempt_at("emt") is None
            connection.set_progress_handler(None, 10)
        return count

    few = 0
    for number in range(20):
        with store.work() as work:
            work.readings.add([reading(50 * number + quarter) for quarter in range(50)], now=noon)
            work.outbox.create("emt", selection, str(number), document, now=noon)
            answer(work, str(number), now=noon)
        few = few or steps()
    assert steps() <= 2 * few


def test_the_number_of_a_reading_is_never_given_to_another(store: GatewayStore, reading: Make, noon: datetime) -> None:
    with store.work() as work:
        work.readings.add([reading(0), reading(1)], now=noon)
        work.readings._connection.exec_driver_sql("DELETE FROM reading WHERE number = 1")
    with pytest.raises(StoreError), store.work() as work:
        work.readings._connection.exec_driver_sql("DELETE FROM reading")
    with store.work() as work:
        work.readings.add([reading(2)], now=noon)
        assert [one.number for one in work.readings.page()] == [2, 3]


def test_open_deliveries_are_due_from_the_oldest_on(
    store: GatewayStore, reading: Make, noon: datetime, deliver: Callable[..., Delivery]
) -> None:
    for number, (id, participant) in enumerate([("a", "emt"), ("b", "emt"), ("c", "other"), ("d", "emt")]):
        with store.work() as work:
            work.readings.add([reading(number)], now=noon)
        deliver(id, participant)

    def due(now: datetime, participant: str = "emt", **how: Any) -> list[str]:
        with store.view() as view:
            return [one.id for one in view.outbox.due(participant, now, **how)]

    assert (due(noon), due(noon, limit=2), due(noon, limit=9)) == (["a"], ["a", "b"], ["a", "b", "d"])
    assert due(noon, "other", limit=9) == ["c"]
    with store.work() as work:
        attempt(work, "a", "b", now=noon, then=noon + 5 * MINUTE)
        attempt(work, "c", now=noon, then=noon + 9 * MINUTE)
        assert [work.outbox.get(id).attempts for id in "abcd"] == [1, 1, 1, 0]
        assert work.outbox.next_attempt_at("emt") == noon + 5 * MINUTE  # d waits for a
        assert work.outbox.next_attempt_at("nobody") is None
    assert due(noon + 4 * MINUTE, limit=9) == []
    assert due(noon + 4 * MINUTE, limit=9, whenever=True) == ["a", "b", "d"]
    assert due(noon + 5 * MINUTE, limit=9) == ["a", "b", "d"]
    with store.work() as work:
        answer(work, "a", now=noon + 5 * MINUTE)
        answered = work.outbox.get("a")
        assert (answered.state, answered.answered_status, answered.answered_at) == (
            "acknowledged",
            204,
            noon + 5 * MINUTE,
        )
        attempt(work, "d", now=noon, then=noon + 9 * MINUTE)
    assert due(noon + 5 * MINUTE, limit=9) == ["b"]


def test_a_clock_that_was_set_back_delays_nothing(
    store: GatewayStore, reading: Make, noon: datetime, deliver: Callable[..., Delivery]
) -> None:
    with store.work() as work:
        work.readings.add([reading(0)], now=noon)
    deliver("a")
    with store.work() as work:
        assert [one.id for one in work.outbox.due("emt", noon - timedelta(days=3650))] == ["a"]
        attempt(work, "a", now=noon, then=noon + MINUTE)
        assert work.outbox.due("emt", noon) == ()
        assert [one.id for one in work.outbox.due("emt", noon - MINUTE)] == ["a"]
        attempt(work, "a", now=noon - MINUTE, then=noon)
        assert work.outbox.due("emt", noon - MINUTE) == ()


def test_the_same_octets_are_sent_until_there_is_an_answer(
    store: GatewayStore, reading: Make, noon: datetime, deliver: Callable[..., Delivery]
) -> None:
    with store.work() as work:
        work.readings.add([reading(0)], now=noon)
    first = deliver("a")
    assert first.sealed is None
    with store.work() as work:
        attempt(work, "a", now=noon, then=noon, octets=b"first")
        work.readings.add([reading(0, 99), reading(1)], now=noon)
    store.close()
    with store.work() as work:
        (again,) = work.outbox.due("emt", noon)
        assert (again.id, again.document, again.attempts) == (first.id, first.document, 1)
        assert again.sealed == Sealed("circumstances", b"first")
        attempt(work, "a", now=noon, then=noon, octets=b"second")  # as when certificates have changed
        (again,) = work.outbox.due("emt", noon)
        assert again.sealed == Sealed("circumstances", b"second")
        answer(work, "a", now=noon)
        assert work.outbox.get("a").sealed is None


def test_answers_close_a_delivery_once(
    store: GatewayStore, reading: Make, noon: datetime, selection: Selection, deliver: Callable[..., Delivery]
) -> None:
    for number, id in enumerate("ab"):
        with store.work() as work:
            work.readings.add([reading(number)], now=noon)
        deliver(id)
    acts: list[Callable[[Transaction], None]] = [
        lambda work: answer(work, "b", "a", now=noon),
        lambda work: answer(work, "b", "a", now=noon, status=422),
        lambda work: attempt(work, "b", "a", now=noon, then=noon),
    ]
    with store.work() as work:
        answer(work, "a", now=noon, status=422)
        assert [one.id for one in work.outbox.due("emt", noon)] == ["b"]
        assert work.outbox.create("emt", selection, "c", document, now=noon) is None
    for act in acts:
        with pytest.raises(GatewayError) as refused, store.work() as work:
            act(work)
        assert refused.value.code == "delivery.state"
    with store.work() as work:
        assert [one.id for one in work.outbox.page(state="refused", participant="emt")] == ["a"]
        assert work.outbox.get("b").attempts == 0  # nothing of those acts is left
        assert work.outbox.reopen("other", now=noon) == 0
        assert work.outbox.reopen("emt", now=noon) == 1
        assert [one.id for one in work.outbox.due("emt", noon, limit=2)] == ["a", "b"]
        acts[0](work)
        assert [one.id for one in work.outbox.page(after=0)] == ["a", "b"]
        assert work.outbox.next_attempt_at("emt") is None
        assert work.outbox.reopen("emt", now=noon) == 0


def test_deliveries_that_nobody_knows(store: GatewayStore) -> None:
    with store.work() as work:
        for act in (work.outbox.get, work.outbox.readings_of):
            with pytest.raises(GatewayError) as refused:
                act("a")
            assert refused.value.code == "delivery.unknown"


acts = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 5)),
        st.tuples(st.just("create"), st.sampled_from(["emt", "other"])),
        st.tuples(st.sampled_from(["attempt", "acknowledge", "refuse"]), st.integers(0, 10)),
    ),
    max_size=25,
)


@given(acts)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_in_any_order_each_reading_goes_once(
    store: GatewayStore,
    reading: Make,
    noon: datetime,
    registers: list[tuple[DeviceId, Obis]],
    acts: list[tuple[str, int | str]],
) -> None:
    selections = {"emt": Selection(frozenset(registers[:2])), "other": Selection(frozenset(registers[1:]))}
    with pytest.raises(GatewayError, match=r"test\.over"), store.work() as work:  # so that the next begins empty
        added: list[Reading] = []
        for number, (act, argument) in enumerate(acts):
            if act == "add" and isinstance(argument, int):
                new = [reading(argument, meter=meter, obis=obis) for meter, obis in registers[: argument % 3 + 1]]
                added += [one for one in new if one not in added]
                work.readings.add(new, now=noon)
            elif act == "create" and isinstance(argument, str):
                work.outbox.create(argument, selections[argument], str(number), document, now=noon, limit=2)
            elif due := [one for name in selections for one in work.outbox.due(name, noon, limit=2)]:
                id = due[int(argument) % len(due)].id
                if act == "attempt":
                    attempt(work, id, now=noon, then=noon)
                else:
                    answer(work, id, now=noon, status=204 if act == "acknowledge" else 422)
        for participant, selection in selections.items():
            for number in count(len(acts)):
                id = f"{participant} {number}"
                if work.outbox.create(participant, selection, id, document, now=noon) is None:
                    break
            sent = [one for each in work.outbox.page(participant=participant) for one in contents(each)]
            wanted = [one for one in added if (one.meter, one.obis) in selection.registers]
            assert sorted(map(str, sent)) == sorted(map(str, wanted))
        raise GatewayError("test.over", "nothing of this stays")
