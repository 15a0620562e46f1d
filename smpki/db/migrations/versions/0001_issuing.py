"""Tables of an issuing CA: certificates, requests, intents, participants, the audit chain."""

import sqlalchemy as sa
from alembic import op

from smpki.db.types import HexText, RowNumber, UtcTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, and row 0 of the audit heads."""
    op.create_table(
        "request",
        sa.Column("digest", HexText, primary_key=True),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("subject_cn", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("sub_ca", sa.String, nullable=False),
        sa.Column("dn_serial", sa.Integer),
        sa.Column("der", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "certificate",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("serial", HexText, nullable=False, unique=True),
        sa.Column("issuer_serial", HexText, sa.ForeignKey("certificate.serial")),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("subject_cn", sa.String, nullable=False),
        sa.Column("subject_key", sa.String, nullable=False),
        sa.Column("dn_serial", sa.Integer),
        sa.Column("not_before", UtcTime, nullable=False),
        sa.Column("not_after", UtcTime, nullable=False),
        sa.Column("key_hash", sa.String, nullable=False),
        sa.Column("key_use_end", UtcTime),
        sa.Column("token_key_id", sa.String),
        sa.Column("generation", sa.String),
        sa.Column("request_digest", HexText, sa.ForeignKey("request.digest")),
        sa.Column("der", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_certificate_kind", "certificate", ["kind", "id"])
    op.create_index("ix_certificate_issuer", "certificate", ["issuer_serial", "id"])
    op.create_index("ix_certificate_subject_cn", "certificate", ["subject_cn", "id"])
    op.create_index("ix_certificate_not_after", "certificate", ["not_after"])
    _index_where("ix_certificate_authority", "certificate", "subject_cn", where="token_key_id IS NOT NULL")
    op.create_table(
        "intent",
        sa.Column("serial", HexText, primary_key=True),
        sa.Column("tbs_hash", sa.String, nullable=False),
        sa.Column("issuer_serial", sa.String),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("subject_key", sa.String, nullable=False),
        sa.Column("dn_serial", sa.Integer),
        sa.Column("key_hash", sa.String, nullable=False),
        sa.Column("key_scope", sa.String, nullable=False),
        sa.Column("request_digest", sa.String),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("holds", sa.Boolean, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("closed_at", UtcTime),
        sa.CheckConstraint("state IN ('open', 'issued', 'abandoned')", name="ck_intent_state"),
    )
    subject = ("subject_key", "kind", "purpose", sa.text("nullif(dn_serial, 0)"))
    _index_where("uq_intent_subject", "intent", *subject, where="holds", unique=True)
    _index_where("uq_intent_key", "intent", "key_hash", "key_scope", where="holds", unique=True)
    _index_where("uq_intent_package", "intent", "request_digest", "purpose", where="holds", unique=True)
    _index_where("ix_intent_open", "intent", "owner", where="state = 'open'")
    op.create_table(
        "participant",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("subject_cn", sa.String, nullable=False),
        sa.Column("subject_key", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("organisation", sa.String, nullable=False),
        sa.Column("ou", sa.String),
        sa.Column("country", sa.String),
        sa.Column("first_seen", UtcTime, nullable=False),
        sa.UniqueConstraint("subject_key", "role", name="uq_participant"),
    )
    op.create_table(
        "audit",
        sa.Column("seq", RowNumber, primary_key=True, autoincrement=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("test_clock", sa.Boolean, nullable=False),
        sa.Column("previous", sa.String, nullable=False),
        sa.Column("mac", sa.String, nullable=False),
    )
    head = op.create_table(
        "audit_head",
        sa.Column("counter", RowNumber, primary_key=True, autoincrement=False),
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("mac", sa.String, nullable=False),
        sa.Column("at", UtcTime),
        sa.Column("key_id", sa.String),
        sa.Column("signature", sa.LargeBinary),
    )
    op.bulk_insert(head, [{"counter": 0, "seq": 0, "mac": "0" * 64}])


def _index_where(name: str, table: str, *columns: str | sa.TextClause, where: str, unique: bool = False) -> None:
    sqlite_where = sa.text("holds = 1" if where == "holds" else where)  # SQLite has no booleans, only 0 and 1
    op.create_index(
        name, table, list(columns), unique=unique, sqlite_where=sqlite_where, postgresql_where=sa.text(where)
    )
