"""An index of the queue's requests that are not delivered, which operators and metrics ask for."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the index."""
    where = sa.text("state <> 'delivered'")
    columns = ["authority", "state"]
    op.create_index("ix_queued_request_open", "queued_request", columns, sqlite_where=where, postgresql_where=where)
