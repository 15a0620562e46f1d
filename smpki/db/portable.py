"""The rows of a database as lines of text that any database can take: one JSON array a row.

Which tables and columns there are is read from the steps that make them, so that a copy of an older version is
understood, too. Times are written in UTC (ISO 8601), octets in base64.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    create_engine,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.types import BLOB, DATETIME, TypeEngine

from smpki.db.engine import PKI, Schema
from smpki.db.migrations import upgrade
from smpki.db.types import UtcTime
from smpki.errors import StoreError

_AT_ONCE = 1000

Encode = Callable[[Any], object]
_AS_IT_IS: Final[Encode] = lambda value: value  # noqa: E731


@cache
def tables_of(version: str, schema: Schema = PKI) -> tuple[Table, ...]:
    """The tables of a version; those that others refer to come first.

    :raises StoreError: ``backup.version``: this program does not know it
    """
    if version not in _versions(schema):
        message = f"the copy has tables of version {version}, this program knows {schema.version} at most"
        raise StoreError("backup.version", message, hint="use the program that made it, or a newer one")
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            upgrade(connection, schema.steps, schema.version_table, version)
            inspector = inspect(connection)
            names = [name for name, _ in inspector.get_sorted_table_and_fkc_names() if name]
            metadata = MetaData()
            return tuple(
                Table(name, metadata, *_columns(inspector, name)) for name in names if name != schema.version_table
            )
    finally:
        engine.dispose()


def _versions(schema: Schema) -> frozenset[str]:
    return frozenset(file.name.partition("_")[0] for file in schema.steps.glob("*.py"))


def _columns(inspector: Any, name: str) -> Iterator[Column[Any]]:
    keys = inspector.get_pk_constraint(name)["constrained_columns"]
    for found in inspector.get_columns(name):
        yield Column(found["name"], _type(found["type"]), primary_key=found["name"] in keys, autoincrement=False)


def _type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    if isinstance(kind, DATETIME):
        return UtcTime()
    return LargeBinary() if isinstance(kind, BLOB) else kind


def lines_of(connection: Connection, table: Table) -> Iterator[bytes]:
    """A table as lines: the names of its columns, then its rows in the order of their keys."""
    encoders = [_encoder(column.type) for column in table.columns]
    yield _line([column.name for column in table.columns])
    query = select(table).order_by(*table.primary_key).execution_options(yield_per=_AT_ONCE)
    for row in connection.execute(query):
        yield _line([encode(value) for encode, value in zip(encoders, row, strict=True)])


def make_empty(connection: Connection, version: str, schema: Schema = PKI) -> None:
    """Make the tables of a version in an empty database, inside the caller's transaction; without a single row.

    :raises StoreError: ``backup.not_empty``, ``backup.version``
    """
    if inspect(connection).get_table_names():
        hint = "name an empty database, or move the old one away; nothing is overwritten"
        raise StoreError("backup.not_empty", "the database has tables already", hint=hint)
    tables = tables_of(version, schema)
    upgrade(connection, schema.steps, schema.version_table, version)
    for table in reversed(tables):
        connection.execute(delete(table))


def bring_up_to_date(connection: Connection, schema: Schema = PKI) -> None:
    """Take the steps from an older version to the newest, inside the caller's transaction."""
    upgrade(connection, schema.steps, schema.version_table)


def take_lines(connection: Connection, table: Table, lines: Iterable[bytes]) -> int:
    """Add the rows of :func:`lines_of` to a table.

    :return: how many there were
    :raises ValueError: these are other columns
    """
    source = iter(lines)
    names = json.loads(next(source, b"[]"))
    if names != [column.name for column in table.columns]:
        raise ValueError(f"other columns of {table.name}")
    decoders = [_decoder(column.type) for column in table.columns]
    number = 0
    while some := list(islice(source, _AT_ONCE)):
        rows = [
            {name: decode(value) for name, decode, value in zip(names, decoders, json.loads(line), strict=True)}
            for line in some
        ]
        connection.execute(insert(table), rows)
        number += len(rows)
    return number


def count_on(connection: Connection, tables: Iterable[Table]) -> None:
    """Let a database that numbers rows by itself go on behind those that were added."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        if "id" in table.columns:
            place: Mapping[str, object] = {"table": table.name, "column": "id"}
            name = connection.execute(text("SELECT pg_get_serial_sequence(:table, :column)"), place).scalar()
            highest = connection.execute(select(func.max(table.c.id))).scalar()
            if name and highest:
                connection.execute(text("SELECT setval(:name, :highest)"), {"name": name, "highest": highest})


def _encoder(kind: TypeEngine[Any]) -> Encode:
    if isinstance(kind, UtcTime):
        return lambda value: value and value.isoformat()
    if isinstance(kind, LargeBinary):
        return lambda value: None if value is None else base64.b64encode(value).decode()
    return _AS_IT_IS


def _decoder(kind: TypeEngine[Any]) -> Encode:
    if isinstance(kind, UtcTime):
        return lambda value: value and datetime.fromisoformat(value)
    if isinstance(kind, LargeBinary):
        return lambda value: None if value is None else base64.b64decode(value, validate=True)
    return _AS_IT_IS


def _line(values: list[object]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"
