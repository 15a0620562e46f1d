"""The gateway's tables, for the statements that work on them.

Values of readings are decimal text, since SQLite's integers end where Unsigned64 goes on; status words are 16
hexadecimal digits. ``delivered`` says which reading went, or is going, to which participant: once; ``reached`` spares
looking at what was delivered long ago. ``sealed`` has the messages that open deliveries became.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from smpki.db.types import RowNumber, UtcTime

metadata = MetaData()

reading = Table(
    "reading",
    metadata,
    Column("number", RowNumber, primary_key=True),
    Column("meter", String, nullable=False),
    Column("obis", String, nullable=False),
    Column("captured_at", UtcTime, nullable=False),
    Column("value", String, nullable=False),
    Column("scaler", Integer, nullable=False),
    Column("unit", Integer, nullable=False),
    Column("status", String, nullable=False),
    UniqueConstraint("meter", "obis", "captured_at", name="uq_reading"),
)

conflict = Table(
    "conflict",
    metadata,
    Column("number", RowNumber, primary_key=True),
    Column("reading", RowNumber, ForeignKey("reading.number"), nullable=False),
    Column("value", String, nullable=False),
    Column("scaler", Integer, nullable=False),
    Column("unit", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("noticed_at", UtcTime, nullable=False),
    UniqueConstraint("reading", "value", "scaler", "unit", "status", name="uq_conflict"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("number", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("participant", String, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("attempted_at", UtcTime, nullable=False),
    Column("next_attempt_at", UtcTime, nullable=False),
    Column("answered_at", UtcTime),
    Column("answered_status", Integer),
    CheckConstraint("state IN ('open', 'acknowledged', 'refused')", name="ck_delivery_state"),
    Index("ix_delivery_open", "participant", "number", sqlite_where=text("state = 'open'")),
)

delivered = Table(
    "delivered",
    metadata,
    Column("participant", String, primary_key=True),
    Column("reading", RowNumber, ForeignKey("reading.number"), primary_key=True),
    Column("delivery", RowNumber, ForeignKey("delivery.number"), nullable=False),
    Index("ix_delivered_delivery", "delivery"),
    Index("ix_delivered_reading", "reading"),
)

reached = Table(
    "reached",
    metadata,
    Column("participant", String, primary_key=True),
    Column("selection", String, primary_key=True),
    Column("reading", RowNumber, nullable=False),
)

sealed = Table(
    "sealed",
    metadata,
    Column("delivery", RowNumber, ForeignKey("delivery.number"), primary_key=True),
    Column("circumstances", String, nullable=False),
    Column("message", LargeBinary, nullable=False),
)

log_entry = Table(
    "log_entry",
    metadata,
    Column("log", String, primary_key=True),
    Column("consumer", String, primary_key=True),
    Column("record_number", RowNumber, primary_key=True),
    Column("timestamp", UtcTime, nullable=False),
    Column("level", String, nullable=False),
    Column("event", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("text", Text, nullable=False),
    CheckConstraint("log IN ('system', 'calibration', 'consumer')", name="ck_log_entry_log"),
    CheckConstraint("(log = 'consumer') = (consumer <> '')", name="ck_log_entry_consumer"),
    CheckConstraint("level IN ('I', 'W', 'E', 'F')", name="ck_log_entry_level"),
    CheckConstraint("outcome IN ('success', 'failure')", name="ck_log_entry_outcome"),
)

document = Table(
    "document",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
)

state = Table(
    "state",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)
