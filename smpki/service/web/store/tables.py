"""The web service's tables, which are in the PKI's database."""

from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, Index, LargeBinary, Table, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from smpki.db.types import HexText, RowNumber, UtcTime

_IS_WORK = text("state IN ('waiting', 'answered')")
_IS_OPEN = text("state <> 'delivered'")


class RegistrationRow(SQLModel, table=True):
    """Whom the operator registered, in one role."""

    __tablename__ = "registration"
    __table_args__ = (UniqueConstraint("subject_key", "role", name="uq_registration"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    subject_key: str
    role: str
    subject_cn: str
    organisation: str
    partner_id: str | None
    contact: str
    callback_url: str | None
    blocked: bool
    registered_at: datetime = Field(sa_type=UtcTime)


class QueuedRequestRow(SQLModel, table=True):
    """A request whose result is sent later; the row is the queue's."""

    __tablename__ = "queued_request"
    __table_args__ = (
        CheckConstraint(
            "state IN ('held', 'waiting', 'answered', 'delivered', 'given_up')", name="ck_queued_request_state"
        ),
        UniqueConstraint("authority", "subject_key", "role", "message_id", name="uq_queued_request"),
        Index("ix_queued_request_due", "authority", "due_at", sqlite_where=_IS_WORK, postgresql_where=_IS_WORK),
        Index("ix_queued_request_open", "authority", "state", sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    authority: str
    subject_key: str
    role: str
    subject_cn: str
    message_id: str
    digest: str = Field(sa_type=HexText)
    request: bytes = Field(sa_type=LargeBinary)
    received_at: datetime = Field(sa_type=UtcTime)
    state: str
    due_at: datetime = Field(sa_type=UtcTime)
    attempts: int
    taken_by: str | None
    taken_until: datetime | None = Field(default=None, sa_type=UtcTime)
    result: bytes | None = Field(default=None, sa_type=LargeBinary)
    remark: str


class ReceivedMessageRow(SQLModel, table=True):
    """A message for people, or certificates from the root; as it came, once."""

    __tablename__ = "received_message"
    __table_args__ = (UniqueConstraint("authority", "subject_key", "digest", name="uq_received_message"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    authority: str
    subject_key: str
    subject_cn: str
    operation: str
    digest: str = Field(sa_type=HexText)
    message: bytes = Field(sa_type=LargeBinary)
    received_at: datetime = Field(sa_type=UtcTime)


class SentRequestRow(SQLModel, table=True):
    """A request that we sent to our root, whose result may come later."""

    __tablename__ = "sent_request"

    authority: str = Field(primary_key=True)
    message_id: str = Field(primary_key=True)
    sent_at: datetime = Field(sa_type=UtcTime)


_tables = SQLModel.metadata.tables
registration: Final[Table] = _tables["registration"]
queued_request: Final[Table] = _tables["queued_request"]
received_message: Final[Table] = _tables["received_message"]
sent_request: Final[Table] = _tables["sent_request"]
