"""Tables of the service for people and scripts: accounts, and what they ask for and decide."""

import sqlalchemy as sa
from alembic import op

from smpki.db.types import HexText, RowNumber, UtcTime

revision = "0004"
down_revision = "0003"

_ACCOUNT = "account.id"


def upgrade() -> None:
    """Make the tables."""
    _accounts()
    _desk()


def _accounts() -> None:
    op.create_table(
        "account",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("subject_key", sa.String),
        sa.Column("common_name", sa.String),
        sa.Column("password_hash", sa.String),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("locked_until", UtcTime),
        sa.Column("blocked", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.CheckConstraint("role IN ('participant', 'operator', 'auditor')", name="ck_account_role"),
    )
    op.create_table(
        "account_invitation",
        sa.Column("digest", HexText, primary_key=True),
        sa.Column("account", RowNumber, sa.ForeignKey(_ACCOUNT), nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        sa.Column("used_at", UtcTime),
    )
    op.create_table(
        "account_session",
        sa.Column("digest", HexText, primary_key=True),
        sa.Column("account", RowNumber, sa.ForeignKey(_ACCOUNT), nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("seen_at", UtcTime, nullable=False),
    )
    op.create_index("ix_account_session_account", "account_session", ["account"])
    op.create_table(
        "account_token",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("digest", HexText, nullable=False, unique=True),
        sa.Column("account", RowNumber, sa.ForeignKey(_ACCOUNT), nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        sa.Column("ended_at", UtcTime),
    )
    op.create_index("ix_account_token_account", "account_token", ["account", "id"])
    op.create_table(
        "account_passkey",
        sa.Column("credential", HexText, primary_key=True),
        sa.Column("account", RowNumber, sa.ForeignKey(_ACCOUNT), nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("sign_count", RowNumber, nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
    )
    op.create_index("ix_account_passkey_account", "account_passkey", ["account"])
    op.create_table(
        "account_challenge",
        sa.Column("digest", HexText, primary_key=True),
        sa.Column("account", RowNumber, sa.ForeignKey(_ACCOUNT)),
        sa.Column("challenge", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
    )
    op.create_index("ix_account_challenge_expires", "account_challenge", ["expires_at"])


def _desk() -> None:
    op.create_table(
        "application",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("subject_key", sa.String, nullable=False),
        sa.Column("common_name", sa.String, nullable=False),
        sa.Column("partner_id", sa.String),
        sa.Column("contact", sa.String, nullable=False),
        sa.Column("callback_url", sa.String),
        sa.Column("claim", HexText, nullable=False, unique=True),
        sa.Column("applied_at", UtcTime, nullable=False),
        sa.Column("decided_at", UtcTime),
        sa.Column("remark", sa.String, nullable=False),
        sa.CheckConstraint("state IN ('applied', 'approved', 'refused')", name="ck_application_state"),
    )
    op.create_index("ix_application_state", "application", ["state", "id"])
    op.create_index("ix_application_subject", "application", ["subject_key", "id"])
    op.create_table(
        "operator_decision",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("act", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("account", RowNumber, sa.ForeignKey(_ACCOUNT), nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("settled_at", UtcTime),
    )
    where = sa.text("settled_at IS NULL")
    columns = ["act", "subject", "account"]
    op.create_index(
        "uq_operator_decision", "operator_decision", columns, unique=True, sqlite_where=where, postgresql_where=where
    )
    op.create_table(
        "submission",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("subject_key", sa.String, nullable=False),
        sa.Column("common_name", sa.String, nullable=False),
        sa.Column("digest", HexText, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("certificate_type", sa.String, nullable=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("authority", sa.String, nullable=False),
        sa.Column("package", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("remark", sa.Text, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("decided_at", UtcTime),
        sa.CheckConstraint("state IN ('held', 'issued', 'refused')", name="ck_submission_state"),
        sa.UniqueConstraint("subject_key", "digest", name="uq_submission"),
    )
    op.create_index("ix_submission_subject", "submission", ["subject_key", "id"])
    op.create_index("ix_submission_subject_state", "submission", ["subject_key", "state", "id"])
    op.create_index("ix_submission_state", "submission", ["state", "id"])
    op.create_index("ix_submission_digest", "submission", ["digest"])
    op.create_table(
        "idempotency",
        sa.Column("who", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("media_type", sa.String),
        sa.Column("location", sa.String),
        sa.Column("body", sa.LargeBinary),
    )
    op.create_index("ix_idempotency_expires", "idempotency", ["expires_at"])
