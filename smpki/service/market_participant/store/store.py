"""The way to the market participant's database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import URL, Engine

from smpki.db.engine import Schema, check_schema, migrate, open_engine, reading, writing
from smpki.errors import StoreError
from smpki.service.market_participant.store.deliveries import Deliveries

SCHEMA = Schema(
    version="0001",
    steps=Path(__file__).parent / "versions",
    version_table="market_participant_version",
    hint="`smpki emt serve` makes it",
)


class DeliveryStore:
    """A market participant's database, an SQLite file. Threads may share it.

    :param engine: as :meth:`open` and :meth:`create` make it
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def create(cls, file: Path) -> Self:
        """Open the database; where it is missing, make it.

        :raises StoreError: ``store.*``
        """
        engine = _engine(file)
        migrate(engine, SCHEMA)
        return cls(engine)

    @classmethod
    def open(cls, file: Path) -> Self:
        """Open a database that there is.

        :raises StoreError: ``store.missing``, ``store.version``, ``store.corrupt`` ...
        """
        engine = _engine(file)
        try:
            check_schema(engine, SCHEMA)
        except StoreError as error:
            hint = SCHEMA.hint if error.code in ("store.missing", "store.version") else error.hint
            raise StoreError(error.code, error.message, where=error.where, hint=hint) from None
        return cls(engine)

    @contextmanager
    def work(self) -> Iterator[Deliveries]:
        """One transaction: durable when the block ends, and not there at all when an exception leaves it.

        :raises StoreError: the database failed; nothing of the block is stored
        """
        with writing(self._engine) as connection:
            yield Deliveries(connection)

    @contextmanager
    def view(self) -> Iterator[Deliveries]:
        """Look, all of it at the same moment, without keeping the writer out.

        :raises StoreError: the database failed
        """
        with reading(self._engine) as connection:
            yield Deliveries(connection)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _engine(file: Path) -> Engine:
    return open_engine(URL.create("sqlite", database=str(file)))
