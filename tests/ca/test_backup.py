"""Backups: consistent while the PKI works, restored whole or not at all, on either database; an old one is noticed."""

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import yaml

from smpki.ca import backup as backups
from smpki.ca import backup_file
from smpki.ca.backup import Place, back_up, check_backup, restore
from smpki.ca.home import Home, Settings
from smpki.ca.store import copies
from smpki.ca.store.audit import AuditChain, create_key, read_key
from smpki.ca.store.audit_head import HeadFile
from smpki.ca.store.copies import put_in_place, snapshot
from smpki.ca.store.owner import OwnerLock
from smpki.ca.store.records import Intent
from smpki.ca.store.store import Store
from smpki.db import portable
from smpki.db.engine import PKI, make_file, open_engine, reading, version_of, writing
from smpki.errors import SmpkiError
from smpki.policy.load import default_policy_text


def furnished(workshop: Any) -> Any:
    """A workshop whose home has settings and policy, too."""
    home: Home = workshop.home
    database = None if workshop.database.startswith("sqlite") else workshop.database
    home.settings_file.write_text(yaml.safe_dump(Settings(environment="test", database=database).model_dump()))
    home.policy_file.write_text(default_policy_text())
    return workshop


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(SmpkiError) as raised:
        yield
    assert raised.value.code == code


class Desk:
    """Backs a workshop's PKI up, and restores it elsewhere."""

    def __init__(self, workshop: Any, folder: Path) -> None:
        self.workshop = furnished(workshop)
        self.folder = folder

    def back_up(self, name: str = "backup", *, with_key: bool = False) -> Path:
        file = self.folder / f"{name}.zip"
        back_up(self.workshop.home, file, now=self.workshop.now, program="1", with_key=with_key)
        return file

    def new_home(self, name: str = "new", *, key: bool = True) -> Home:
        """A home with what is kept apart from backups."""
        home = Home(self.folder / name)
        home.folder.mkdir()
        if key:
            shutil.copy(self.workshop.home.audit_key_file, home.folder)
        shutil.copytree(self.workshop.home.folder / "keys", home.folder / "keys")
        return home

    def restore(self, file: Path, home: Home, database: str | None = None, accept: tuple[str, ...] = ()) -> Any:
        _, restored = restore(
            file, Place(home, database), clock=lambda settings: (lambda: self.workshop.now, False), accept=accept
        )
        return restored

    def workshop_in(self, home: Home, database: str | None = None) -> Any:
        return type(self.workshop)(home, database or f"sqlite:///{home.folder / 'smpki.db'}", self.workshop.now)


@pytest.fixture
def desk(workshop: Any, packages: Any, tmp_path: Path) -> Desk:
    """Of a PKI that has issued, revoked, published a CRL, and is in the middle of issuing."""
    outcome = workshop.issue(packages.make())
    with workshop.open() as pki:
        pki.revocations.revoke([outcome.certificates[0].serial], "superseded")
        pki.crls.issue()
    return Desk(workshop, tmp_path)


def same(one: dict[str, Any], other: dict[str, Any], *, but: tuple[str, ...] = ()) -> bool:
    """Whether tables are the same, audit entries added at the end aside."""
    return all(
        rows == other[name][: len(rows)] if name in ("audit", "audit_head") else rows == other[name]
        for name, rows in one.items()
        if name not in but
    )


def test_what_is_restored_is_what_was_there(desk: Desk, packages: Any) -> None:
    before = desk.workshop.tables()
    file, home = desk.back_up(), desk.new_home()
    restored = desk.restore(file, home)
    copy = desk.workshop_in(home)
    assert same(before, copy.tables())
    entry = copy.tables()["audit"][-1]
    assert (entry["action"], entry["outcome"]) == ("restore", "done")
    assert (
        json.loads(entry["detail"])["copy_ends_at"]["counter"] == restored.head.counter == len(before["audit_head"]) - 1
    )
    assert (restored.lost, restored.abandoned, restored.findings) == (None, (), ())
    assert home.policy_file.read_text() == desk.workshop.home.policy_file.read_text()
    assert home.settings() == desk.workshop.home.settings()
    copy.assert_chain_holds()
    assert copy.issue(packages.make("Andere.EMT")).state == "issued"
    copy.assert_chain_holds()


def test_from_one_database_to_the_other_and_back(desk: Desk, packages: Any, postgres_url: str) -> None:
    before = desk.workshop.tables()
    there = desk.new_home("there")
    desk.restore(desk.back_up(), there, postgres_url)
    postgres = desk.workshop_in(there, postgres_url)
    assert same(before, postgres.tables())
    assert postgres.issue(packages.make("Andere.EMT")).state == "issued"  # rows are numbered on
    with postgres.open() as pki:
        assert all(outcome.record for outcome in pki.crls.issue())
    between = postgres.tables()
    assert there.settings().database == postgres_url
    second = Desk(postgres, desk.folder)
    home = desk.new_home("back")
    second.restore(second.back_up("second"), home)
    back = desk.workshop_in(home)
    assert same(between, back.tables())
    back.assert_chain_holds()
    with refused("backup.not_empty"):
        desk.restore(desk.folder / "backup.zip", desk.new_home("again"), postgres_url)


def test_it_is_of_one_moment_though_others_write(desk: Desk, packages: Any) -> None:
    engine = open_engine(desk.workshop.database)
    with snapshot(engine) as found:
        first = list(found.lines("certificate"))
        desk.workshop.issue(packages.make("Andere.EMT"))
        assert list(found.lines("certificate")) == first
        assert len(list(found.lines("audit_head"))) == found.head.counter + 2  # names of columns, and head 0
    with snapshot(engine) as found:
        assert len(list(found.lines("certificate"))) == len(first) + 3
    engine.dispose()


def test_no_secret_is_in_it(desk: Desk) -> None:
    home: Home = desk.workshop.home
    home.pin_file.write_text("2468013579")
    file = desk.back_up()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with ZipFile(file) as archive:
        assert {name for name in archive.namelist() if not name.startswith("rows/")} == {
            *("policy.yaml", "manifest.json", "manifest.mac")
        }
        assert b"2468013579" not in b"".join(map(archive.read, archive.namelist()))


def test_without_its_audit_key_it_is_of_no_use_but_the_key_may_go_along(desk: Desk) -> None:
    file, whole = desk.back_up(), desk.back_up("whole", with_key=True)
    home = desk.new_home(key=False)
    with refused("backup.audit_key"):
        desk.restore(file, home)
    create_key(home.audit_key_file, lambda octets: b"\1" * octets)
    for one in (file, whole):
        with refused("backup.foreign"):
            desk.restore(one, home)
    home.audit_key_file.unlink()
    desk.restore(whole, home)
    assert stat.S_IMODE(home.audit_key_file.stat().st_mode) == 0o600
    desk.workshop_in(home).assert_chain_holds()


def test_nothing_is_overwritten(desk: Desk) -> None:
    file = desk.back_up()
    content = file.read_bytes()
    with refused("backup.exists"):
        desk.back_up()
    assert file.read_bytes() == content
    before = desk.workshop.tables()
    with refused("backup.not_empty"):
        desk.restore(file, desk.workshop.home)
    assert desk.workshop.tables() == before
    desk.workshop.assert_chain_holds()
    with refused("backup.other"):
        desk.restore(file, desk.workshop.home, "sqlite:////elsewhere.db")


def lose_the_database(desk: Desk) -> None:
    for file in desk.workshop.home.folder.glob("smpki.db*"):
        file.unlink()


def test_a_lost_database_comes_back_in_its_home(desk: Desk) -> None:
    before, file = desk.workshop.tables(), desk.back_up()
    lose_the_database(desk)
    assert desk.restore(file, desk.workshop.home).lost == 0
    assert same(before, desk.workshop.tables())
    desk.workshop.assert_chain_holds()


def test_an_older_backup_is_noticed_and_taken_only_on_demand(desk: Desk, packages: Any) -> None:
    file = desk.back_up()
    numbers = crl_numbers(desk)
    desk.workshop.issue(packages.make("Andere.EMT"))
    for _ in range(2):
        with desk.workshop.open() as pki:
            pki.crls.issue()
    lost, published = len(desk.workshop.tables()["audit_head"]), crl_numbers(desk)
    kept = desk.workshop.home.audit_head_file.read_bytes()
    lose_the_database(desk)
    with refused("backup.older"):
        desk.restore(file, desk.workshop.home)
    assert desk.workshop.home.audit_head_file.read_bytes() == kept
    assert not list(desk.workshop.home.folder.glob("smpki.db*"))
    restored = desk.restore(file, desk.workshop.home, accept=("older",))
    assert restored.lost == lost - 1 - restored.head.counter == 7  # one triple, three CRLs twice
    (detail,) = (json.loads(row["detail"]) for row in desk.workshop.tables()["audit"] if row["action"] == "restore")
    assert detail["kept_outside"] == {name: json.loads(kept)[name] for name in ("counter", "seq", "mac")}
    assert detail["lost"] == 7
    desk.workshop.assert_chain_holds()
    with desk.workshop.open() as pki:
        pki.crls.issue()
    now = crl_numbers(desk)
    assert now.keys() == numbers.keys()
    assert all(now[scope] > published[scope] for scope in now)


def crl_numbers(desk: Desk) -> dict[tuple[str, str], int]:
    rows = desk.workshop.tables()["crl"]
    return {(row["authority"], row["kind"]): row["number"] for row in rows if row["state"] == "issued"}


def test_the_backup_of_another_history_is_refused(desk: Desk, workshops: Callable[[], Any], packages: Any) -> None:
    """Both began the same way, with the same audit key."""
    file = desk.back_up()
    other = Desk(workshops(), desk.folder)
    other.workshop.now = desk.workshop.now.replace(hour=1)
    other.workshop.issue(packages.make("Andere.EMT"))
    lose_the_database(other)
    with refused("audit.head.replaced"):
        other.restore(file, other.workshop.home, accept=("older", "findings"))


def test_what_was_being_issued_is_given_up(desk: Desk) -> None:
    """By a process that the new home knows nothing of: its subject would be taken for good."""
    engine = open_engine(desk.workshop.database)
    home: Home = desk.workshop.home
    owner = OwnerLock.take(home.run_folder, os.urandom)
    chain = AuditChain(read_key(home.audit_key_file), home.audit_head_file, clock=lambda: desk.workshop.now)
    store = Store(engine, chain, owner=owner)
    name = "CN=Neu.EMT"
    store.record_intents(
        [Intent(serial="0a", tbs_hash="", issuer_serial=None, kind="emt", subject_key=name, dn_serial=1, key_hash="k")]
    )
    new = desk.new_home()
    assert desk.restore(desk.back_up(), new).abandoned == ("0a",)
    (row,) = (row for row in desk.workshop_in(new).tables()["intent"] if row["serial"] == "0a")
    assert (row["state"], row["holds"]) == ("abandoned", False)
    owner.release()
    engine.dispose()


CHANGES: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "a row": (lambda members: change(members, "rows/revocation.jsonl", b"superseded", b"compromise"), "backup.damaged"),
    "a row less": (lambda members: cut(members, "rows/revocation.jsonl"), "backup.damaged"),
    "a table less": (lambda members: drop(members, "rows/revocation.jsonl"), "backup.damaged"),
    "the policy": (lambda members: change(members, "policy.yaml", b"2y", b"9y"), "backup.damaged"),
    "a figure in the table of contents": (
        lambda members: change(members, "manifest.json", b'"revocation": 3', b'"revocation": 2'),
        "backup.foreign",
    ),
    "no environment": (
        lambda members: change(members, "manifest.json", b'"test"', b'"production"'),
        "backup.foreign",
    ),
    "no table of contents": (lambda members: drop(members, "manifest.json"), "backup.damaged"),
    "another format": (lambda members: change(members, "manifest.json", b"backup 1", b"backup 2"), "backup.damaged"),
}


def change(members: dict[str, bytes], name: str, old: bytes, new: bytes) -> None:
    assert old in members[name]
    members[name] = members[name].replace(old, new)


def cut(members: dict[str, bytes], name: str) -> None:
    members[name] = b"".join(members[name].splitlines(keepends=True)[:-1])


def drop(members: dict[str, bytes], name: str) -> None:
    del members[name]


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_not_restored(name: str, desk: Desk) -> None:
    file, home = desk.back_up(), desk.new_home()
    with ZipFile(file) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    make, code = CHANGES[name]
    make(members)
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for one, content in members.items():
            archive.writestr(one, content)
    for act in (lambda: check_backup(file, home), lambda: desk.restore(file, home)):
        with refused(code):
            act()
    assert_nothing_is_there(home)


def assert_nothing_is_there(home: Home) -> None:
    found = {file.name for file in home.folder.iterdir()}
    assert found <= {"audit.key", "keys", "run", "audit.head.lock", "audit.head.new"}
    with refused("home.missing"):
        home.settings()


def test_an_encrypted_member_and_a_key_that_is_none_are_damages(desk: Desk) -> None:
    file, home = desk.back_up(with_key=True), desk.new_home(key=False)
    whole = file.read_bytes()
    place = whole.rindex(b"PK\1\2", 0, whole.rindex(b"manifest.json"))
    file.write_bytes(whole[: place + 8] + b"\1" + whole[place + 9 :])  # general purpose bit 0: encrypted
    with refused("backup.damaged"):
        check_backup(file, home)
    file.write_bytes(whole)
    with ZipFile(file) as archive:
        members = {one: archive.read(one) for one in archive.namelist()}
    with ZipFile(file, "w") as archive:
        for one, content in (members | {"audit.key": b"\xff no key"}).items():
            archive.writestr(one, content)
    with refused("backup.damaged"):
        desk.restore(file, home)
    assert_nothing_is_there(home)


def test_two_that_back_up_to_the_same_file_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    with refused("backup.exists"), backup_file._new_file(file) as first:
        first.write(b"first")
        with backup_file._new_file(file) as second:
            second.write(b"2")
    assert file.read_bytes() == b"2"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_half_a_file(share: float, desk: Desk) -> None:
    file, home = desk.back_up(), desk.new_home()
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with refused("backup.unreadable"):
        desk.restore(file, home)
    assert_nothing_is_there(home)


def test_a_broken_chain_is_restored_only_on_demand(desk: Desk) -> None:
    engine = open_engine(desk.workshop.database)
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE audit SET subject = 'nobody' WHERE seq = 2")
    engine.dispose()
    file, home = desk.back_up(), desk.new_home()
    with refused("backup.findings"):
        desk.restore(file, home)
    assert_nothing_is_there(home)
    restored = desk.restore(file, home, accept=("findings",))
    assert [one.code for one in restored.findings] == ["audit.entry.changed"]


def test_what_was_known_of_later_transactions_outlives_a_restoration_that_was_broken_off(
    desk: Desk, packages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the next one would take its own head for all that there was, and give CRL numbers again."""
    file = desk.back_up()
    desk.workshop.issue(packages.make("Andere.EMT"))
    with desk.workshop.open() as pki:
        pki.crls.issue()
    lose_the_database(desk)
    home: Home = desk.workshop.home
    child = os.fork()
    if not child:
        monkeypatch.setattr(backups, "_write", lambda *_: os._exit(9))
        desk.restore(file, home, accept=("older",))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    for end in home.folder.glob("smpki.db*"):
        end.unlink()
    with refused("backup.older"):
        desk.restore(file, home)
    assert desk.restore(file, home, accept=("older",)).lost == 4  # one triple, three CRLs
    assert not list(home.folder.glob("audit.head.before"))
    desk.workshop.assert_chain_holds()


DEATHS = {
    "behind the rows": (copies, "bring_up_to_date"),
    "before the head": (HeadFile, "publish"),
    "before the settings": (backups, "_write"),
}


@pytest.mark.parametrize("where", DEATHS)
def test_killed_on_the_way_there_is_no_pki_and_it_can_be_begun_anew(
    where: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, home = desk.back_up(), desk.new_home()
    child = os.fork()
    if not child:
        place, name = DEATHS[where]
        monkeypatch.setattr(place, name, lambda *_: os._exit(9))
        desk.restore(file, home)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with refused("home.missing"):
        home.settings()
    head_is_there = home.audit_head_file.exists()
    if head_is_there:  # it was killed behind that
        with refused("backup.older"):
            desk.restore(file, home)
    restored = desk.restore(file, home, accept=("older",) if head_is_there else ())
    assert restored.lost == (1 if head_is_there else None)
    desk.workshop_in(home).assert_chain_holds()


def test_of_a_database_that_is_gone_no_log_may_be_left(desk: Desk) -> None:
    file, home = desk.back_up(), desk.new_home()
    (home.folder / "smpki.db-wal").write_bytes(b"what was not yet in the file")
    with refused("backup.leftover"):
        desk.restore(file, home)
    assert (home.folder / "smpki.db-wal").read_bytes() == b"what was not yet in the file"


def test_tables_of_an_older_version_are_brought_up_to_date(tmp_path: Path) -> None:
    old, new = (open_engine(f"sqlite:///{tmp_path / name}.db") for name in ("old", "new"))
    make_file(old)
    with writing(old) as connection:
        portable.make_empty(connection, "0001")
        connection.exec_driver_sql(f"INSERT INTO audit_head (counter, seq, mac) VALUES (0, 0, '{'0' * 64}')")
    key = bytes(32)
    chain = AuditChain(key, tmp_path / "audit.head", clock=lambda: datetime(2026, 11, 22, tzinfo=UTC))
    with snapshot(old) as found:
        assert found.version == "0001"
        put_in_place(new, chain, key, found.version, found.lines, accept=frozenset(), last=lambda: None)
    with reading(new) as connection:
        assert version_of(connection) == PKI.version
    old.dispose()
    new.dispose()
    with refused("backup.version"):
        portable.tables_of("9999")


def test_a_home_that_is_none(tmp_path: Path) -> None:
    with refused("home.missing"):
        back_up(Home(tmp_path), tmp_path / "backup.zip", now=None, program="1", with_key=False)  # type: ignore[arg-type]
    with refused("backup.unreadable"):
        check_backup(tmp_path / "nothing.zip", Home(tmp_path))
