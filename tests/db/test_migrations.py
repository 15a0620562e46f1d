"""From nothing, or from an older version, to the tables that the program needs."""

import logging
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, insert, select, text
from sqlmodel import SQLModel

import smpki.ca.store.tables as tables
import smpki.service.accounts.store.tables as accounts
import smpki.service.desk.store.tables as desk
import smpki.service.web.store.tables as web
from smpki.db.engine import PKI, check_schema, migrate, open_engine, reading, writing
from smpki.db.migrations import configuration, upgrade
from smpki.errors import StoreError


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'smpki.db'}"
    engine = open_engine(url if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


def test_migrating_twice_is_migrating_once(engine: Engine) -> None:
    migrate(engine)
    check_schema(engine)
    migrate(engine)
    check_schema(engine)
    with reading(engine) as connection:
        assert connection.execute(text("SELECT counter, seq, mac FROM audit_head")).all() == [(0, 0, "0" * 64)]


def test_the_migrations_make_the_tables_of_the_models(engine: Engine) -> None:
    migrate(engine)
    by_migrations = definitions(engine)
    with writing(engine) as connection:
        SQLModel.metadata.drop_all(connection)
        SQLModel.metadata.create_all(connection)
    assert definitions(engine) == by_migrations
    some = (tables.certificate, tables.intent, tables.audit, web.sent_request, accounts.account, desk.submission)
    assert {table.name for table in some} <= {row[0] for row in by_migrations}


def definitions(engine: Engine) -> list[tuple[object, ...]]:
    """Every table, index and constraint as the database itself tells it."""
    if engine.dialect.name == "sqlite":
        queries = ["SELECT tbl_name, name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version'"]
    else:
        queries = [
            "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name "
            "FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'",
            "SELECT tablename, indexname, indexdef FROM pg_indexes "
            "WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'",
        ]
    with reading(engine) as connection:
        return sorted((tuple(row) for query in queries for row in connection.execute(text(query))), key=str)


def test_what_was_registered_before_there_were_accounts_stays(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        Path(engine.url.database or "").touch()
    row = {
        "subject_key": "k",
        "role": "emt",
        "subject_cn": "Firma.EMT",
        "organisation": "Firma",
        "contact": "a@b.example",
    }
    row |= {"blocked": False, "registered_at": datetime(2026, 1, 1, tzinfo=UTC)}
    with writing(engine) as connection:
        upgrade(connection, PKI.steps, PKI.version_table, "0003")
        connection.execute(insert(web.registration).values(row))
    migrate(engine)
    check_schema(engine)
    with reading(engine) as connection:
        kept = connection.execute(select(web.registration)).mappings().one()
        assert {name: kept[name] for name in row} == row
        assert connection.execute(select(accounts.account)).all() == []


def test_the_program_knows_the_newest_migration(engine: Engine) -> None:
    migrate(engine)
    with reading(engine) as connection:
        assert (
            ScriptDirectory.from_config(configuration(connection, PKI.steps, PKI.version_table)).get_current_head()
            == PKI.version
        )


def test_a_new_file_is_the_operators_alone(tmp_path: Path) -> None:
    file = tmp_path / "smpki.db"
    migrate(open_engine(f"sqlite:///{file}"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_logging_stays_as_it_was(engine: Engine) -> None:
    logger = logging.getLogger("smpki.test")
    before = logging.root.level, list(logging.root.handlers), logger.disabled
    migrate(engine)
    assert (logging.root.level, list(logging.root.handlers), logger.disabled) == before


def test_several_may_migrate_at_once(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        Path(engine.url.database or "").touch()
    failures: list[Exception] = []

    def run() -> None:
        try:
            migrate(engine)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    check_schema(engine)


@pytest.mark.parametrize("command", [migrate, check_schema])
def test_a_newer_database_is_refused(engine: Engine, command: object) -> None:
    migrate(engine)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError) as refusal:
        command(engine)  # type: ignore[operator]
    assert refusal.value.code == "store.version"
    assert "newer program" in refusal.value.hint


@pytest.mark.parametrize("version", ["0000", None])
def test_an_older_database_is_refused_until_it_is_migrated(engine: Engine, version: str | None) -> None:
    migrate(engine)
    with writing(engine) as connection:
        if version:
            connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        else:
            connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(StoreError) as refusal:
        check_schema(engine)
    assert refusal.value.code == "store.version"
    assert "up to date" in refusal.value.hint
