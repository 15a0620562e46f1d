"""Readings in the store: each moment once, every digit, conflicts kept."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from smpki.errors import StoreError
from smpki.gateway.readings import HIGHEST, LOWEST, Obis, Reading
from smpki.gateway.store.readings import Added
from smpki.gateway.store.store import GatewayStore
from smpki.policy.device_id import DeviceId

Make = Callable[..., Reading]


def test_readings_come_back_as_they_went_in(store: GatewayStore, reading: Make, noon: datetime) -> None:
    sent = [
        reading(0, HIGHEST, scaler=-6),
        reading(1, LOWEST, scaler=127, unit=0),
        reading(2, status=2**64 - 1),
        reading(3, unit=255),
    ]
    with store.work() as work:
        assert work.readings.add(sent, now=noon) == Added(4, 0, ())
        assert work.readings.add([], now=noon) == Added(0, 0, ())
    with store.view() as view:
        assert [one.reading for one in view.readings.page()] == sent


def test_the_same_reading_again_is_no_news(store: GatewayStore, reading: Make, noon: datetime) -> None:
    with store.work() as work:
        work.readings.add([reading(0), reading(1)], now=noon)
    with store.work() as work:
        assert work.readings.add([reading(1), reading(2), reading(2)], now=noon) == Added(1, 2, ())
        assert work.readings.conflicts() == ()
        assert len(work.readings.page()) == 3


@pytest.mark.parametrize("change", [{"value": 8}, {"scaler": 0}, {"unit": 27}, {"status": 1}])
def test_another_value_for_a_moment_is_kept_beside_it(
    store: GatewayStore, reading: Make, noon: datetime, change: dict[str, int]
) -> None:
    first, later = reading(0, 7), reading(0, **({"value": 7} | change))
    with store.work() as work:
        work.readings.add([first], now=noon)
    for _ in range(2):
        with store.work() as work:
            assert work.readings.add([later, reading(1)], now=noon).contradicting == (later,)
    with store.view() as view:
        assert [one.reading for one in view.readings.page()] == [first, reading(1)]
        (conflict,) = view.readings.conflicts()
        assert (conflict.stored, conflict.later, conflict.noticed_at) == (first, later, noon)
        assert view.readings.conflicts(after=conflict.number) == ()


def test_pages_and_filters(
    store: GatewayStore, reading: Make, noon: datetime, registers: list[tuple[DeviceId, Obis]]
) -> None:
    everything = [reading(quarter, meter=meter, obis=obis) for quarter in range(4) for meter, obis in registers]
    with store.work() as work:
        work.readings.add(everything, now=noon)
        first = work.readings.page(limit=5)
        assert [one.reading for one in first] == everything[:5]
        assert [one.reading for one in work.readings.page(after=first[-1].number)] == everything[5:]
        meter, obis = registers[1]
        until = noon + timedelta(minutes=30)
        found = work.readings.page(meter=meter, obis=obis, since=noon + timedelta(minutes=15), until=until)
        assert [one.reading for one in found] == [reading(1, meter=meter, obis=obis)]


def test_the_latest_moment_of_each_register(
    store: GatewayStore, reading: Make, noon: datetime, registers: list[tuple[DeviceId, Obis]]
) -> None:
    (meter, obis), (other, _) = registers[0], registers[2]
    with store.work() as work:
        work.readings.add([reading(2), reading(1), reading(0, meter=other)], now=noon)
        latest = {(meter, obis): noon + timedelta(minutes=30), (other, obis): noon}
        assert work.readings.latest() == latest


@pytest.mark.parametrize(
    "statement",
    ["UPDATE reading SET value = '9'", "UPDATE log_entry SET text = ''", "DELETE FROM log_entry"],
)
def test_the_database_itself_keeps_what_was_written(
    store: GatewayStore, reading: Make, noon: datetime, statement: str
) -> None:
    with store.work() as work:
        work.readings.add([reading(0)], now=noon)
        work.logs.append("system", "start", "the gateway started", now=noon)
    with pytest.raises(StoreError) as refused, store.work() as work:
        work.readings._connection.execute(text(statement))
    assert refused.value.code == "store.conflict"
