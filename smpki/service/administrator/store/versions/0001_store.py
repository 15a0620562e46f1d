"""Tables of an administrator: gateways with their certificates, jobs, notifications, events."""

import sqlalchemy as sa
from alembic import op

from smpki.db.types import RowNumber, UtcTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "gateway",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("sender", sa.String, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.String, nullable=False, unique=True),
        sa.Column("wake_up", sa.String),
        sa.Column("adopted_at", UtcTime, nullable=False),
        sa.Column("seen_at", UtcTime),
        sa.Column("status", sa.Text),
        sa.CheckConstraint("state IN ('active', 'suspended', 'handed-over')", name="ck_gateway_state"),
    )
    op.create_table(
        "triple",
        sa.Column("number", RowNumber, primary_key=True),
        sa.Column("gateway", sa.String, sa.ForeignKey("gateway.id"), nullable=False),
        sa.Column("standing", sa.String, nullable=False),
        sa.Column("chain", sa.LargeBinary, nullable=False),
        sa.Column("not_after", UtcTime, nullable=False),
        sa.Column("added_at", UtcTime, nullable=False),
        sa.CheckConstraint("standing IN ('current', 'next', 'former')", name="ck_triple_standing"),
    )
    op.create_index("ix_triple_gateway", "triple", ["gateway"])
    op.create_index(
        "uq_triple_standing",
        "triple",
        ["gateway", "standing"],
        unique=True,
        sqlite_where=sa.text("standing <> 'former'"),
    )
    op.create_table(
        "certificate",
        sa.Column("triple", RowNumber, sa.ForeignKey("triple.number"), primary_key=True),
        sa.Column("purpose", sa.String, primary_key=True),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("key_id", sa.String, nullable=False),
        sa.CheckConstraint("purpose IN ('tls', 'sig', 'enc')", name="ck_certificate_purpose"),
    )
    op.create_index("ix_certificate_fingerprint", "certificate", ["fingerprint"])
    op.create_index("ix_certificate_key_id", "certificate", ["key_id"])
    op.create_table(
        "package",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("gateway", sa.String, sa.ForeignKey("gateway.id"), nullable=False),
        sa.Column("authorised", sa.LargeBinary, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
    )
    op.create_table(
        "job",
        sa.Column("number", RowNumber, primary_key=True),
        sa.Column("gateway", sa.String, sa.ForeignKey("gateway.id"), nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("step", sa.String, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("deadline", UtcTime, nullable=False),
        sa.Column("due_at", UtcTime, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("finished_at", UtcTime),
        sa.CheckConstraint("state IN ('open', 'done', 'failed')", name="ck_job_state"),
    )
    op.create_index("ix_job_gateway", "job", ["gateway"])
    op.create_index("ix_job_open", "job", ["number"], sqlite_where=sa.text("state = 'open'"))
    op.create_table(
        "notification",
        sa.Column("row", RowNumber, primary_key=True),
        sa.Column("gateway", sa.String, sa.ForeignKey("gateway.id"), nullable=False),
        sa.Column("number", RowNumber, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("level", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.UniqueConstraint("gateway", "number", "at", name="uq_notification"),
    )
    op.create_table(
        "event",
        sa.Column("number", RowNumber, primary_key=True),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("gateway", sa.String),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("level", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("ix_event_gateway", "event", ["gateway"])
