"""What the engine promises of every database, and how it explains a database that fails."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, MetaData, Table, event, text

from smpki.db.engine import check_schema, migrate, open_engine, reading, writing
from smpki.db.types import UtcTime
from smpki.errors import StoreError

INSERT_HEAD = "INSERT INTO audit_head (counter, seq, mac) VALUES (:n, 0, '')"
COUNT = text("SELECT count(*) FROM audit_head")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A migrated SQLite database."""
    path = tmp_path / "smpki.db"
    migrate(open_engine(f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'smpki.db'}?timeout=0.1")
    else:
        engine = open_engine(request.getfixturevalue("postgres_url"))
    migrate(engine)
    yield engine
    engine.dispose()


def code_of(engine: Engine, statement: str = "SELECT 1", **values: object) -> str:
    with pytest.raises(StoreError) as refusal, writing(engine) as connection:
        connection.execute(text(statement), values)
    return refusal.value.code


def test_sqlite_commits_durably_and_keeps_foreign_keys(file: Path) -> None:
    with reading(open_engine(f"sqlite:///{file}")) as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    full = 2
    assert found == {"journal_mode": "wal", "synchronous": full, "foreign_keys": 1, "busy_timeout": 30_000}


def test_sqlite_writers_hold_the_lock_from_the_start(file: Path) -> None:
    with writing(open_engine(f"sqlite:///{file}")):
        assert code_of(open_engine(f"sqlite:///{file}?timeout=0.05")) == "store.busy"


def test_postgresql_commits_durably_and_does_not_wait_for_ever(postgres_url: str) -> None:
    with reading(open_engine(postgres_url)) as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
        assert connection.execute(text("SHOW lock_timeout")).scalar() == "30s"


def test_a_reader_does_not_wait_and_sees_one_moment(engine: Engine) -> None:
    count = text("SELECT count(*) FROM audit_head")
    with reading(engine) as reader:
        assert reader.execute(count).scalar() == 1
        with writing(engine) as writer:
            writer.execute(text(INSERT_HEAD), {"n": 1})
            assert reader.execute(count).scalar() == 1
        assert reader.execute(count).scalar() == 1
    with reading(engine) as reader:
        assert reader.execute(count).scalar() == 2


def test_an_exception_leaves_nothing_behind(engine: Engine) -> None:
    with pytest.raises(KeyError), writing(engine) as connection:
        connection.execute(text(INSERT_HEAD), {"n": 1})
        raise KeyError
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_head")).scalar() == 1


def test_times_keep_their_moment_to_the_microsecond(engine: Engine) -> None:
    times = Table("times", MetaData(), Column("at", UtcTime))
    berlin = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    with writing(engine) as connection:
        times.create(connection)
        connection.execute(times.insert(), {"at": berlin})
        found = connection.execute(times.select()).scalar()
    assert found == berlin
    assert found is not None and found.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        UtcTime().process_bind_param(datetime(2026, 1, 1), None)  # type: ignore[arg-type]  # noqa: DTZ001


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("smpki.db", "store.url"),
        ("sqlite:///x.db?timeout=soon", "store.url"),
        ("oracle+nosuch://smpki:geheim@host/x", "store.driver"),
        ("nosuch://smpki:geheim@host/x", "store.driver"),
        ("oracle://smpki:geheim@host/x", "store.driver"),
        ("postgresql+psycopg://smpki:geheim@127.0.0.1:1/x", "store.unreachable"),
        ("postgresql+psycopg://smpki@127.0.0.1:1/x?password=geheim", "store.unreachable"),
        ("postgresql+psycopg://127.0.0.1:1/x?sslmode=geheim", "store.unreachable"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused_without_its_password(url: str, code: str) -> None:
    with pytest.raises(StoreError) as refusal, writing(open_engine(url)):
        pass
    assert refusal.value.code == code
    assert "geheim" not in repr(refusal.value) + str(refusal.value.__cause__)
    assert refusal.value.__suppress_context__
    assert refusal.value.hint


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "smpki.db"
    with pytest.raises(StoreError) as refusal:
        check_schema(open_engine(f"sqlite:///{file}"))
    assert refusal.value.code == "store.missing"
    assert not file.exists()


def test_a_file_removed_under_the_program_is_noticed_and_not_made_anew(file: Path) -> None:
    engine = open_engine(f"sqlite:///{file}")
    check_schema(engine)
    file.unlink()
    assert code_of(engine, INSERT_HEAD, n=1) == "store.missing"
    assert not file.exists()


def test_a_copy_in_the_place_of_the_file_is_used_by_all_connections_at_once(file: Path) -> None:
    engine = open_engine(f"sqlite:///{file}")
    with reading(engine) as one, reading(engine) as another:  # the pool has two connections now
        assert {each.execute(COUNT).scalar() for each in (one, another)} == {1}
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = file.with_name("copy")
    shutil.copy(file, copy)
    copy.replace(file)
    with writing(engine) as connection:
        connection.execute(text(INSERT_HEAD), {"n": 1})
    with closing(sqlite3.connect(file)) as other:
        assert other.execute(str(COUNT)).fetchone() == (2,)
    with reading(engine) as one, reading(engine) as another:
        assert {each.execute(COUNT).scalar() for each in (one, another)} == {2}


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "smpki.db"
    file.write_text("Sehr geehrte Damen und Herren, " * 100)
    assert code_of(open_engine(f"sqlite:///{file}")) == "store.corrupt"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refusal:
        migrate(open_engine(f"sqlite:///{tmp_path}/nowhere/smpki.db"))
    assert refusal.value.code == "store.unreachable"


def test_a_database_that_may_only_be_read(file: Path) -> None:
    engine = open_engine(f"sqlite:///file:{file}?mode=ro&uri=true")
    assert code_of(engine, INSERT_HEAD, n=1) == "store.readonly"


def test_a_full_disk_leaves_nothing_half_written(file: Path) -> None:
    engine = open_engine(f"sqlite:///{file}")
    fill = "INSERT INTO audit_head (counter, seq, mac) VALUES (1, 0, :mac)"
    event.listen(engine, "connect", _no_more_pages)
    assert code_of(engine, fill, mac="0" * 1_000_000) == "store.full"
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_head")).scalar() == 1


def _no_more_pages(connection: sqlite3.Connection, record: object) -> None:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_row_that_another_excludes(engine: Engine) -> None:
    assert code_of(engine, INSERT_HEAD, n=0) == "store.conflict"


def test_a_table_that_is_not_there(engine: Engine) -> None:
    assert code_of(engine, "SELECT * FROM nosuch") == "store.version"


def test_postgresql_without_the_database(postgres_url: str) -> None:
    assert code_of(open_engine(postgres_url.replace("/test_", "/nosuch_"))) == "store.unreachable"


def test_postgresql_that_may_only_be_read(postgres_url: str) -> None:
    migrate(open_engine(postgres_url))
    engine = open_engine(f"{postgres_url}&options=-c default_transaction_read_only=on")
    assert code_of(engine, INSERT_HEAD, n=1) == "store.readonly"


def test_postgresql_that_is_gone_in_the_middle(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    migrate(engine)
    with pytest.raises(StoreError) as refusal, writing(engine) as connection:
        connection.execute(text(INSERT_HEAD), {"n": 1})
        with writing(engine) as other:
            other.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                    "AND datname = current_database()"
                )
            )
    assert refusal.value.code == "store.unreachable"
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_head")).scalar() == 1


def test_postgresql_lock_that_is_not_given(postgres_url: str) -> None:
    migrate(open_engine(postgres_url))
    impatient = open_engine(f"{postgres_url}&options=-c lock_timeout=50ms")
    with writing(open_engine(postgres_url)) as connection:
        connection.execute(text("SELECT * FROM audit_head FOR UPDATE"))
        assert code_of(impatient, "SELECT * FROM audit_head FOR UPDATE") == "store.busy"


def test_threads_share_an_engine(engine: Engine) -> None:
    def insert(number: int) -> None:
        with writing(engine) as connection:
            connection.execute(text(INSERT_HEAD), {"n": number})

    threads = [threading.Thread(target=insert, args=[number]) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_head")).scalar() == 9
