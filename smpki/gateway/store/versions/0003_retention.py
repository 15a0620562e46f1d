"""Readings can be removed once nobody waits for them; which deliveries they were in has to be found for that."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_delivered_reading", "delivered", ["reading"])
