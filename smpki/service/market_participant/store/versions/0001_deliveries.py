"""The table of a market participant: deliveries that were taken."""

import sqlalchemy as sa
from alembic import op

from smpki.db.types import RowNumber, UtcTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "delivery",
        sa.Column("number", RowNumber, primary_key=True),
        sa.Column("gateway", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("readings", sa.Integer, nullable=False),
        sa.Column("taken_at", UtcTime, nullable=False),
        sa.Column("file", sa.Integer, nullable=False),
        sa.Column("from_octet", RowNumber, nullable=False),
        sa.Column("to_octet", RowNumber, nullable=False),
        sa.UniqueConstraint("id", "gateway", name="uq_delivery"),
    )
