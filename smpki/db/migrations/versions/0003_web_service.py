"""Tables of a CA's web service: who is registered, requests that are answered later, what others told us."""

import sqlalchemy as sa
from alembic import op

from smpki.db.types import HexText, RowNumber, UtcTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "registration",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("subject_key", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("subject_cn", sa.String, nullable=False),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("partner_id", sa.String),
        sa.Column("contact", sa.String, nullable=False),
        sa.Column("callback_url", sa.String),
        sa.Column("blocked", sa.Boolean, nullable=False),
        sa.Column("registered_at", UtcTime, nullable=False),
        sa.UniqueConstraint("subject_key", "role", name="uq_registration"),
    )
    op.create_table(
        "queued_request",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("authority", sa.String, nullable=False),
        sa.Column("subject_key", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("subject_cn", sa.String, nullable=False),
        sa.Column("message_id", sa.String, nullable=False),
        sa.Column("digest", HexText, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("due_at", UtcTime, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("taken_by", sa.String),
        sa.Column("taken_until", UtcTime),
        sa.Column("result", sa.LargeBinary),
        sa.Column("remark", sa.String, nullable=False),
        sa.CheckConstraint(
            "state IN ('held', 'waiting', 'answered', 'delivered', 'given_up')", name="ck_queued_request_state"
        ),
        sa.UniqueConstraint("authority", "subject_key", "role", "message_id", name="uq_queued_request"),
    )
    where = sa.text("state IN ('waiting', 'answered')")
    columns = ["authority", "due_at"]
    op.create_index("ix_queued_request_due", "queued_request", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "received_message",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("authority", sa.String, nullable=False),
        sa.Column("subject_key", sa.String, nullable=False),
        sa.Column("subject_cn", sa.String, nullable=False),
        sa.Column("operation", sa.String, nullable=False),
        sa.Column("digest", HexText, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.UniqueConstraint("authority", "subject_key", "digest", name="uq_received_message"),
    )
    op.create_table(
        "sent_request",
        sa.Column("authority", sa.String, primary_key=True),
        sa.Column("message_id", sa.String, primary_key=True),
        sa.Column("sent_at", UtcTime, nullable=False),
    )
