"""Several processes on one PKI: each subject gets one triple, and nobody is refused for the wrong reason."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.triples import Order
from smpki.errors import IssuingError

SUB_CA = "Beispiel.CA"
CHUNK = 48  # packages that a worker does at once; a third of the usual, so that there need not be so many
LONG = 2 * CHUNK + 16  # packages of a batch that goes on when two workers have done their first ones
SMPKI = [
    sys.executable,
    "-c",
    f"from smpki.ca import batch; batch.CHUNK = {CHUNK}; import smpki_cli.main as cli; cli.main()",
]


@pytest.fixture(params=["workshop", "postgres_workshop"], ids=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest) -> Any:
    """A PKI on each kind of database."""
    return request.getfixturevalue(request.param)


def triples(tables: dict[str, Any]) -> Counter[tuple[str, int]]:
    """How many certificates each subject has under each number."""
    found = Counter((row["subject_cn"], row["dn_serial"]) for row in tables["certificate"] if row["request_digest"])
    assert set(found.values()) <= {3}
    return Counter(found.keys())


def assert_sound(shared: Any) -> None:
    tables = shared.tables()
    assert [row for row in tables["intent"] if row["state"] == "open"] == []
    assert len({row["serial"] for row in tables["certificate"]}) == len(tables["certificate"])
    assert len({row["key_hash"] for row in tables["certificate"]}) == len(tables["certificate"])
    shared.assert_chain_holds()


def outcomes(*answers: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["state"], one["code"]) for answer in answers for one in answer["outcomes"]]


def test_two_packages_of_one_subject(shared: Any, packages: Any, crew: Any) -> None:
    for number in range(3):
        jobs = [shared.job(packages.make(f"Firma {number}.EMT")) for _ in range(2)]
        (won, _), (lost, code) = sorted(outcomes(*crew.run(*jobs)))
        assert (won, lost) == ("issued", "refused")
        assert code in ("issuing.subject.in_progress", "issuing.subject.has_triple")
    assert triples(shared.tables()) == Counter({(f"Firma {number}.EMT", 1) for number in range(3)})
    assert_sound(shared)


def test_one_package_twice(shared: Any, packages: Any, crew: Any) -> None:
    for number in range(3):
        package = packages.make(f"Firma {number}.EMT")
        answers = crew.run(*[shared.job(package) for _ in range(2)])
        won, lost = sorted(outcomes(*answers))
        assert won == ("issued", "")
        assert lost in (("known", ""), ("refused", "issuing.subject.in_progress"))
        serials = {tuple(one["serials"]) for answer in answers for one in answer["outcomes"] if one["serials"]}
        assert len(serials) == 1
        assert outcomes(*crew.run(shared.job(package))) == [("known", "")]
    assert_sound(shared)


def test_packages_of_different_subjects(shared: Any, packages: Any, crew: Any) -> None:
    jobs = [shared.job(*[packages.make(f"Firma {worker}-{number}.EMT") for number in range(5)]) for worker in range(3)]
    assert set(outcomes(*crew.run(*jobs))) == {("issued", "")}
    assert len(triples(shared.tables())) == 15
    assert_sound(shared)


def test_two_batches_with_the_same_packages(shared: Any, packages: Any, crew: Any) -> None:
    made = [packages.make(f"Firma {number}.EMT") for number in range(12)]
    answers = crew.run(shared.job(*made), shared.job(*reversed(made)))
    assert set(outcomes(*answers)) <= {("issued", ""), ("known", ""), ("refused", "issuing.subject.in_progress")}
    assert outcomes(*answers).count(("issued", "")) == 12
    assert triples(shared.tables()) == Counter({(f"Firma {number}.EMT", 1) for number in range(12)})
    assert_sound(shared)


def test_next_numbers_are_given_once(shared: Any, packages: Any, crew: Any) -> None:
    crew.run(shared.job(packages.make()))
    answers = crew.run(*[shared.job(packages.make(), again=True) for _ in range(3)])
    assert set(outcomes(*answers)) <= {
        ("issued", ""),
        ("refused", "issuing.subject.in_progress"),
        ("refused", "issuing.subject.taken"),
    }
    issued = outcomes(*answers).count(("issued", ""))
    assert issued >= 1
    assert triples(shared.tables()) == Counter({("Firma.EMT.MAK", 1 + number) for number in range(issued + 1)})
    assert_sound(shared)


def test_one_key_for_two_subjects(shared: Any, packages: Any, crew: Any, new_keys: Callable[[], Any]) -> None:
    keys = new_keys()
    jobs = [shared.job(packages.make(cn, keys=keys)) for cn in ("Eine.EMT", "Andere.EMT")]
    assert sorted(outcomes(*crew.run(*jobs))) == [("issued", ""), ("refused", "issuing.key.reused")]
    assert_sound(shared)


# The same, made sure of: another process is faster while this one prepares


@pytest.fixture
def overtaken(workshop: Any) -> Iterator[Callable[[Any], Any]]:
    """``overtaken(orders)``: a PKI in which another one issues these while it draws its serial numbers."""
    with workshop.open() as slow, workshop.open() as fast:

        def overtake(orders: Any) -> Any:
            def random(octets: int) -> bytes:
                fast.issue(orders, SUB_CA)
                return os.urandom(octets)

            return replace(slow, random=random)

        yield overtake


def test_overtaken_with_the_same_package(overtaken: Any, packages: Any) -> None:
    orders = [Order("package", packages.make()), Order("other", packages.make("Andere.EMT"))]
    outcomes = overtaken(orders[:1]).issue(orders, SUB_CA)
    assert [one.state for one in outcomes] == ["known", "issued"]
    assert [len(one.certificates) for one in outcomes] == [3, 3]


def test_overtaken_with_another_package(workshop: Any, overtaken: Any, packages: Any) -> None:
    pki = overtaken([Order("package", packages.make())])
    outcomes = pki.issue([Order("mine", packages.make()), Order("other", packages.make("Andere.EMT"))], SUB_CA)
    assert [one.state for one in outcomes] == ["refused", "issued"]
    assert outcomes[0].error.code == "issuing.subject.has_triple"
    assert_sound(workshop)


def test_overtaken_by_one_that_is_not_done_yet(workshop: Any, packages: Any, crew: Any) -> None:
    package = packages.make()
    with workshop.open() as pki:  # before the other dies, so that it finds nothing to close
        crew.run(workshop.job(package, die="signed"))
        assert [one.error.code for one in pki.issue([Order("package", package)], SUB_CA)] == [
            "issuing.subject.in_progress"
        ]
    assert workshop.issue(package).state == "issued"
    assert_sound(workshop)


def test_a_sub_ca_that_another_process_finished_keeps_its_keys(workshop: Any, packages: Any) -> None:
    order, keys = SubCaOrder("Neue"), workshop.key_store
    with workshop.open(keys=keys) as slow, workshop.open(keys=keys) as fast:

        def random(octets: int) -> bytes:  # the first key is made
            if not fast.store.authorities(cn="Neue.CA"):
                fast.create_sub_ca(order)
            return os.urandom(octets)

        with pytest.raises(IssuingError) as caught:
            replace(slow, random=random).create_sub_ca(order)
        assert caught.value.code == "issuing.subject.taken"
    with workshop.open() as pki:
        (outcome,) = pki.issue([Order("package", packages.make())], "Neue.CA")
    assert outcome.state == "issued"
    assert_sound(workshop)


# With a token


def test_one_sub_ca_twice(offices: Callable[[], Any], crew: Any) -> None:
    office = offices()
    answers = crew.run(*[office.job("issue-sub-ca", "--name", "Neue") for _ in range(2)])
    won, lost = sorted(answers, key=lambda answer: answer["exit"])
    assert (won["exit"], lost["exit"]) == (0, 1)
    assert "[issuing." in lost["err"] or "[token." in lost["err"]
    assert Counter(row["kind"] for row in office.tables()["certificate"])["sub-ca"] == 2
    assert office.run("audit", "verify")["exit"] == 0
    assert office.run("issue-sub-ca", "--name", "Noch eine")["exit"] == 0


def test_one_home_twice(new_offices: Callable[[], Any], crew: Any) -> None:
    office = new_offices()
    answers = crew.run(*[office.job("init") for _ in range(2)])
    assert "Traceback" not in answers[0]["err"] + answers[1]["err"]
    if sorted(answer["exit"] for answer in answers) == [1, 1]:
        assert office.run("init")["exit"] == 0
    assert len(office.tables()["certificate"]) == 4
    assert office.run("audit", "verify")["exit"] == 0
    assert office.run("issue-sub-ca", "--name", "Beispiel")["exit"] == 0


# Batches


class Batch:
    """``smpki issue-batch`` as a process of its own, in a process group of its own."""

    def __init__(self, office: Any, packages: Any, folder: Path, count: int) -> None:
        self.office = office
        self.out = folder / "out"
        self.names = [f"Firma {number}.EMT" for number in range(count)]
        self._source = folder / "packages.ndjson"
        with self._source.open("w") as stream:
            for name in self.names:
                package = b64encode(packages.make(name)).decode()
                stream.write(json.dumps({"id": name, "package": package}) + "\n")

    def start(self, workers: int = 2) -> "subprocess.Popen[str]":
        home, source, out = self.office.folder, self._source, self.out
        arguments = ["--home", home, "issue-batch", source, "--sub-ca", SUB_CA, "--out", out, "--workers", str(workers)]
        return subprocess.Popen(
            [*SMPKI, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "SMPKI_CLOCK": "2026-11-22T12:00:00Z"},
        )

    def run(self, workers: int = 2) -> None:
        process = self.start(workers)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors

    def intents(self) -> int:
        """How many there are, asked in the quickest way."""
        with closing(sqlite3.connect(self.office.folder / "smpki.db")) as connection:
            (count,) = connection.execute("SELECT count(*) FROM intent").fetchone()
            return int(count)

    def reports(self) -> dict[str, Any]:
        lines = [json.loads(line) for line in (self.out / "report.ndjson").read_text().splitlines()]
        reports = {line["name"]: line for line in lines}
        assert len(reports) == len(lines)
        return reports

    def assert_complete(self) -> None:
        reports, tables = self.reports(), self.office.tables()
        assert reports.keys() == set(self.names)
        assert {report["state"] for report in reports.values()} <= {"issued", "known"}
        assert triples(tables) == Counter({(name, 1) for name in self.names})
        stored = {row["serial"] for row in tables["certificate"] if row["request_digest"]}
        assert {serial for report in reports.values() for serial in report["serials"]} == stored
        assert [row for row in tables["intent"] if row["state"] == "open"] == []
        for report in reports.values():
            files = sorted(file.name for file in (self.out / report["folder"]).iterdir())
            assert [name for name in files if not name.startswith(".")] == [
                "chain.pem",
                "enc.pem",
                "sig.pem",
                "tls.pem",
            ]
        assert self.office.run("audit", "verify")["exit"] == 0


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str] | None" = None) -> None:
    """Wait, as long as the process runs if one is given."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()[1]
        time.sleep(0.05)


def test_a_batch_by_two_workers(office: Any, packages: Any, tmp_path: Path) -> None:
    batch = Batch(office, packages, tmp_path, 40)
    batch.run()
    batch.assert_complete()
    assert {report["state"] for report in batch.reports().values()} == {"issued"}


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_batch_that_was_interrupted_is_started_again(office: Any, packages: Any, tmp_path: Path) -> None:
    batch = Batch(office, packages, tmp_path, LONG)

    def start() -> "subprocess.Popen[str]":
        """Start it, and wait until a worker has recorded what it is about to sign."""
        before = batch.intents()
        process = batch.start()
        wait_for(lambda: batch.intents() > before, process)
        return process

    process = start()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    process = start()
    workers = children(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    wait_for(lambda: not any(map(lives, workers)))

    process = start()
    os.kill(max(children(process.pid)), signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "[batch.worker]" in errors
    assert "Traceback" not in errors

    assert len(office.tables()["certificate"]) < 7 + 3 * LONG
    batch.run()
    batch.assert_complete()
    assert "issued" in {report["state"] for report in batch.reports().values()}
