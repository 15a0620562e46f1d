"""The way to the gateway's database: durable transactions over all that the gateway remembers."""

from pathlib import Path

from sqlalchemy import Connection

from smpki.db.engine import Schema, address, reading
from smpki.db.room_store import RoomStore
from smpki.errors import StoreError
from smpki.gateway.store.documents import Documents, State
from smpki.gateway.store.logs import Logs
from smpki.gateway.store.outbox import Outbox
from smpki.gateway.store.readings import Readings
from smpki.gateway.store.retention import Retention

SCHEMA = Schema(
    version="0003",
    steps=Path(__file__).parent / "versions",
    version_table="gateway_version",
    hint="restore the gateway's database, or start the gateway, which brings it up to date",
)


class Transaction:
    """What can be seen and done inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self.readings = Readings(connection)
        self.outbox = Outbox(connection)
        self.retention = Retention(connection)
        self.logs = Logs(connection)
        self.documents = Documents(connection)
        self.state = State(connection)


class GatewayStore(RoomStore[Transaction]):
    """A gateway's database, of one gateway: what it holds is not delivered yet."""

    schema = SCHEMA
    transaction = Transaction

    def check(self) -> None:
        """Read the whole database and look for damage.

        :raises StoreError: ``store.corrupt``
        """
        with reading(self._engine) as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if found != "ok":
            where = address(self._engine)
            raise StoreError("store.corrupt", "the database is damaged", where=where, hint="restore the last good copy")
