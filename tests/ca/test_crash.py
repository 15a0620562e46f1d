"""kill -9 at every step: every signature that was made is known, nothing is half there, and the work can go on."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

STEPS = (
    "intents",
    "recorded",
    *("signature 1", "signature 2", "signature 3"),
    "signed",
    "results",
    "committed",
    "published",
)
STORED = ("committed", "published")
"""From here on the certificates are there."""


def assert_every_signature_is_known(tables: dict[str, Any], witness: Path) -> None:
    """What CA keys signed is in the intents; what is in the store was intended, once, under a serial of its own."""
    signed = Counter(witness.read_text().split()) if witness.exists() else Counter()
    intents = {row["tbs_hash"]: row for row in tables["intent"]}
    assert signed.keys() <= intents.keys()
    assert set(signed.values()) <= {1}
    by_serial = {row["serial"]: row for row in tables["intent"]}
    assert len(by_serial) == len(tables["intent"])
    serials = [row["serial"] for row in tables["certificate"]]
    assert len(set(serials)) == len(serials)
    for row in tables["certificate"]:
        assert x509.load_der_x509_certificate(row["der"]).serial_number == int(row["serial"], 16)
        assert by_serial[row["serial"]]["state"] == "issued"
    assert {row["serial"] for row in tables["intent"] if row["state"] == "issued"} == set(serials)


def assert_issued_once(tables: dict[str, Any], cn: str) -> None:
    rows = [row for row in tables["certificate"] if row["subject_cn"] == cn]
    assert sorted(row["purpose"] for row in rows) == ["enc", "sig", "tls"]
    assert {row["dn_serial"] for row in rows} == {1}
    assert [row["state"] for row in tables["intent"] if row["state"] == "open"] == []


class Rounds:
    """Kill and try again, round after round on one PKI."""

    def __init__(self, workshop: Any, packages: Any, crew: Any) -> None:
        self._workshop = workshop
        self._packages = packages
        self._crew = crew

    def run(self, step: str, count: int) -> None:
        workshop = self._workshop
        for number in range(count):
            cn = f"Firma {step} {number}.EMT"
            package = self._packages.make(cn)
            self._crew.run(workshop.job(package, die=step))
            between = workshop.tables()
            mine = [row for row in between["intent"] if row["subject_key"].startswith(f"CN=firma {step} {number}.emt,")]
            assert len(mine) == (0 if step == "intents" else 3)
            assert {row["state"] for row in mine} <= {"issued" if step in STORED else "open"}
            workshop.assert_chain_holds(behind=1 if step == "committed" else 0)

            (answer,) = self._crew.run(workshop.job(package))
            assert [one["state"] for one in answer["outcomes"]] == ["known" if step in STORED else "issued"]
            assert sorted(answer["warned"]) == sorted(row["serial"] for row in mine if row["state"] == "open")
            workshop.assert_chain_holds()
            after = workshop.tables()
            assert_every_signature_is_known(after, workshop.home.folder / "witness")
            assert_issued_once(after, cn)


@pytest.fixture
def rounds(workshop: Any, packages: Any, crew: Any) -> Rounds:
    return Rounds(workshop, packages, crew)


def test_the_steps_are_all_there(issuing_program: Any) -> None:
    assert issuing_program.STEPS == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_issuing_survives_a_kill(rounds: Rounds, step: str) -> None:
    rounds.run(step, 5)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_issuing_survives_many_kills(rounds: Rounds, step: str) -> None:
    rounds.run(step, 50)


def test_issuing_on_postgresql_survives_a_kill(postgres_workshop: Any, packages: Any, crew: Any) -> None:
    rounds = Rounds(postgres_workshop, packages, crew)
    for step in ("recorded", "results", "committed"):
        rounds.run(step, 1)


def test_a_batch_that_was_killed_is_known_or_open_as_a_whole(workshop: Any, packages: Any, crew: Any) -> None:
    made = [packages.make(f"Firma {number}.EMT") for number in range(4)]
    crew.run(workshop.job(*made, die="signature 7", count=12))
    workshop.assert_chain_holds()
    assert Counter(row["state"] for row in workshop.tables()["intent"])["open"] == 12
    (answer,) = crew.run(workshop.job(*made))
    assert [one["state"] for one in answer["outcomes"]] == ["issued"] * 4
    assert len(answer["warned"]) == 12
    assert_every_signature_is_known(workshop.tables(), workshop.home.folder / "witness")
    workshop.assert_chain_holds()


def test_kills_one_after_another(workshop: Any, packages: Any, crew: Any) -> None:
    package = packages.make()
    for step in STEPS[:7]:
        crew.run(workshop.job(package, die=step))
    crew.run(workshop.job(package))
    assert_every_signature_is_known(workshop.tables(), workshop.home.folder / "witness")
    assert_issued_once(workshop.tables(), "Firma.EMT.MAK")
    workshop.assert_chain_holds()


def test_what_a_killed_process_left_is_in_the_audit(workshop: Any, packages: Any, crew: Any) -> None:
    crew.run(workshop.job(packages.make(), die="signed"))
    left = [row["serial"] for row in workshop.tables()["intent"] if row["state"] == "open"]
    with workshop.open():
        pass
    tables = workshop.tables()
    entry = tables["audit"][-1]
    assert (entry["action"], entry["outcome"]) == ("recover", "done")
    assert sorted(json.loads(entry["detail"])["abandoned"]) == sorted(left)
    assert {row["state"] for row in tables["intent"] if row["serial"] in left} == {"abandoned"}


SLOW_STEPS = [pytest.param(step, marks=pytest.mark.slow) for step in ("intents", "signature 1", "signed", "published")]


@pytest.mark.parametrize(("hierarchy", "count"), [("root", 4), ("Beispiel", 3)])
@pytest.mark.parametrize("step", ["recorded", "signature 3", "results", "committed", *SLOW_STEPS])
def test_a_hierarchy_survives_a_kill(empty_workshop: Any, crew: Any, hierarchy: str, count: int, step: str) -> None:
    if hierarchy != "root":
        crew.run(empty_workshop.job(hierarchy="root"))
    crew.run(empty_workshop.job(hierarchy=hierarchy, count=count, die=step))
    empty_workshop.assert_chain_holds(behind=1 if step == "committed" else 0)
    kinds = [row["kind"] for row in empty_workshop.tables()["certificate"]]
    if step in STORED:
        assert len(kinds) == (4 if hierarchy == "root" else 7)
        with empty_workshop.open():
            pass
    else:
        assert len(kinds) == (0 if hierarchy == "root" else 4)
        keys = empty_workshop.key_labels
        crew.run(empty_workshop.job(hierarchy=hierarchy))
        assert empty_workshop.key_labels == keys, "the keys of the first try are used"
    assert_every_signature_is_known(empty_workshop.tables(), empty_workshop.home.folder / "witness")
    empty_workshop.assert_chain_holds()


# With the real token, at the command line


def holds(office: Any) -> None:
    verified = office.run("audit", "verify", "--json")
    assert verified["exit"] == 0, verified["out"] + verified["err"]
    assert json.loads(verified["out"])["holds"]
    assert_every_signature_is_known(office.tables(), office.witness)


@pytest.mark.parametrize("step", STEPS)
def test_issuing_with_a_token_survives_a_kill(office: Any, packages: Any, tmp_path: Path, step: str) -> None:
    file = tmp_path / "request.der"
    file.write_bytes(packages.make())
    command = ("issue", str(file), "--sub-ca", "Beispiel.CA", "--json")
    office.run(*command, die=step)
    holds(office)
    answer = office.run(*command)
    assert answer["exit"] == 0, answer["err"]
    (package,) = json.loads(answer["out"])["packages"]
    assert package["state"] == ("known" if step in STORED else "issued")
    assert answer["err"].count("was interrupted") == (0 if step in (*STORED, "intents") else 3)
    holds(office)
    assert_issued_once(office.tables(), "Firma.EMT.MAK")


def survives_init(office: Any, step: str) -> None:
    office.run("init", die=step, count=4)
    answer = office.run("init")
    done_before = "issuing.root.exists" in answer["err"]
    assert answer["exit"] == (1 if done_before else 0), answer["err"]
    assert done_before or step != "committed"
    holds(office)
    assert len(office.tables()["certificate"]) == 4
    assert len(office.key_labels()) == 5
    for secret in ("pin", "so-pin", "audit.key"):
        assert (office.folder / secret).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("step", ["set-up 25", "key 1", "key 3", "signature 2", "committed"])
def test_init_survives_a_kill(new_offices: Callable[[], Any], step: str) -> None:
    survives_init(new_offices(), step)


@pytest.mark.parametrize("step", ["key 1", "key 3", "signature 2"])
def test_issue_sub_ca_survives_a_kill(office: Any, step: str) -> None:
    command = ("issue-sub-ca", "--name", "Neue")
    office.run(*command, die=step)
    holds(office)
    answer = office.run(*command)
    assert answer["exit"] == 0, answer["err"]
    holds(office)
    assert len(office.tables()["certificate"]) == 10
    assert len(office.key_labels()) == 5 + 3 + 3


def file_steps(office: Any) -> int:
    """How many changes of files an init makes."""
    return office.run("init")["files"]


def test_init_survives_a_kill_at_any_file(new_offices: Callable[[], Any]) -> None:
    total = file_steps(new_offices())
    assert total > 20
    for number in range(1, total, 15):
        survives_init(new_offices(), f"file {number}")


@pytest.mark.slow
def test_init_survives_a_kill_while_the_token_is_set_up(new_offices: Callable[[], Any]) -> None:
    for after in range(2, 60, 2):
        survives_init(new_offices(), f"set-up {after}")


@pytest.mark.slow
def test_init_survives_a_kill_at_every_file(new_offices: Callable[[], Any]) -> None:
    for number in range(1, file_steps(new_offices()) + 1):
        survives_init(new_offices(), f"file {number}")
