"""How far deliveries have come among the readings, and the messages they became, in tables of their own."""

import json
from base64 import b64decode

import sqlalchemy as sa
from alembic import op

from smpki.db.types import RowNumber

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables, take the messages along, and see to it that no number is given to a second reading."""
    op.create_table(
        "reached",
        sa.Column("participant", sa.String, primary_key=True),
        sa.Column("selection", sa.String, primary_key=True),
        sa.Column("reading", RowNumber, nullable=False),
    )
    op.create_table(
        "sealed",
        sa.Column("delivery", RowNumber, sa.ForeignKey("delivery.number"), primary_key=True),
        sa.Column("circumstances", sa.String, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
    )
    connection = op.get_bind()
    kept = connection.exec_driver_sql(
        "SELECT delivery.number, state.value FROM state JOIN delivery ON state.name = 'sealed/' || delivery.id"
    )
    for number, value in kept.all():
        message = json.loads(value)
        values = (number, message["circumstances"], b64decode(message["message"]))
        connection.exec_driver_sql("INSERT INTO sealed VALUES (?, ?, ?)", values)
    connection.exec_driver_sql("DELETE FROM state WHERE name LIKE 'sealed/%'")
    # SQLite gives the last row's number anew once that is deleted; "reached" would pass over the reading that gets it
    op.execute(
        "CREATE TRIGGER reading_last BEFORE DELETE ON reading WHEN OLD.number = (SELECT max(number) FROM reading) "
        "BEGIN SELECT RAISE(ABORT, 'the last reading stays'); END"
    )
