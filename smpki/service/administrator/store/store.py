"""The way to the administrator's database: durable transactions over all that the administrator remembers."""

from pathlib import Path

from sqlalchemy import Connection

from smpki.db.engine import Schema
from smpki.db.room_store import RoomStore
from smpki.service.administrator.store.gateways import Gateways
from smpki.service.administrator.store.jobs import Jobs
from smpki.service.administrator.store.journal import Journal
from smpki.service.administrator.store.packages import Packages
from smpki.service.administrator.store.participants import Participants

SCHEMA = Schema(
    version="0002",
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
        self.participants = Participants(connection)


class AdministratorStore(RoomStore[Transaction]):
    """An administrator's database. Processes may share it, too."""

    schema = SCHEMA
    transaction = Transaction
