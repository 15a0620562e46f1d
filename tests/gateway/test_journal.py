"""The gateway's log: entries are stored when the disk lets them, troubles are told once."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smpki.errors import GatewayError, StoreError, TlsError
from smpki.gateway.journal import Happening, Journal
from smpki.gateway.once import Once
from smpki.gateway.store.store import GatewayStore

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GatewayStore]:
    store = GatewayStore.create(tmp_path / "gateway.db")
    yield store
    store.close()


def events(store: GatewayStore) -> list[str]:
    with store.view() as view:
        return [entry.event for entry in view.logs.page("system")]


def test_what_happens_is_stored_and_told_to_the_operating_system(
    store: GatewayStore, caplog: pytest.LogCaptureFixture
) -> None:
    told = []
    journal = Journal(store, lambda: NOON)
    journal.news = lambda: told.append(True)
    with caplog.at_level(logging.INFO, "smpki.gateway"):
        journal.write(Happening("gateway.start", "the gateway starts"))
        with store.work() as work:
            journal.write_in(work, Happening("profile.set", "a profile is set", log="calibration"))
    with store.view() as view:
        entries = [view.logs.page(log)[0] for log in ("system", "calibration")]
    assert [(each.event, each.timestamp) for each in entries] == [("gateway.start", NOON), ("profile.set", NOON)]
    assert len(told) == len(caplog.records) == 2


def test_what_is_undone_is_not_logged(store: GatewayStore) -> None:
    journal = Journal(store, lambda: NOON)
    with pytest.raises(GatewayError), store.work() as work:
        journal.write_in(work, Happening("profile.set", "a profile is set"))
        raise GatewayError("some.reason", "it is undone")
    assert events(store) == []


def test_entries_wait_while_the_store_refuses(store: GatewayStore, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(store, lambda: NOON)

    def full() -> None:
        raise StoreError("store.full", "the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "work", full)
        for number in range(1_003):
            journal.write(Happening(f"number.{number}", "something"))
        assert not journal.flush()
    assert events(store) == []
    assert journal.flush()
    found = events(store)
    assert (len(found), found[0], found[-1]) == (1_000, "number.3", "number.1002")


def test_a_trouble_is_told_when_it_begins_when_it_changes_and_when_it_is_over(store: GatewayStore) -> None:
    journal = Journal(store, lambda: NOON)
    dead, refused = TlsError("tls.dead", "nobody there"), TlsError("tls.refused", "refused")
    for error in (dead, dead, refused, refused, dead):
        journal.trouble("time", error, "the time can't be had")
    journal.fine("time", "time.fine", "the time can be had again")
    journal.fine("time", "time.fine", "the time can be had again")
    journal.fine("never", "other.fine", "this was never wrong")
    assert events(store) == ["tls.dead", "tls.refused", "tls.dead", "time.fine"]


def test_complaints_that_were_made_are_forgotten_in_the_end() -> None:
    once = Once()
    assert [once.is_new("a", "x"), once.is_new("a", "x"), once.is_new("a", "y")] == [True, False, True]
    assert [once.forget("a"), once.forget("a")] == [True, False]
    for number in range(20_000):
        once.is_new(number, "x")
    assert once.is_new(0, "x")
    assert not once.is_new(19_999, "x")
