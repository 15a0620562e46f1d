"""Tables of accounts and of what proves them. Of secrets there are digests only."""

from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, Index, LargeBinary, Table
from sqlmodel import Field, SQLModel

from smpki.db.types import HexText, RowNumber, UtcTime


class AccountRow(SQLModel, table=True):
    """Somebody who may log in, or a machine with tokens; ``subject_key`` is the participant that it acts for."""

    __tablename__ = "account"
    __table_args__ = (CheckConstraint("role IN ('participant', 'operator', 'auditor')", name="ck_account_role"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    name: str = Field(unique=True)
    role: str
    subject_key: str | None
    common_name: str | None
    password_hash: str | None
    failures: int
    locked_until: datetime | None = Field(default=None, sa_type=UtcTime)
    blocked: bool
    created_at: datetime = Field(sa_type=UtcTime)


class InvitationRow(SQLModel, table=True):
    """Whoever has the secret may become the account, once."""

    __tablename__ = "account_invitation"

    digest: str = Field(primary_key=True, sa_type=HexText)
    account: int = Field(sa_type=RowNumber, foreign_key="account.id")
    expires_at: datetime = Field(sa_type=UtcTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcTime)


class SessionRow(SQLModel, table=True):
    """Somebody is logged in."""

    __tablename__ = "account_session"
    __table_args__ = (Index("ix_account_session_account", "account"),)

    digest: str = Field(primary_key=True, sa_type=HexText)
    account: int = Field(sa_type=RowNumber, foreign_key="account.id")
    created_at: datetime = Field(sa_type=UtcTime)
    seen_at: datetime = Field(sa_type=UtcTime)


class TokenRow(SQLModel, table=True):
    """A token for scripts."""

    __tablename__ = "account_token"
    __table_args__ = (Index("ix_account_token_account", "account", "id"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=RowNumber)
    digest: str = Field(unique=True, sa_type=HexText)
    account: int = Field(sa_type=RowNumber, foreign_key="account.id")
    label: str
    created_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime = Field(sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)


class PasskeyRow(SQLModel, table=True):
    """A passkey (WebAuthn credential)."""

    __tablename__ = "account_passkey"
    __table_args__ = (Index("ix_account_passkey_account", "account"),)

    credential: str = Field(primary_key=True, sa_type=HexText)
    account: int = Field(sa_type=RowNumber, foreign_key="account.id")
    public_key: bytes = Field(sa_type=LargeBinary)
    sign_count: int = Field(sa_type=RowNumber)
    label: str
    created_at: datetime = Field(sa_type=UtcTime)


class ChallengeRow(SQLModel, table=True):
    """A challenge that a passkey has to sign; gone once it was used."""

    __tablename__ = "account_challenge"
    __table_args__ = (Index("ix_account_challenge_expires", "expires_at"),)

    digest: str = Field(primary_key=True, sa_type=HexText)
    account: int | None = Field(default=None, sa_type=RowNumber, foreign_key="account.id")
    challenge: bytes = Field(sa_type=LargeBinary)
    expires_at: datetime = Field(sa_type=UtcTime)


_tables = SQLModel.metadata.tables
account: Final[Table] = _tables["account"]
invitation: Final[Table] = _tables["account_invitation"]
session: Final[Table] = _tables["account_session"]
token: Final[Table] = _tables["account_token"]
passkey: Final[Table] = _tables["account_passkey"]
challenge: Final[Table] = _tables["account_challenge"]
