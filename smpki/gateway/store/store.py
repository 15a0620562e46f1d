"""The way to the gateway's database: durable transactions over all that the gateway remembers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine

from smpki.db.engine import Schema, address, check_schema, migrate, open_engine, reading, writing
from smpki.errors import StoreError
from smpki.gateway.store.documents import Documents, State
from smpki.gateway.store.logs import Logs
from smpki.gateway.store.outbox import Outbox
from smpki.gateway.store.readings import Readings

SCHEMA = Schema(
    version="0001",
    steps=Path(__file__).parent / "versions",
    version_table="gateway_version",
    hint="restore the gateway's database, or create it anew",
)


class Transaction:
    """What can be seen and done inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self.readings = Readings(connection)
        self.outbox = Outbox(connection)
        self.logs = Logs(connection)
        self.documents = Documents(connection)
        self.state = State(connection)


class GatewayStore:
    """A gateway's database, an SQLite file of one gateway. Threads may share it.

    :param engine: as :meth:`open` and :meth:`create` make it
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def create(cls, file: Path) -> "GatewayStore":
        """Make the database of a new gateway, or take one up that is there already; then open it.

        :raises StoreError: ``store.*``
        """
        engine = _engine(file)
        migrate(engine, SCHEMA)
        return cls(engine)

    @classmethod
    def open(cls, file: Path) -> "GatewayStore":
        """Open the database of a gateway. One that is missing is an error: what it held is not delivered yet.

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

        :raises StoreError: the database failed; ``store.readonly``: the block tried to change something
        """
        with reading(self._engine) as connection:
            connection.exec_driver_sql("PRAGMA query_only = 1")
            try:
                yield Transaction(connection)
            finally:
                connection.exec_driver_sql("PRAGMA query_only = 0")

    def check(self) -> None:
        """Read the whole database and look for damage.

        :raises StoreError: ``store.corrupt``
        """
        with reading(self._engine) as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if found != "ok":
            where = address(self._engine)
            raise StoreError("store.corrupt", "the database is damaged", where=where, hint="restore the last good copy")

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _engine(file: Path) -> Engine:
    return open_engine(URL.create("sqlite", database=str(file)))
