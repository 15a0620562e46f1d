"""The CA's tables.

Serial numbers, hashes and key ids are lower-case hex text, times are UTC. The statements that work on these tables use
SQLAlchemy Core: an issuing batch writes a few hundred rows, and building an object for each would double the cost.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, Index, LargeBinary, Table, Text, TextClause, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from smpki.db.types import HexText, RowNumber, UtcTime


def _index_where(name: str, *columns: str | TextClause, where: str, unique: bool = False) -> Index:
    """An index over those rows only that fulfil a condition."""
    sqlite_where = text("holds = 1" if where == "holds" else where)  # SQLite has no booleans, only 0 and 1
    return Index(name, *columns, unique=unique, sqlite_where=sqlite_where, postgresql_where=text(where))


class RequestRow(SQLModel, table=True):
    """A request that was granted or acted upon, by what identifies it: the same one is granted once."""

    __tablename__ = "request"

    digest: str = Field(primary_key=True, sa_type=HexText)
    received_at: datetime = Field(sa_type=UtcTime)
    kind: str
    subject_cn: str
    role: str
    sub_ca: str
    dn_serial: int | None
    der: bytes = Field(sa_type=LargeBinary)


class CertificateRow(SQLModel, table=True):
    """An issued certificate.

    Rows are found by serial number, listed in the order of ``id``, and by subject or package through their intents:
    an index with random values costs more than the row itself.
    """

    __tablename__ = "certificate"
    __table_args__ = (
        Index("ix_certificate_kind", "kind", "id"),
        Index("ix_certificate_issuer", "issuer_serial", "id"),
        Index("ix_certificate_subject_cn", "subject_cn", "id"),
        Index("ix_certificate_not_after", "not_after"),
        _index_where("ix_certificate_authority", "subject_cn", where="token_key_id IS NOT NULL"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    serial: str = Field(unique=True, sa_type=HexText)
    issuer_serial: str | None = Field(default=None, sa_type=HexText, foreign_key="certificate.serial")
    kind: str
    purpose: str
    subject_cn: str
    subject_key: str
    dn_serial: int | None
    not_before: datetime = Field(sa_type=UtcTime)
    not_after: datetime = Field(sa_type=UtcTime)
    key_hash: str
    key_use_end: datetime | None = Field(default=None, sa_type=UtcTime)
    token_key_id: str | None
    generation: str | None
    request_digest: str | None = Field(default=None, sa_type=HexText, foreign_key="request.digest")
    der: bytes = Field(sa_type=LargeBinary)


class IntentRow(SQLModel, table=True):
    """A signature that the CA is about to make, or has made.

    The unique indices are what keeps two workers from granting the same thing: the row stands before the token is
    asked. A row ``holds`` its subject, key and package until it is abandoned. (The indices name this column and not
    ``state``, which changes with every certificate and would have them rewritten.) Subjects without a number, and the
    Guetesiegel's 0, count as null, so they may repeat. ``key_scope`` is empty for a key that must never have been
    certified; where one key has two certificates by design, the second names its kind there.
    """

    __tablename__ = "intent"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'issued', 'abandoned')", name="ck_intent_state"),
        _index_where(
            "uq_intent_subject",
            *("subject_key", "kind", "purpose", text("nullif(dn_serial, 0)")),
            where="holds",
            unique=True,
        ),
        _index_where("uq_intent_key", "key_hash", "key_scope", where="holds", unique=True),
        _index_where("uq_intent_package", "request_digest", "purpose", where="holds", unique=True),
        _index_where("ix_intent_open", "owner", where="state = 'open'"),
    )

    serial: str = Field(primary_key=True, sa_type=HexText)
    tbs_hash: str
    issuer_serial: str | None
    kind: str
    purpose: str
    subject_key: str
    dn_serial: int | None
    key_hash: str
    key_scope: str
    request_digest: str | None
    owner: str
    created_at: datetime = Field(sa_type=UtcTime)
    holds: bool
    state: str
    closed_at: datetime | None = Field(default=None, sa_type=UtcTime)


class ParticipantRow(SQLModel, table=True):
    """Somebody who was issued a certificate: a market participant or a gateway, in one role."""

    __tablename__ = "participant"
    __table_args__ = (UniqueConstraint("subject_key", "role", name="uq_participant"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    subject_cn: str
    subject_key: str
    role: str
    organisation: str
    ou: str | None
    country: str | None
    first_seen: datetime = Field(sa_type=UtcTime)


class AuditRow(SQLModel, table=True):
    """One link of the audit chain: what happened, and a MAC over it and over the link before."""

    __tablename__ = "audit"

    seq: int = Field(primary_key=True, sa_type=RowNumber, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=UtcTime)
    action: str
    outcome: str
    subject: str
    detail: str = Field(sa_type=Text)
    test_clock: bool
    previous: str
    mac: str


class AuditHeadRow(SQLModel, table=True):
    """The audit chain's end after one transaction; row 0 is there from the start and is what writers lock."""

    __tablename__ = "audit_head"

    counter: int = Field(primary_key=True, sa_type=RowNumber, sa_column_kwargs={"autoincrement": False})
    seq: int = Field(sa_type=RowNumber)
    mac: str
    at: datetime | None = Field(default=None, sa_type=UtcTime)
    key_id: str | None
    signature: bytes | None = Field(default=None, sa_type=LargeBinary)


class RevocationRow(SQLModel, table=True):
    """A certificate that is revoked, or suspended until a moment; in force again, it has no row.

    What a CRL needs stands in the row: building one reads no other table.
    """

    __tablename__ = "revocation"
    __table_args__ = (
        Index("ix_revocation_issuer", "issuer_serial", "id"),
        _index_where("ix_revocation_suspended", "suspended_until", where="suspended_until IS NOT NULL"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    serial: str = Field(unique=True, sa_type=HexText, foreign_key="certificate.serial")
    issuer_serial: str = Field(sa_type=HexText)
    kind: str
    not_after: datetime = Field(sa_type=UtcTime)
    since: datetime = Field(sa_type=UtcTime)
    reason: str
    suspended_until: datetime | None = Field(default=None, sa_type=UtcTime)


class CrlRow(SQLModel, table=True):
    """A CRL that a key is about to sign, or has signed; ``authority`` is the CA whose certificates it is about."""

    __tablename__ = "crl"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'issued', 'abandoned')", name="ck_crl_state"),
        UniqueConstraint("authority", "kind", "number", name="uq_crl"),
        _index_where("ix_crl_open", "owner", where="state = 'open'"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    authority: str = Field(sa_type=HexText, foreign_key="certificate.serial")
    kind: str
    number: int
    signer: str = Field(sa_type=HexText, foreign_key="certificate.serial")
    this_update: datetime = Field(sa_type=UtcTime)
    next_update: datetime = Field(sa_type=UtcTime)
    scheduled: bool
    entries: int
    tbs_hash: str
    owner: str
    state: str
    der: bytes | None = Field(default=None, sa_type=LargeBinary)


_tables = SQLModel.metadata.tables
request: Final[Table] = _tables["request"]
certificate: Final[Table] = _tables["certificate"]
intent: Final[Table] = _tables["intent"]
participant: Final[Table] = _tables["participant"]
audit: Final[Table] = _tables["audit"]
audit_head: Final[Table] = _tables["audit_head"]
revocation: Final[Table] = _tables["revocation"]
crl: Final[Table] = _tables["crl"]
