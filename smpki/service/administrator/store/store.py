"""The way to the administrator's database: durable transactions over all that the administrator remembers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine

from smpki.db.engine import Schema, check_schema, migrate, open_engine, reading, writing
from smpki.errors import StoreError
from smpki.service.administrator.store.gateways import Gateways
from smpki.service.administrator.store.jobs import Jobs
from smpki.service.administrator.store.journal import Journal
from smpki.service.administrator.store.packages import Packages

SCHEMA = Schema(
    version="0001",
    steps=Path(__file__).parent / "versions",
    version_table="administrator_version",
    hint="`smpki gwa adopt` and `smpki gwa serve` make it; what was there before has to be restored",
)


class Transaction:
    """What can be seen and done inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self.gateways = Gateways(connection)
        self.jobs = Jobs(connection)
        self.journal = Journal(connection)
        self.packages = Packages(connection)


class AdministratorStore:
    """An administrator's database, an SQLite file. Threads and processes may share it.

    :param engine: as :meth:`open` and :meth:`create` make it
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def create(cls, file: Path) -> "AdministratorStore":
        """Make the database, or take one up that is there already; then open it.

        :raises StoreError: ``store.*``
        """
        engine = _engine(file)
        migrate(engine, SCHEMA)
        return cls(engine)

    @classmethod
    def open(cls, file: Path) -> "AdministratorStore":
        """Open the database.

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
    def work(self) -> Iterator[Transaction]:
        """One transaction: durable when the block ends, and not there at all when an exception leaves it.

        :raises StoreError: the database failed; nothing of the block is stored
        """
        with writing(self._engine) as connection:
            yield Transaction(connection)

    @contextmanager
    def view(self) -> Iterator[Transaction]:
        """Look, all of it at the same moment, without keeping writers out.

        :raises StoreError: the database failed
        """
        with reading(self._engine) as connection:
            yield Transaction(connection)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _engine(file: Path) -> Engine:
    return open_engine(URL.create("sqlite", database=str(file)))
