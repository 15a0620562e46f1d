"""The desk's tables, which are in the PKI's database."""

from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, Index, LargeBinary, Table, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from smpki.db.types import HexText, RowNumber, UtcTime

_IS_OPEN = text("settled_at IS NULL")


class ApplicationRow(SQLModel, table=True):
    """Somebody wants to be a participant; ``claim`` is the digest of what the applicant was told."""

    __tablename__ = "application"
    __table_args__ = (
        CheckConstraint("state IN ('applied', 'approved', 'refused')", name="ck_application_state"),
        Index("ix_application_state", "state", "id"),
        Index("ix_application_subject", "subject_key", "id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    state: str
    organisation: str
    role: str
    subject_key: str
    common_name: str
    partner_id: str | None
    contact: str
    callback_url: str | None
    claim: str = Field(unique=True, sa_type=HexText)
    applied_at: datetime = Field(sa_type=UtcTime)
    decided_at: datetime | None = Field(default=None, sa_type=UtcTime)
    remark: str


class DecisionRow(SQLModel, table=True):
    """An operator's word for an act that takes several; settled with the last one's."""

    __tablename__ = "operator_decision"
    __table_args__ = (
        Index(
            "uq_operator_decision",
            "act",
            "subject",
            "account",
            unique=True,
            sqlite_where=_IS_OPEN,
            postgresql_where=_IS_OPEN,
        ),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    act: str
    subject: str
    account: int = Field(sa_type=RowNumber, foreign_key="account.id")
    at: datetime = Field(sa_type=UtcTime)
    settled_at: datetime | None = Field(default=None, sa_type=UtcTime)


class SubmissionRow(SQLModel, table=True):
    """A request package that a participant handed in."""

    __tablename__ = "submission"
    __table_args__ = (
        CheckConstraint("state IN ('held', 'issued', 'refused')", name="ck_submission_state"),
        UniqueConstraint("subject_key", "digest", name="uq_submission"),
        Index("ix_submission_subject", "subject_key", "id"),
        Index("ix_submission_subject_state", "subject_key", "state", "id"),
        Index("ix_submission_state", "state", "id"),
        Index("ix_submission_digest", "digest"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    subject_key: str
    common_name: str
    digest: str = Field(sa_type=HexText)
    kind: str
    certificate_type: str
    holder: str
    authority: str
    package: bytes = Field(sa_type=LargeBinary)
    state: str
    remark: str = Field(sa_type=Text)
    received_at: datetime = Field(sa_type=UtcTime)
    decided_at: datetime | None = Field(default=None, sa_type=UtcTime)


class IdempotencyRow(SQLModel, table=True):
    """What was answered to a request that named a key; ``status`` is null while it is worked on."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("ix_idempotency_expires", "expires_at"),)

    who: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    expires_at: datetime = Field(sa_type=UtcTime)
    status: int | None
    media_type: str | None
    location: str | None
    body: bytes | None = Field(default=None, sa_type=LargeBinary)


_tables = SQLModel.metadata.tables
application: Final[Table] = _tables["application"]
decision: Final[Table] = _tables["operator_decision"]
submission: Final[Table] = _tables["submission"]
idempotency: Final[Table] = _tables["idempotency"]
