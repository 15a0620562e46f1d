"""What fails below the CA, at the command line: a refusal that says why, exit code 1, and nothing half-written."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, event, text

from smpki.db.engine import open_engine, writing
from smpki.errors import StoreError, TokenError

SUB_CA = "Beispiel.CA"


@pytest.fixture
def issue(packages: Any, tmp_path: Path) -> tuple[str, ...]:
    """The command that issues a package."""
    file = tmp_path / "request.der"
    file.write_bytes(packages.make())
    return ("issue", str(file), "--sub-ca", SUB_CA)


def files(office: Any) -> set[Path]:
    """The files of the home, without those that SQLite keeps beside its own."""
    found = {path.relative_to(office.folder) for path in office.folder.rglob("*")}
    return {path for path in found if path.name not in ("smpki.db-wal", "smpki.db-shm", "audit.head.lock")}


def assert_refused(answer: dict[str, Any], code: str) -> None:
    assert answer["exit"] == 1
    assert answer["out"] == ""
    assert f"[{code}]" in answer["err"]
    assert "hint:" in answer["err"]
    assert "Traceback" not in answer["err"]


def change_settings(office: Any, **changes: Any) -> None:
    file = office.folder / "settings.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


# The token and the policy: one audit entry, and nothing else changes


def move_token_folder(office: Any) -> Callable[[], object]:
    moved = (office.folder / "softhsm").rename(office.folder / "elsewhere")
    return lambda: moved.rename(office.folder / "softhsm")


def move_token(office: Any) -> Callable[[], object]:
    (token,) = (office.folder / "softhsm" / "tokens").iterdir()
    moved = token.rename(office.folder / "elsewhere")
    return lambda: moved.rename(token)


def replace_file(name: str, content: str) -> Callable[[Any], Callable[[], object]]:
    def sabotage(office: Any) -> Callable[[], object]:
        file = office.folder / name
        before = file.read_text()
        file.write_text(content)
        return lambda: file.write_text(before)

    return sabotage


def remove_pin(office: Any) -> Callable[[], object]:
    moved = (office.folder / "pin").rename(office.folder / "elsewhere")
    return lambda: moved.rename(office.folder / "pin")


def open_pin_to_others(office: Any) -> Callable[[], object]:
    (office.folder / "pin").chmod(0o644)
    return lambda: (office.folder / "pin").chmod(0o600)


def fill_token(office: Any) -> Callable[[], object]:
    lock = office.folder / "softhsm" / "lock"
    lock.unlink()
    lock.symlink_to("/dev/full")
    return lock.unlink


def other_module(office: Any) -> Callable[[], object]:
    change_settings(office, module="/nowhere/module.so")
    return lambda: change_settings(office, module=None)


def other_label(office: Any) -> Callable[[], object]:
    change_settings(office, token="another")
    return lambda: change_settings(office, token="smpki")


FAULTS = [
    (move_token_folder, "token.missing"),
    (move_token, "token.missing"),
    (other_label, "token.missing"),
    (other_module, "token.module.missing"),
    (fill_token, "token.full"),
    (replace_file("pin", "0000000000000000\n"), "token.pin.incorrect"),
    (replace_file("pin", ""), "token.pin.empty"),
    (open_pin_to_others, "token.pin.file_mode"),
    (remove_pin, "token.pin.missing"),
    (replace_file("policy.yaml", "title: nothing else\n"), "policy.invalid"),
    (replace_file("policy.yaml", "{"), "policy.yaml"),
]


@pytest.mark.parametrize(("sabotage", "code"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_token_and_policy_faults_are_audited(
    office: Any, issue: tuple[str, ...], sabotage: Callable[[Any], Callable[[], object]], code: str
) -> None:
    before = office.tables()
    mend = sabotage(office)
    present = files(office)
    answer = office.run(*issue)
    assert_refused(answer, code)
    assert files(office) == present

    after = office.tables()
    (entry,) = after["audit"][len(before["audit"]) :]
    assert (entry["action"], entry["outcome"]) == ("issue", "refused")
    assert json.loads(entry["detail"])["code"] == code
    for name in before.keys() - {"audit", "audit_head"}:
        assert after[name] == before[name]

    mend()
    assert office.run(*issue)["exit"] == 0
    assert office.run("audit", "verify")["exit"] == 0


def test_a_batch_whose_token_is_missing_is_refused_once(office: Any, packages: Any, tmp_path: Path) -> None:
    source = tmp_path / "packages"
    source.mkdir()
    for number in range(3):
        (source / f"{number}.der").write_bytes(packages.make(f"Firma {number}.EMT"))
    before = office.tables()
    mend = move_token(office)
    command = ("issue-batch", source, "--sub-ca", SUB_CA, "--out", tmp_path / "out")
    answer = office.run(*command, "--workers", 2)
    assert answer["exit"] == 1
    assert "[token.missing]" in answer["err"]
    after = office.tables()
    assert [row["action"] for row in after["audit"][len(before["audit"]) :]] == ["issue-batch"]
    mend()
    assert office.run(*command)["exit"] == 0


def test_a_refused_sub_ca_leaves_no_key(office: Any) -> None:
    labels, before = office.key_labels(), office.tables()
    for arguments, code in (
        (["--name", "Neue", "--uri", "nirgendwo"], "issuing.contact"),
        (["--name", "Neue", "--country", "de"], "issuing.lint"),
        (["--name", "Beispiel"], "issuing.sub_ca.exists"),
        (["--name", "Neue", "--generation", "3000"], "policy.generation.unknown"),
    ):
        assert_refused(office.run("issue-sub-ca", *arguments), code)
    assert office.key_labels() == labels
    after = office.tables()
    assert [row["outcome"] for row in after["audit"][len(before["audit"]) :]] == ["refused"] * 4
    assert after["certificate"] == before["certificate"]
    assert after["intent"] == before["intent"]


def test_a_sub_ca_whose_key_is_gone_is_refused(workshop: Any, packages: Any) -> None:
    (workshop.home.folder / "keys" / "Beispiel.CA 1 sub-ca").unlink()
    with workshop.nothing_but_audit() as audited, pytest.raises(TokenError) as caught:
        workshop.issue(packages.make())
    assert caught.value.code == "token.key.missing"
    assert audited[0]["detail"] == caught.value.as_dict()


# The store: only the error stream can tell


def move_database(office: Any) -> Callable[[], object]:
    moved = (office.folder / "smpki.db").rename(office.folder / "elsewhere")
    return lambda: moved.rename(office.folder / "smpki.db")


def read_only(office: Any) -> Callable[[], object]:
    change_settings(office, database=f"sqlite:///file:{office.folder / 'smpki.db'}?mode=ro&uri=true")
    return lambda: change_settings(office, database=None)


def unreachable(office: Any) -> Callable[[], object]:
    change_settings(office, database=f"postgresql+psycopg://nobody@/nothing?host={office.folder}")
    return lambda: change_settings(office, database=None)


def execute(office: Any, statement: str) -> None:
    engine = open_engine(f"sqlite:///{office.folder / 'smpki.db'}")
    with writing(engine) as connection:
        connection.execute(text(statement))
    engine.dispose()


def schema(version: str) -> Callable[[Any], Callable[[], object]]:
    def sabotage(office: Any) -> Callable[[], object]:
        engine = open_engine(f"sqlite:///{office.folder / 'smpki.db'}")
        with writing(engine) as connection:
            before = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        engine.dispose()
        execute(office, f"UPDATE alembic_version SET version_num = '{version}'")
        return lambda: execute(office, f"UPDATE alembic_version SET version_num = '{before}'")

    return sabotage


def replaced_by(content: bytes) -> Callable[[Any], Callable[[], object]]:
    def sabotage(office: Any) -> Callable[[], object]:
        mend = move_database(office)
        (office.folder / "smpki.db").write_bytes(content)
        return mend

    return sabotage


def remove(name: str) -> Callable[[Any], Callable[[], object]]:
    def sabotage(office: Any) -> Callable[[], object]:
        moved = (office.folder / name).rename(office.folder / "elsewhere")
        return lambda: moved.rename(office.folder / name)

    return sabotage


def file_for_run_folder(office: Any) -> Callable[[], object]:
    moved = (office.folder / "run").rename(office.folder / "elsewhere")
    (office.folder / "run").touch()

    def mend() -> None:
        (office.folder / "run").unlink()
        moved.rename(office.folder / "run")

    return mend


STORE_FAULTS = [
    (move_database, "store.missing"),
    (read_only, "store.readonly"),
    (unreachable, "store.unreachable"),
    (schema("0000"), "store.version"),
    (schema("9999"), "store.version"),
    (replaced_by(b""), "store.version"),
    (replaced_by(b"no database" * 1000), "store.corrupt"),
    (file_for_run_folder, "store.owner"),
    (remove("audit.key"), "audit.key.missing"),
    (remove("audit.head"), "audit.head_file.missing"),
    (replace_file("audit.head", "{}"), "audit.head_file.invalid"),
    (replace_file("settings.yaml", "environment: nowhere\n"), "home.settings"),
    (remove("settings.yaml"), "home.missing"),
]


@pytest.mark.parametrize(("sabotage", "code"), STORE_FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_store_faults_are_told_on_the_error_stream(
    office: Any, issue: tuple[str, ...], sabotage: Callable[[Any], Callable[[], object]], code: str
) -> None:
    before = office.tables()
    mend = sabotage(office)
    present = files(office)
    for command in (issue, ("issue-sub-ca", "--name", "Neue")):
        assert_refused(office.run(*command), code)
        assert files(office) == present
    mend()
    assert office.tables() == before
    assert office.run(*issue)["exit"] == 0
    assert office.run("audit", "verify")["exit"] == 0


FINE = [pytest.param(limit, marks=pytest.mark.slow) for limit in range(65_536, 147_456, 2_048)]


@pytest.mark.parametrize("limit", [*range(4096, 180_000, 16_384), *FINE])
def test_a_full_disk_leaves_nothing_half_written(office: Any, packages: Any, tmp_path: Path, limit: int) -> None:
    """No file grows beyond the limit: the token's, the database's, the audit head's, whichever comes first."""
    requests = []
    for number in range(3):
        requests.append(tmp_path / f"{number}.der")
        requests[-1].write_bytes(packages.make(f"Firma {number}.EMT"))
    command = ("issue", *requests, "--sub-ca", SUB_CA)
    before = office.tables()
    answer = office.run(*command, largest_file=limit)
    assert "Traceback" not in answer["err"]
    assert answer["exit"] in (0, 1)
    assert ("refused:" in answer["err"]) == (answer["exit"] == 1)

    after = office.tables()
    issued = [row["subject_cn"] for row in after["certificate"][len(before["certificate"]) :]]
    assert len(issued) in (0, 9)
    assert bool(issued) >= (answer["exit"] == 0)
    assert {row["state"] for row in after["intent"]} <= {"issued", "abandoned", "open"}
    assert office.run("audit", "verify")["exit"] == 0
    again = office.run(*command)
    assert again["exit"] == 0, again["err"]
    assert len(office.tables()["certificate"]) == len(before["certificate"]) + 9
    assert office.run("audit", "verify")["exit"] == 0


def test_a_full_database_issues_nothing(workshop: Any, packages: Any) -> None:
    def limit(connection: Any, record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # which SQLite raises to the present size

    before, keys = workshop.tables(), workshop.key_labels
    event.listen(Engine, "connect", limit)
    try:
        with pytest.raises(StoreError) as caught:
            for number in range(100):
                workshop.issue(packages.make(f"Firma {number}.EMT"))
    finally:
        event.remove(Engine, "connect", limit)
    assert caught.value.code == "store.full"
    after = workshop.tables()
    purposes = [row["purpose"] for row in after["certificate"][len(before["certificate"]) :]]
    assert len(purposes) % 3 == 0
    assert workshop.key_labels == keys
    workshop.assert_chain_holds()
    assert workshop.issue(packages.make("Danach.EMT")).state == "issued"
    workshop.assert_chain_holds()


def test_an_audit_head_that_is_written_in_part_issues_nothing(postgres_workshop: Any, packages: Any) -> None:
    before = postgres_workshop.tables()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # the database is another process
    try:
        with pytest.raises(StoreError) as caught:
            postgres_workshop.issue(packages.make())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code == "store.full"
    assert postgres_workshop.tables()["audit"] == before["audit"]
    assert postgres_workshop.tables()["certificate"] == before["certificate"]
    postgres_workshop.assert_chain_holds()
    assert postgres_workshop.issue(packages.make()).state == "issued"


def test_certificates_that_cant_be_written_out_are_kept(office: Any, issue: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    answer = office.run(*issue, "--out", tmp_path / "taken" / "out")
    assert answer["exit"] == 1
    assert "[output.unwritable]" in answer["err"]
    assert len(office.tables()["certificate"]) == 7 + 3
    assert office.run(*issue, "--out", tmp_path / "free")["exit"] == 0
    assert sorted(file.name for file in (tmp_path / "free").iterdir()) == ["chain.pem", "enc.pem", "sig.pem", "tls.pem"]
    assert len(office.tables()["certificate"]) == 7 + 3
