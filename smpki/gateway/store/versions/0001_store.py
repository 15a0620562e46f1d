"""Tables of a gateway: readings, what was delivered to whom, logs, documents, state."""

import sqlalchemy as sa
from alembic import op

from smpki.db.types import RowNumber, UtcTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, and see to it that no reading is overwritten and a log only grows."""
    op.create_table(
        "reading",
        sa.Column("number", RowNumber, primary_key=True),
        sa.Column("meter", sa.String, nullable=False),
        sa.Column("obis", sa.String, nullable=False),
        sa.Column("captured_at", UtcTime, nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("scaler", sa.Integer, nullable=False),
        sa.Column("unit", sa.Integer, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.UniqueConstraint("meter", "obis", "captured_at", name="uq_reading"),
    )
    op.create_table(
        "conflict",
        sa.Column("number", RowNumber, primary_key=True),
        sa.Column("reading", RowNumber, sa.ForeignKey("reading.number"), nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("scaler", sa.Integer, nullable=False),
        sa.Column("unit", sa.Integer, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("noticed_at", UtcTime, nullable=False),
        sa.UniqueConstraint("reading", "value", "scaler", "unit", "status", name="uq_conflict"),
    )
    op.create_table(
        "delivery",
        sa.Column("number", RowNumber, primary_key=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("participant", sa.String, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("attempted_at", UtcTime, nullable=False),
        sa.Column("next_attempt_at", UtcTime, nullable=False),
        sa.Column("answered_at", UtcTime),
        sa.Column("answered_status", sa.Integer),
        sa.CheckConstraint("state IN ('open', 'acknowledged', 'refused')", name="ck_delivery_state"),
    )
    op.create_index("ix_delivery_open", "delivery", ["participant", "number"], sqlite_where=sa.text("state = 'open'"))
    op.create_table(
        "delivered",
        sa.Column("participant", sa.String, primary_key=True),
        sa.Column("reading", RowNumber, sa.ForeignKey("reading.number"), primary_key=True),
        sa.Column("delivery", RowNumber, sa.ForeignKey("delivery.number"), nullable=False),
    )
    op.create_index("ix_delivered_delivery", "delivered", ["delivery"])
    op.create_table(
        "log_entry",
        sa.Column("log", sa.String, primary_key=True),
        sa.Column("consumer", sa.String, primary_key=True),
        sa.Column("record_number", RowNumber, primary_key=True),
        sa.Column("timestamp", UtcTime, nullable=False),
        sa.Column("level", sa.String, nullable=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.CheckConstraint("log IN ('system', 'calibration', 'consumer')", name="ck_log_entry_log"),
        sa.CheckConstraint("(log = 'consumer') = (consumer <> '')", name="ck_log_entry_consumer"),
        sa.CheckConstraint("level IN ('I', 'W', 'E', 'F')", name="ck_log_entry_level"),
        sa.CheckConstraint("outcome IN ('success', 'failure')", name="ck_log_entry_outcome"),
    )
    op.create_table(
        "document",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("changed_at", UtcTime, nullable=False),
    )
    op.create_table(
        "state",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    for table, act in (("reading", "UPDATE"), ("log_entry", "UPDATE"), ("log_entry", "DELETE")):
        op.execute(
            f"CREATE TRIGGER {table}_{act.lower()} BEFORE {act} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'append only'); END"
        )
