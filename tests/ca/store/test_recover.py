"""Who owns an intent, and what happens to it when that process dies."""

import os
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import text

from smpki.ca.store.audit import read_key, verify
from smpki.ca.store.owner import OwnerLock
from smpki.ca.store.store import Store
from smpki.db.engine import open_engine, reading, writing
from smpki.errors import StoreError


def test_the_dead_are_told_from_the_living(tmp_path: Path) -> None:
    first, second = OwnerLock.take(tmp_path, os.urandom), OwnerLock.take(tmp_path, os.urandom)
    assert first.name != second.name
    assert first.is_here(second.name)
    assert first.is_alive(second.name) and first.is_alive(first.name)
    name = second.name
    second.release()
    assert not first.is_alive(name)
    assert first.is_alive(first.name)


def test_owners_of_another_folder_cannot_be_judged(tmp_path: Path) -> None:
    here, there = OwnerLock.take(tmp_path / "a", os.urandom), OwnerLock.take(tmp_path / "b", os.urandom)
    assert not here.is_here(there.name)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "{place}-../../../tmp/x", "{place}-0", "{place}-" + "0" * 17])
def test_a_name_that_is_none_of_ours_is_not_from_here(tmp_path: Path, name: str) -> None:
    owner = OwnerLock.take(tmp_path, os.urandom)
    assert not owner.is_here(name.format(place=owner.name.partition("-")[0]))


def test_a_folder_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"store\.owner"):
        OwnerLock.take(tmp_path / "run", os.urandom)


def test_what_the_dead_left_open_is_closed_and_told(samples: ModuleType, store: Store, url: str, home: Path) -> None:
    dead, alive = OwnerLock.take(home / "run", os.urandom), OwnerLock.take(home / "run", os.urandom)
    elsewhere = OwnerLock.take(home / "elsewhere", os.urandom)
    for cn, owner in (("Dead.EMT", dead), ("Alive.EMT", alive), ("Elsewhere.EMT", elsewhere)):
        samples.open_store(url, home, owner=owner).record_intents(samples.intents(samples.triple(cn)))
    store.record_intents(samples.intents(samples.triple("Own.EMT")))
    dead.release()

    found = store.recover()
    assert {(one.subject_key, one.closed) for one in found} == {("cn=dead.emt", True), ("cn=elsewhere.emt", False)}
    assert {one.tbs_hash for one in found if one.closed} == {
        one.tbs_hash for one in samples.intents(samples.triple("Dead.EMT"))
    }
    assert {one.subject_key for one in store.open_intents()} == {"cn=alive.emt", "cn=own.emt", "cn=elsewhere.emt"}
    with reading(open_engine(url)) as connection:
        told = connection.execute(text("SELECT action, outcome, subject, detail FROM audit")).all()
    assert [row[:3] for row in told] == [("recover", "done", dead.name)]
    assert all(one.serial in told[0].detail for one in found if one.closed)
    assert verify(
        open_engine(url), read_key(home / "audit.key"), home / "audit.head", samples.SIGNER.public_key()
    ).holds

    assert [one.subject_key for one in store.recover()] == ["cn=elsewhere.emt"] * 3
    with reading(open_engine(url)) as connection:
        assert connection.execute(text("SELECT count(*) FROM audit")).scalar() == 1


def test_nothing_to_recover_writes_nothing(store: Store, url: str) -> None:
    assert store.recover() == ()
    with reading(open_engine(url)) as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_head WHERE counter > 0")).scalar() == 0


def test_what_was_closed_as_dead_cannot_be_completed(samples: ModuleType, store: Store, url: str, home: Path) -> None:
    """A process that lost its lock, say on a folder that was restored, must not bring back what others gave up."""
    owner = OwnerLock.take(home / "run", os.urandom)
    other = samples.open_store(url, home, owner=owner)
    one = samples.triple("Zombie.EMT")
    other.record_intents(samples.intents(one))
    owner.release()
    assert len(store.recover()) == 3
    with pytest.raises(StoreError, match=r"store\.intent\.missing"):
        other.complete([one], [samples.entry()])


def test_a_hostile_owner_in_the_database_touches_no_file(
    samples: ModuleType, store: Store, url: str, home: Path
) -> None:
    victim = home / "victim.lock"
    victim.write_text("")
    store.record_intents(samples.intents(samples.triple("A.EMT")))
    with writing(open_engine(url)) as connection:
        connection.execute(text("UPDATE intent SET owner = '../victim'"))
    assert {one.closed for one in store.recover()} == {False}
    assert victim.exists()
