"""The way to the database: one engine per process, short transactions, errors that explain themselves."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Dialect,
    column,
    create_engine,
    event,
    exc,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy import Engine as Engine  # for who only hands it on
from sqlalchemy.pool import ConnectionPoolEntry

from smpki.db.failures import store_error
from smpki.errors import StoreError


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one kind of database, and the steps that make them.

    :param version: of the newest step; known here so that a command need not load Alembic only to compare
    :param steps: folder of the steps
    :param version_table: where the database notes its version; it differs for each kind, so none is taken for another
    :param hint: how an operator makes the tables or brings them up to date
    """

    version: str
    steps: Path
    version_table: str
    hint: str


PKI = Schema(
    version="0005",
    steps=Path(__file__).parent / "migrations" / "versions",
    version_table="alembic_version",
    hint="bring it up to date with `smpki init`",
)

_WAIT_SECONDS = 30
_POSTGRESQL: dict[str, str | int] = {
    "options": f"-c synchronous_commit=on -c lock_timeout={_WAIT_SECONDS}s",
    # a machine that is gone without a word would be waited for as long as TCP likes, which is many minutes
    "connect_timeout": _WAIT_SECONDS,
    "tcp_user_timeout": _WAIT_SECONDS * 1000,
    "keepalives_idle": _WAIT_SECONDS,
}
_READ = "smpki_read"


def open_engine(url: str | URL) -> Engine:
    """Prepare the way to a database; the first transaction connects.

    SQLite runs in WAL mode with ``synchronous=FULL``, so that a commit is durable when it returns, and with foreign
    keys on. PostgreSQL is told the same (``synchronous_commit=on``). Both wait at most 30 s for another writer;
    ``?timeout=SECONDS`` in an SQLite URL changes that. Connections of before an outage, or to a file that was replaced,
    are thrown away when they would be used.

    :param url: an SQLAlchemy URL such as ``sqlite:////var/lib/smpki/smpki.db`` or
        ``postgresql+psycopg://user:password@host/database``
    :raises StoreError: ``store.url`` or ``store.driver``; no message repeats the URL, which may hold a password
    """
    try:
        parsed = make_url(url)
        options: dict[str, Any] = {}
        backend = parsed.get_backend_name()
        if backend == "sqlite":
            if "timeout" not in parsed.query:
                options["timeout"] = _WAIT_SECONDS
        elif backend == "postgresql":
            options = {name: value for name, value in _POSTGRESQL.items() if name not in parsed.query}
        engine = create_engine(parsed, connect_args=options, hide_parameters=True, pool_pre_ping=backend != "sqlite")
    except exc.NoSuchModuleError:
        raise StoreError("store.driver", "no such kind of database is known", hint="use sqlite or postgresql") from None
    except ImportError as missing:
        hint = "install the driver; for PostgreSQL: pip install 'smpki[postgresql]'"
        raise StoreError("store.driver", f"the database driver {missing.name} is not installed", hint=hint) from None
    except (exc.ArgumentError, ValueError, TypeError):
        hint = "write it like sqlite:////folder/smpki.db or postgresql+psycopg://user@host/database"
        raise StoreError("store.url", "the address of the database cannot be read", hint=hint) from None
    if backend == "sqlite":
        event.listen(engine, "do_connect", _sqlite_connect)
        event.listen(engine, "connect", _sqlite_connected)
        event.listen(engine, "checkout", _sqlite_checked_out)
        event.listen(engine, "begin", _sqlite_begin)
    return engine


def address(engine: Engine) -> str:
    """The database's address for messages: neither password nor options."""
    return engine.url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes: commits at the end of the block, rolls back on any exception.

    On SQLite it holds the write lock from the start (``BEGIN IMMEDIATE``), so what it reads stays true until it
    commits.

    :raises StoreError: the database failed; then nothing of the block is stored
    """
    with _explaining(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads, all of it from the same moment, and never waits for a writer.

    :raises StoreError: the database failed
    """
    options: dict[str, Any] = {_READ: True}
    if engine.dialect.name != "sqlite":  # a deferred transaction of SQLite reads from one moment anyway
        options["isolation_level"] = "REPEATABLE READ"
    with _explaining(engine), engine.connect().execution_options(**options) as connection:
        yield connection


def migrate(engine: Engine, schema: Schema = PKI) -> None:
    """Create the tables or bring them up to date, in one transaction. Only this makes an SQLite file (mode 0600).

    :raises StoreError: the database failed, or is newer than this program (``store.version``)
    """
    make_file(engine)
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":  # two that create the same tables would trip over each other
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('smpki.migrate'))"))
        version = version_of(connection, schema)
        _refuse_newer(engine, version, schema)
        if version != schema.version:
            from smpki.db.migrations import upgrade  # Alembic takes its time to load

            upgrade(connection, schema.steps, schema.version_table)


def make_file(engine: Engine) -> None:
    """Make the file of an SQLite database where there is none (mode 0600); an empty file is an empty database.

    :raises StoreError: ``store.unreachable``
    """
    file = _sqlite_file(engine.url)
    if file is not None:
        try:
            file.touch(mode=0o600)
        except OSError:
            hint = "create its folder, check the right to write there"
            raise StoreError(
                "store.unreachable", "the database cannot be created", where=str(file), hint=hint
            ) from None


def check_schema(engine: Engine, schema: Schema = PKI) -> None:
    """Refuse a database that this program cannot work with.

    :raises StoreError: ``store.version`` (tables missing, older or newer), or the database failed
    """
    with reading(engine) as connection:
        version = version_of(connection, schema)
    _refuse_newer(engine, version, schema)
    if version != schema.version:
        state = f"has version {version}" if version else "has no tables of smpki"
        message = f"the database {state}, this program needs {schema.version}"
        raise StoreError("store.version", message, where=address(engine), hint=schema.hint)


def _refuse_newer(engine: Engine, version: str | None, schema: Schema) -> None:
    if version is not None and version > schema.version:
        message = f"the database has version {version}, this program knows {schema.version} at most"
        raise StoreError("store.version", message, where=address(engine), hint="use the newer program")


def version_of(connection: Connection, schema: Schema = PKI) -> str | None:
    """The database's version, or None for one without our tables."""
    if not connection.dialect.has_table(connection, schema.version_table):
        return None
    return connection.execute(select(column("version_num")).select_from(table(schema.version_table))).scalar()


@contextmanager
def _explaining(engine: Engine) -> Iterator[None]:
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise store_error(error, address(engine)) from None


def _sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite database; None for a server, a database in memory or a ``file:`` name."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:") or "uri" in url.query:
        return None
    return Path(url.database or "")


def _sqlite_connect(dialect: Dialect, record: ConnectionPoolEntry, arguments: list[str], options: object) -> None:
    file = arguments[0]
    if file != ":memory:" and not file.startswith("file:") and not Path(file).exists():
        hint = "run `smpki init` first, or restore the file"  # the driver would make an empty one
        raise StoreError("store.missing", "there is no database", where=file, hint=hint)


def _sqlite_connected(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver would begin transactions of its own, too late for us
    connection.execute("PRAGMA journal_mode = WAL").close()
    connection.execute("PRAGMA synchronous = FULL").close()
    connection.execute("PRAGMA foreign_keys = ON").close()
    connection.execute("PRAGMA cache_size = -32768").close()  # KiB; a million certificates have wide indices
    file = connection.execute("PRAGMA database_list").fetchone()[2]
    record.info["smpki_file"] = (file, _identity(file))


def _sqlite_checked_out(connection: sqlite3.Connection, record: ConnectionPoolEntry, proxy: object) -> None:
    file, identity = record.info["smpki_file"]
    if _identity(file) != identity:  # SQLite would go on writing into a file that nobody will ever find again
        raise exc.InvalidatePoolError


def _sqlite_begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READ, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _identity(file: str) -> tuple[int, int] | None:
    """Device and inode of a file; None where there is none, as for a database in memory."""
    try:
        status = os.stat(file)  # noqa: PTH116 - on the hot path
    except OSError:
        return None
    return status.st_dev, status.st_ino
