"""Market participants that gateways deliver to."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "participant",
        sa.Column("gateway", sa.String, sa.ForeignKey("gateway.id"), primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("certificates", sa.String, nullable=False),
        sa.Column("stopped", sa.Boolean, nullable=False),
    )
    op.create_index("ix_participant_certificates", "participant", ["certificates"])
