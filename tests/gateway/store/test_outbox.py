"""Deliveries: each reading once to each participant, the same octets until an answer came."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smpki.errors import GatewayError, StoreError
from smpki.gateway.readings import Obis, Reading
from smpki.gateway.store.outbox import Delivery, Selection
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


def test_the_oldest_open_delivery_of_each_participant_is_due(
    store: GatewayStore, reading: Make, noon: datetime, deliver: Callable[..., Delivery]
) -> None:
    for number, (id, participant) in enumerate([("a", "emt"), ("b", "emt"), ("c", "other")]):
        with store.work() as work:
            work.readings.add([reading(number)], now=noon)
        deliver(id, participant)

    def due(now: datetime) -> list[str]:
        with store.view() as view:
            return [one.id for one in view.outbox.due(now)]

    assert due(noon) == ["a", "c"]
    with store.work() as work:
        work.outbox.attempted("a", now=noon, next_attempt_at=noon + 5 * MINUTE)
        work.outbox.attempted("c", now=noon, next_attempt_at=noon + 9 * MINUTE)
        assert work.outbox.get("a").attempts == 1
        assert work.outbox.next_attempt_at() == noon + 5 * MINUTE  # b waits for a
    assert due(noon + 4 * MINUTE) == []
    assert due(noon + 5 * MINUTE) == ["a"]
    with store.work() as work:
        work.outbox.acknowledge("a", status=204, now=noon + 5 * MINUTE)
        answered = work.outbox.get("a")
        assert (answered.state, answered.answered_status, answered.answered_at) == (
            "acknowledged",
            204,
            noon + 5 * MINUTE,
        )
    assert due(noon + 5 * MINUTE) == ["b"]


def test_a_clock_that_was_set_back_delays_nothing(
    store: GatewayStore, reading: Make, noon: datetime, deliver: Callable[..., Delivery]
) -> None:
    with store.work() as work:
        work.readings.add([reading(0)], now=noon)
    deliver("a")
    with store.work() as work:
        assert [one.id for one in work.outbox.due(noon - timedelta(days=3650))] == ["a"]
        work.outbox.attempted("a", now=noon, next_attempt_at=noon + MINUTE)
        assert work.outbox.due(noon) == ()
        assert [one.id for one in work.outbox.due(noon - MINUTE)] == ["a"]
        work.outbox.attempted("a", now=noon - MINUTE, next_attempt_at=noon)
        assert work.outbox.due(noon - MINUTE) == ()


def test_the_same_octets_are_sent_until_there_is_an_answer(
    database: object, store: GatewayStore, reading: Make, noon: datetime, deliver: Callable[..., Delivery]
) -> None:
    with store.work() as work:
        work.readings.add([reading(0)], now=noon)
    first = deliver("a")
    with store.work() as work:
        work.outbox.attempted("a", now=noon, next_attempt_at=noon)
        work.readings.add([reading(0, 99), reading(1)], now=noon)
    store.close()
    with store.view() as view:
        (again,) = view.outbox.due(noon)
    assert (again.id, again.document, again.attempts) == (first.id, first.document, 1)


def test_answers_close_a_delivery_once(
    store: GatewayStore, reading: Make, noon: datetime, selection: Selection, deliver: Callable[..., Delivery]
) -> None:
    with store.work() as work:
        work.readings.add([reading(0)], now=noon)
    deliver("a")
    acts: list[Callable[[Transaction], None]] = [
        lambda work: work.outbox.acknowledge("a", status=204, now=noon),
        lambda work: work.outbox.refuse("a", status=422, now=noon),
        lambda work: work.outbox.attempted("a", now=noon, next_attempt_at=noon),
    ]
    with store.work() as work:
        work.outbox.refuse("a", status=422, now=noon)
        assert work.outbox.due(noon) == ()
        assert work.outbox.create("emt", selection, "b", document, now=noon) is None
    for act in acts:
        with pytest.raises(GatewayError) as refused, store.work() as work:
            act(work)
        assert refused.value.code == "delivery.state"
    with store.work() as work:
        assert [one.id for one in work.outbox.page(state="refused", participant="emt")] == ["a"]
        work.outbox.reopen("a", now=noon)
        assert [one.id for one in work.outbox.due(noon)] == ["a"]
        acts[0](work)
        assert [one.id for one in work.outbox.page(after=0)] == ["a"]
        assert work.outbox.next_attempt_at() is None
    with pytest.raises(GatewayError) as refused, store.work() as work:
        work.outbox.reopen("a", now=noon)
    assert refused.value.code == "delivery.state"


def test_deliveries_that_nobody_knows(store: GatewayStore, noon: datetime) -> None:
    with store.work() as work:
        for act in (
            lambda: work.outbox.get("a"),
            lambda: work.outbox.readings_of("a"),
            lambda: work.outbox.acknowledge("a", status=204, now=noon),
        ):
            with pytest.raises(GatewayError) as refused:
                act()
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
            elif due := work.outbox.due(noon):
                id = due[int(argument) % len(due)].id
                if act == "attempt":
                    work.outbox.attempted(id, now=noon, next_attempt_at=noon)
                elif act == "acknowledge":
                    work.outbox.acknowledge(id, status=204, now=noon)
                else:
                    work.outbox.refuse(id, status=422, now=noon)
        for participant, selection in selections.items():
            for number in count(len(acts)):
                id = f"{participant} {number}"
                if work.outbox.create(participant, selection, id, document, now=noon) is None:
                    break
            sent = [one for each in work.outbox.page(participant=participant) for one in contents(each)]
            wanted = [one for one in added if (one.meter, one.obis) in selection.registers]
            assert sorted(map(str, sent)) == sorted(map(str, wanted))
        raise GatewayError("test.over", "nothing of this stays")
