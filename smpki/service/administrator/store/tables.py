"""The administrator's tables, for the statements that work on them."""

from sqlalchemy import (
    Boolean,
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

gateway = Table(
    "gateway",
    metadata,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("sender", String, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("digest", String, nullable=False, unique=True),
    Column("wake_up", String),
    Column("adopted_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime),
    Column("status", Text),
    CheckConstraint("state IN ('active', 'suspended', 'handed-over')", name="ck_gateway_state"),
)

triple = Table(
    "triple",
    metadata,
    Column("number", RowNumber, primary_key=True),
    Column("gateway", String, ForeignKey("gateway.id"), nullable=False),
    Column("standing", String, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("not_after", UtcTime, nullable=False),
    Column("added_at", UtcTime, nullable=False),
    CheckConstraint("standing IN ('current', 'next', 'former')", name="ck_triple_standing"),
    Index("ix_triple_gateway", "gateway"),
    # one current triple and one next one at most
    Index("uq_triple_standing", "gateway", "standing", unique=True, sqlite_where=text("standing <> 'former'")),
)

certificate = Table(
    "certificate",
    metadata,
    Column("triple", RowNumber, ForeignKey("triple.number"), primary_key=True),
    Column("purpose", String, primary_key=True),
    Column("der", LargeBinary, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("key_id", String, nullable=False),
    CheckConstraint("purpose IN ('tls', 'sig', 'enc')", name="ck_certificate_purpose"),
    Index("ix_certificate_fingerprint", "fingerprint"),
    Index("ix_certificate_key_id", "key_id"),
)

package = Table(
    "package",
    metadata,
    Column("digest", String, primary_key=True),
    Column("gateway", String, ForeignKey("gateway.id"), nullable=False),
    Column("authorised", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("number", RowNumber, primary_key=True),
    Column("gateway", String, ForeignKey("gateway.id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("step", String, nullable=False),
    Column("data", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("deadline", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("error", Text),
    Column("result", Text),
    Column("finished_at", UtcTime),
    CheckConstraint("state IN ('open', 'done', 'failed')", name="ck_job_state"),
    Index("ix_job_gateway", "gateway"),
    Index("ix_job_open", "number", sqlite_where=text("state = 'open'")),
)

participant = Table(
    "participant",
    metadata,
    Column("gateway", String, ForeignKey("gateway.id"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("profile", Text, nullable=False),
    Column("certificates", String, nullable=False),
    Column("stopped", Boolean, nullable=False),
    Index("ix_participant_certificates", "certificates"),
)

notification = Table(
    "notification",
    metadata,
    Column("row", RowNumber, primary_key=True),
    Column("gateway", String, ForeignKey("gateway.id"), nullable=False),
    Column("number", RowNumber, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("event", String, nullable=False),
    Column("level", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    # a gateway that lost its memory counts anew, but at another time
    UniqueConstraint("gateway", "number", "at", name="uq_notification"),
)

event = Table(
    "event",
    metadata,
    Column("number", RowNumber, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("gateway", String),
    Column("event", String, nullable=False),
    Column("level", String, nullable=False),
    Column("text", Text, nullable=False),
    Index("ix_event_gateway", "gateway"),
)
