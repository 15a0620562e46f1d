"""A database that one room has to itself: an SQLite file, opened or made, with durable transactions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

from sqlalchemy import URL, Connection, Engine

from smpki.db.engine import Schema, check_schema, migrate, open_engine, reading, writing
from smpki.errors import StoreError

T = TypeVar("T")


class RoomStore(Generic[T]):
    """A room's database; a room makes it its own by a subclass. Threads may share it.

    :cvar schema: its tables
    :param engine: as :meth:`open` and :meth:`create` make it
    """

    schema: ClassVar[Schema]
    transaction: Callable[[Connection], T]
    """What can be seen and done inside one transaction; a class, set as an attribute of the subclass."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def create(cls, file: Path) -> Self:
        """Make the database, or take one up that is there already; then open it.

        :raises StoreError: ``store.*``
        """
        engine = _engine(file)
        migrate(engine, cls.schema)
        return cls(engine)

    @classmethod
    def open(cls, file: Path) -> Self:
        """Open a database that there is. One that is missing is an error: what it held would be forgotten.

        :raises StoreError: ``store.missing``, ``store.version``, ``store.corrupt`` ...
        """
        engine = _engine(file)
        try:
            check_schema(engine, cls.schema)
        except StoreError as error:
            hint = cls.schema.hint if error.code in ("store.missing", "store.version") else error.hint
            raise StoreError(error.code, error.message, where=error.where, hint=hint) from None
        return cls(engine)

    @contextmanager
    def work(self) -> Iterator[T]:
        """One transaction: durable when the block ends, and not there at all when an exception leaves it.

        :raises StoreError: the database failed; nothing of the block is stored
        """
        with writing(self._engine) as connection:
            yield self.transaction(connection)

    @contextmanager
    def view(self) -> Iterator[T]:
        """Look, all of it at the same moment, without keeping writers out.

        :raises StoreError: the database failed; ``store.readonly``: the block tried to change something
        """
        with reading(self._engine) as connection:
            connection.exec_driver_sql("PRAGMA query_only = 1")
            try:
                yield self.transaction(connection)
            finally:
                connection.exec_driver_sql("PRAGMA query_only = 0")

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _engine(file: Path) -> Engine:
    return open_engine(URL.create("sqlite", database=str(file)))
