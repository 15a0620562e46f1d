"""The market participant's tables, for the statements that work on them."""

from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint

from smpki.db.types import RowNumber, UtcTime

metadata = MetaData()

delivery = Table(
    "delivery",
    metadata,
    Column("number", RowNumber, primary_key=True),
    Column("gateway", String, nullable=False),
    Column("id", String, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("readings", Integer, nullable=False),
    Column("taken_at", UtcTime, nullable=False),
    Column("file", Integer, nullable=False),
    Column("from_octet", RowNumber, nullable=False),
    Column("to_octet", RowNumber, nullable=False),
    UniqueConstraint("id", "gateway", name="uq_delivery"),
)
