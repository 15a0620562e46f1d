"""Tables of a CA that takes certificates back: what is revoked or suspended, and CRLs."""

import sqlalchemy as sa
from alembic import op

from smpki.db.types import HexText, RowNumber, UtcTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "revocation",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("serial", HexText, sa.ForeignKey("certificate.serial"), nullable=False, unique=True),
        sa.Column("issuer_serial", HexText, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("not_after", UtcTime, nullable=False),
        sa.Column("since", UtcTime, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("suspended_until", UtcTime),
    )
    op.create_index("ix_revocation_issuer", "revocation", ["issuer_serial", "id"])
    _index_where("ix_revocation_suspended", "revocation", "suspended_until", where="suspended_until IS NOT NULL")
    op.create_table(
        "crl",
        sa.Column("id", RowNumber, primary_key=True),
        sa.Column("authority", HexText, sa.ForeignKey("certificate.serial"), nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("signer", HexText, sa.ForeignKey("certificate.serial"), nullable=False),
        sa.Column("this_update", UtcTime, nullable=False),
        sa.Column("next_update", UtcTime, nullable=False),
        sa.Column("scheduled", sa.Boolean, nullable=False),
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("tbs_hash", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("der", sa.LargeBinary),
        sa.CheckConstraint("state IN ('open', 'issued', 'abandoned')", name="ck_crl_state"),
        sa.UniqueConstraint("authority", "kind", "number", name="uq_crl"),
    )
    _index_where("ix_crl_open", "crl", "owner", where="state = 'open'")


def _index_where(name: str, table: str, column: str, *, where: str) -> None:
    op.create_index(name, table, [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where))
