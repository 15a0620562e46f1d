"""Several processes on one store, and processes that are killed."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import text

from smpki.ca.store.audit import read_key, verify
from smpki.ca.store.records import Issued
from smpki.ca.store.store import Store
from smpki.db.engine import open_engine, reading

Start = Callable[[str, object], "subprocess.Popen[str]"]


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with reading(open_engine(url)) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def chain_holds(samples: ModuleType, url: str, home: Path) -> bool:
    key = read_key(home / "audit.key")
    return verify(open_engine(url), key, home / "audit.head", samples.SIGNER.public_key()).holds


def test_two_processes_never_issue_for_the_same_subject(
    samples: ModuleType, store: Store, start: Start, url: str, home: Path
) -> None:
    names = [f"Race-{number}.EMT" for number in range(25)]
    racers = [start("race", ",".join(names)) for _ in range(2)]
    for racer in racers:
        assert racer.stdout and racer.stdout.readline() == "ready\n"
    (home / "go").touch()
    answers = [racer.communicate(timeout=60)[0].split() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    for name, pair in zip(names, zip(*answers, strict=True), strict=True):
        assert sorted(pair) == ["issuing.subject.taken", "won"], name
    assert rows(url, "SELECT count(*), count(DISTINCT subject_cn) FROM certificate") == [(75, 25)]
    assert chain_holds(samples, url, home)


def test_many_processes_append_to_one_chain(
    samples: ModuleType, store: Store, start: Start, url: str, home: Path
) -> None:
    writers = [start("append", 25) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert [row[0] for row in rows(url, "SELECT seq FROM audit ORDER BY seq")] == list(range(1, 76))
    subjects = Counter(row[0].split(" entry ")[0] for row in rows(url, "SELECT subject FROM audit"))
    assert set(subjects.values()) == {25}
    assert chain_holds(samples, url, home)


@pytest.mark.parametrize(
    ("step", "open_before", "certificates"),
    [
        ("intents-uncommitted", 0, 0),
        ("intents-committed", 3, 0),
        ("before-commit", 3, 0),
        ("committed", 0, 3),
        ("done", 0, 3),
    ],
)
def test_a_killed_process_leaves_all_or_nothing(
    samples: ModuleType,
    store: Store,
    start: Start,
    url: str,
    home: Path,
    step: str,
    open_before: int,
    certificates: int,
) -> None:
    store.record(samples.entry("before", "refuse"))
    assert start("crash", step).wait(60) == -signal.SIGKILL
    assert len(store.open_intents()) == open_before
    assert chain_holds(samples, url, home)

    closed = store.recover()
    assert [one.closed for one in closed] == [True] * open_before
    assert rows(url, "SELECT count(*) FROM certificate") == [(certificates,)]
    assert store.open_intents() == ()
    assert not [file for file in (home / "run").glob("*.lock") if open_before and closed[0].owner in file.name]
    assert chain_holds(samples, url, home)

    own = samples.triple("Crash.EMT")
    if certificates:
        assert store.issued_for(own.request.digest) == own.certificates
    else:
        again = samples.triple("Crash.EMT", package="again")
        fresh = Issued(
            certificates=tuple(
                samples.certificate(
                    "Crash.EMT", one.purpose, serial=os.urandom(16).hex(), request_digest=one.request_digest
                )
                for one in again.certificates
            ),
            request=again.request,
        )
        store.record_intents(samples.intents(fresh))
        store.complete([fresh], [samples.entry("Crash.EMT")])
    assert chain_holds(samples, url, home)
