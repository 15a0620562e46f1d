"""Logs that only grow, documents with versions, small state."""

from datetime import datetime, timedelta

import pytest

from smpki.errors import GatewayError, StoreError
from smpki.gateway.log_entry import LogEntry
from smpki.gateway.store.store import GatewayStore

MINUTE = timedelta(minutes=1)


def test_record_numbers_rise_in_each_log_whatever_the_clock_does(store: GatewayStore, noon: datetime) -> None:
    for minutes in (0, -60, 5):
        with store.work() as work:
            for log, consumer in (("system", ""), ("calibration", ""), ("consumer", "anna"), ("consumer", "bert")):
                work.logs.append(log, "any", "text", now=noon + minutes * MINUTE, consumer=consumer)  # type: ignore[arg-type]
    with store.view() as view:
        for found in (
            view.logs.page("system"),
            view.logs.page("calibration"),
            view.logs.page("consumer", consumer="anna"),
            view.logs.page("consumer", consumer="bert"),
        ):
            assert [(one.record_number, (one.timestamp - noon) / MINUTE) for one in found] == [(1, 0), (2, -60), (3, 5)]
        assert view.logs.page("consumer", consumer="carl") == ()


def test_entries_come_back_by_page_level_and_time(store: GatewayStore, noon: datetime) -> None:
    with store.work() as work:
        made = [
            work.logs.append("system", "time.adjusted", "by 3 s", now=noon),
            work.logs.append("system", "delivery.late", "no answer", now=noon + MINUTE, level="W", outcome="failure"),
            work.logs.append("system", "store.full", "no space", now=noon + 2 * MINUTE, level="E", outcome="failure"),
            work.logs.append("system", "self_test", "broken", now=noon + 3 * MINUTE, level="F", outcome="failure"),
        ]
        assert made[1] == LogEntry(2, noon + MINUTE, "W", "delivery.late", "failure", "no answer")
        assert list(work.logs.page("system")) == made
        assert list(work.logs.page("system", level="E")) == made[2:]
        assert list(work.logs.page("system", after=1, limit=2)) == made[1:3]
        assert list(work.logs.page("system", since=noon + MINUTE, until=noon + 3 * MINUTE)) == made[1:3]


@pytest.mark.parametrize(
    "wrong", [{"log": "diary"}, {"level": "X"}, {"outcome": "maybe"}, {"consumer": "anna"}, {"log": "consumer"}]
)
def test_entries_that_no_log_takes(store: GatewayStore, noon: datetime, wrong: dict[str, str]) -> None:
    with pytest.raises(StoreError) as refused, store.work() as work:
        work.logs.append(**({"log": "system", "event": "any", "text": "", "now": noon} | wrong))  # type: ignore[arg-type]
    assert refused.value.code == "store.conflict"


def test_a_document_has_a_version_that_rises_with_each_change(store: GatewayStore, noon: datetime) -> None:
    with store.work() as work:
        assert work.documents.get("profile/emt") is None
        assert work.documents.put("profile/emt", "{}", now=noon).version == 1
        assert work.documents.put("profile/emt", '{"a": 1}', now=noon + MINUTE).version == 2
        assert work.documents.put("profile/emt", '{"a": 1}', now=noon + 2 * MINUTE).version == 2
        work.documents.put("profile%", "{}", now=noon)
    with store.view() as view:
        found = view.documents.get("profile/emt")
        assert found is not None
        assert (found.version, found.text, found.changed_at) == (2, '{"a": 1}', noon + MINUTE)
        assert view.documents.names() == ("profile%", "profile/emt")
        assert view.documents.names("profile/") == ("profile/emt",)
        assert view.documents.names("profile%") == ("profile%",)


def test_a_document_that_somebody_else_changed_is_not_replaced(store: GatewayStore, noon: datetime) -> None:
    with store.work() as work:
        assert work.documents.put("a", "1", now=noon, expected=0).version == 1
        assert work.documents.put("a", "2", now=noon, expected=1).version == 2
        for act in (
            lambda: work.documents.put("a", "3", now=noon, expected=1),
            lambda: work.documents.put("a", "3", now=noon, expected=0),
            lambda: work.documents.put("b", "3", now=noon, expected=1),
            lambda: work.documents.remove("a", expected=1),
        ):
            with pytest.raises(GatewayError) as refused:
                act()
            assert refused.value.code == "document.version"
        assert work.documents.remove("a", expected=2)
        assert not work.documents.remove("a")
        assert work.documents.names() == ()


def test_state_is_kept_by_name(store: GatewayStore) -> None:
    with store.work() as work:
        assert work.state.get("wan.generation") is None
        work.state.put("wan.generation", "1")
        work.state.put("wan.generation", "2")
        work.state.put("other", "")
    with store.work() as work:
        assert work.state.all() == {"other": "", "wan.generation": "2"}
        work.state.remove("other")
        work.state.remove("other")
        assert work.state.all() == {"wan.generation": "2"}
