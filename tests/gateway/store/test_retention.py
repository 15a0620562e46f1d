"""What is removed from the store, and what never is."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from smpki.gateway.readings import Reading
from smpki.gateway.store.outbox import Answered, Selection
from smpki.gateway.store.store import GatewayStore

Make = Callable[..., Reading]
QUARTER = timedelta(minutes=15)


def document(readings: Sequence[Reading]) -> bytes:
    return json.dumps([one.as_json() for one in readings]).encode()


@pytest.fixture
def filled(store: GatewayStore, reading: Make, selection: Selection, noon: datetime) -> GatewayStore:
    """Eight readings; deliveries ``a`` and ``b`` of three each to ``emt``, of which ``a`` is acknowledged."""
    with store.work() as work:
        work.readings.add([reading(number) for number in range(6)], now=noon)
        for id in ("a", "b"):
            work.outbox.create("emt", selection, id, document, now=noon, limit=3)
        work.outbox.answer([Answered(work.outbox.get("a"), "acknowledged", 204)], now=noon)
        work.readings.add([reading(0, 99)], now=noon)  # which contradicts
        work.readings.add([reading(6), reading(7)], now=noon)
    return store


def quarters(store: GatewayStore, noon: datetime) -> list[int]:
    with store.view() as view:
        return [(one.reading.captured_at - noon) // QUARTER for one in view.readings.page()]


def ids(store: GatewayStore) -> list[str]:
    with store.view() as view:
        return [one.id for one in view.outbox.page()]


def forget(store: GatewayStore, before: datetime, *wanted: tuple[str, Selection], **limit: int) -> int:
    with store.work() as work:
        return work.retention.forget(before, wanted, **limit)


def test_what_everybody_has_goes_when_it_is_old(filled: GatewayStore, selection: Selection, noon: datetime) -> None:
    wanted = "emt", selection
    assert forget(filled, noon + 2 * QUARTER, wanted) == 2
    assert (quarters(filled, noon), ids(filled)) == ([2, 3, 4, 5, 6, 7], ["a", "b"])
    assert forget(filled, noon + 100 * QUARTER, wanted) == 1  # the others are not delivered, or not acknowledged
    assert (quarters(filled, noon), ids(filled)) == ([3, 4, 5, 6, 7], ["b"])
    assert forget(filled, noon + 100 * QUARTER, wanted) == 0
    with filled.view() as view:
        assert view.readings.conflicts() == ()


@pytest.mark.parametrize(("state", "gone"), [("refused", 3), ("acknowledged", 6)])
def test_what_was_refused_stays(
    filled: GatewayStore, selection: Selection, noon: datetime, state: Any, gone: int
) -> None:
    with filled.work() as work:
        work.outbox.answer([Answered(work.outbox.get("b"), state, 0)], now=noon)
    assert forget(filled, noon + 100 * QUARTER, ("emt", selection)) == gone
    assert ids(filled) == ["b"]  # as it is refused, or as the last one, whose number is not to be given anew


def test_what_another_is_to_have_stays(filled: GatewayStore, selection: Selection, noon: datetime) -> None:
    later = Selection(selection.registers, noon + QUARTER, noon + 2 * QUARTER)
    assert forget(filled, noon + 100 * QUARTER, ("emt", selection), ("other", later)) == 2
    assert quarters(filled, noon) == [1, 3, 4, 5, 6, 7]


def test_what_nobody_is_to_have_goes_but_for_the_last(filled: GatewayStore, noon: datetime) -> None:
    assert [forget(filled, noon + 100 * QUARTER, limit=3) for _ in range(3)] == [3, 1, 0]
    assert quarters(filled, noon) == [3, 4, 5, 7]


def test_what_is_gone_leaves_the_rest_to_be_delivered(
    filled: GatewayStore, reading: Make, selection: Selection, noon: datetime
) -> None:
    forget(filled, noon + 100 * QUARTER, ("emt", selection))
    with filled.work() as work:
        work.readings.add([reading(8)], now=noon)
        assert work.outbox.create("emt", selection, "c", document, now=noon) is not None
        assert [one.reading for one in work.outbox.readings_of("c")] == [reading(6), reading(7), reading(8)]
