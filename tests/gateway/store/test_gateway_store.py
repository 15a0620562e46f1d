"""Opening, looking, and what fails below the store: a refusal that says why, and nothing half-written."""

import json
import resource
import shutil
import sqlite3
import stat
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, insert, text

from smpki.db.engine import migrate, open_engine, reading, writing
from smpki.db.migrations import configuration
from smpki.errors import StoreError
from smpki.gateway.readings import Reading
from smpki.gateway.store.outbox import Sealed, Selection
from smpki.gateway.store.store import SCHEMA, GatewayStore
from smpki.gateway.store.tables import metadata

Make = Callable[..., Reading]


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as refused:
        act()
    assert refused.value.message
    return refused.value.code


def stored(store: GatewayStore) -> int:
    with store.view() as view:
        return len(view.readings.page(limit=100_000))


# Tables


def test_a_new_store_is_the_operators_alone(tmp_path: Path) -> None:
    file = tmp_path / "50% full?.db"
    GatewayStore.create(file).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_creating_again_keeps_what_is_there(database: Path, reading: Make, noon: datetime) -> None:
    for _ in range(2):
        store = GatewayStore.create(database)
        with store.work() as work:
            work.readings.add([reading(0)], now=noon)
        assert stored(store) == 1
        store.close()


def test_the_step_makes_the_tables_that_the_statements_use(database: Path, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'other.db'}")
    (tmp_path / "other.db").touch()
    with writing(engine) as connection:
        metadata.create_all(connection)
    assert definitions(engine) == definitions(open_engine(f"sqlite:///{database}"))


def definitions(engine: Engine) -> list[tuple[Any, ...]]:
    query = "SELECT tbl_name, name, sql FROM sqlite_master WHERE type <> 'trigger' AND tbl_name <> 'gateway_version'"
    with reading(engine) as connection:
        found = sorted(map(tuple, connection.execute(text(query))))
    engine.dispose()
    return found


def test_the_program_knows_the_newest_step(store: GatewayStore, database: Path) -> None:
    with reading(open_engine(f"sqlite:///{database}")) as connection:
        scripts = ScriptDirectory.from_config(configuration(connection, SCHEMA.steps, SCHEMA.version_table))
    assert scripts.get_current_head() == SCHEMA.version


def test_messages_of_an_older_store_come_along(tmp_path: Path, noon: datetime) -> None:
    """An open delivery goes in the same octets, also when the program has become newer meanwhile."""
    file = tmp_path / "gateway.db"
    file.touch()
    engine = open_engine(f"sqlite:///{file}")
    steps = tmp_path / "steps"
    steps.mkdir()
    shutil.copy(SCHEMA.steps / "0001_store.py", steps)
    migrate(engine, replace(SCHEMA, version="0001", steps=steps))
    kept = {"circumstances": "these", "message": b64encode(b"octets").decode()}
    with writing(engine) as connection:
        values = {"id": "a", "participant": "emt", "document": b"{}", "state": "open", "attempts": 1}
        times = dict.fromkeys(("created_at", "attempted_at", "next_attempt_at"), noon)
        connection.execute(insert(metadata.tables["delivery"]).values(**values, **times))
        connection.execute(insert(metadata.tables["state"]).values(name="sealed/a", value=json.dumps(kept)))
        connection.execute(insert(metadata.tables["state"]).values(name="slot", value="1"))
    engine.dispose()
    store = GatewayStore.create(file)
    with store.view() as view:
        assert view.outbox.get("a").sealed == Sealed("these", b"octets")
        assert view.state.all() == {"slot": "1"}
    store.close()


# Looking


def test_a_view_changes_nothing(store: GatewayStore, reading: Make, noon: datetime) -> None:
    def write() -> None:
        with store.view() as view:
            view.readings.add([reading(0)], now=noon)

    assert code_of(write) == "store.readonly"
    with store.work() as work:
        work.readings.add([reading(0)], now=noon)
    assert stored(store) == 1


def test_a_view_sees_one_moment(store: GatewayStore, reading: Make, noon: datetime) -> None:
    with store.view() as view:
        assert view.readings.page() == ()
        with store.work() as work:
            work.readings.add([reading(0)], now=noon)
        assert view.readings.page() == ()
    assert stored(store) == 1


def test_an_exception_leaves_nothing_of_its_block(store: GatewayStore, reading: Make, noon: datetime) -> None:
    with pytest.raises(ZeroDivisionError), store.work() as work:
        work.readings.add([reading(0)], now=noon)
        work.logs.append("system", "any", "", now=noon)
        _ = 1 / 0
    with store.view() as view:
        assert (view.readings.page(), view.logs.page("system")) == ((), ())


# Faults


@pytest.fixture
def fill(reading: Make, selection: Selection, noon: datetime) -> Callable[[GatewayStore], None]:
    """One transaction over everything, of about 100 KB."""

    def fill(store: GatewayStore) -> None:
        with store.work() as work:
            first = stored_in(work)
            work.readings.add([reading(quarter) for quarter in range(first, first + 300)], now=noon)
            work.outbox.create("emt", selection, str(first), lambda _: bytes(50_000), now=noon)
            work.logs.append("system", "any", "", now=noon)
            work.documents.put("profile", str(first), now=noon)

    return fill


def stored_in(work: Any) -> int:
    return len(work.readings.page(limit=100_000))


def assert_whole(store: GatewayStore, times: int) -> None:
    """Everything of so many transactions is there and nothing else."""
    store.check()
    with store.view() as view:
        assert len(view.readings.page(limit=100_000)) == 300 * times
        assert view.outbox.counts() == ({("emt", "open"): times} if times else {})
        assert len(view.logs.page("system")) == times
        assert view.documents.names() == (("profile",) if times else ())


@pytest.mark.parametrize("limit", [1, *range(4_000, 120_000, 12_000)])
def test_a_full_disk(database: Path, fill: Callable[[GatewayStore], None], limit: int) -> None:
    """No file grows beyond the limit, wherever in the transaction that is."""
    store = GatewayStore.open(database)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        assert code_of(lambda: fill(store)) in ("store.full", "store.io")
        store.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_whole(store, 0)
    fill(store)
    assert_whole(store, 1)
    store.close()


def test_a_full_database(database: Path, fill: Callable[[GatewayStore], None]) -> None:
    def limit(connection: sqlite3.Connection, record: object) -> None:
        connection.execute("PRAGMA max_page_count = 120").close()

    event.listen(Engine, "connect", limit)
    try:
        store = GatewayStore.open(database)
        fill(store)
        assert code_of(lambda: [fill(store) for _ in range(10)]) == "store.full"
        with store.view() as view:
            times = len(view.logs.page("system"))
        assert times >= 1
        assert_whole(store, times)
        store.close()
    finally:
        event.remove(Engine, "connect", limit)
    store = GatewayStore.open(database)
    fill(store)
    assert_whole(store, times + 1)
    store.close()


def test_a_locked_database(database: Path, fill: Callable[[GatewayStore], None]) -> None:
    store = GatewayStore(open_engine(f"sqlite:///{database}?timeout=0.05"))
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert code_of(lambda: fill(store)) == "store.busy"
        assert_whole(store, 0)  # looking goes on
        other.execute("ROLLBACK")
    fill(store)
    assert_whole(store, 1)
    store.close()


def of_a_pki(file: Path) -> None:
    file.unlink()
    migrate(open_engine(f"sqlite:///{file}"))


def of_another_version(version: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE gateway_version SET version_num = ?", (version,))

    return change


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (Path.unlink, "store.missing"),
        (lambda file: file.write_bytes(b""), "store.version"),
        (lambda file: file.write_bytes(b"no database" * 1000), "store.corrupt"),
        (lambda file: file.write_bytes(file.read_bytes()[:5000]), "store.corrupt"),
        (of_a_pki, "store.version"),
        (of_another_version("0000"), "store.version"),
        (of_another_version("9999"), "store.version"),
    ],
)
def test_a_database_that_is_not_ours(database: Path, spoil: Callable[[Path], object], code: str) -> None:
    spoil(database)
    assert code_of(lambda: GatewayStore.open(database)) == code


def test_a_damaged_page_is_found(database: Path, fill: Callable[[GatewayStore], None]) -> None:
    store = GatewayStore.open(database)
    fill(store)
    store.close()
    content = bytearray(database.read_bytes())
    content[-3 * 4096 : -4096] = b"\xaa" * 2 * 4096
    database.write_bytes(content)
    store = GatewayStore.open(database)
    assert code_of(store.check) == "store.corrupt"
    store.close()


def test_a_database_that_is_taken_away_while_it_is_open(
    database: Path, tmp_path: Path, fill: Callable[[GatewayStore], None]
) -> None:
    store = GatewayStore.open(database)
    shutil.copy(database, tmp_path / "copy")
    database.unlink()
    assert code_of(lambda: fill(store)) in ("store.missing", "store.unreachable")
    shutil.copy(tmp_path / "copy", database)
    fill(store)
    assert_whole(store, 1)
    store.close()
