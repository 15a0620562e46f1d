"""What proves an account and is told once: invitations, sessions, tokens. Digests only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, insert, select, update

from smpki.ca.store.audit import AuditChain
from smpki.ca.store.records import AuditEntry
from smpki.db.engine import reading, writing
from smpki.service.accounts.store.accounts import COLUMNS, Account, account_of
from smpki.service.accounts.store.tables import account, invitation, session, token

_A, _I, _S, _T = account.c, invitation.c, session.c, token.c


@dataclass(frozen=True, slots=True)
class Token:
    """A token for scripts, without what it is."""

    id: int
    label: str
    created_at: datetime
    expires_at: datetime


_TOKEN = [_T[name] for name in Token.__dataclass_fields__]


class Invitations:
    """Invitations: whoever has one may become the account, once."""

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def put(self, digest: str, number: int, expires_at: datetime, by: str) -> None:
        """Keep an invitation; those before it hold no longer.

        :param by: who invites, as the audit calls it
        """
        entry = AuditEntry(action="account-invite", outcome="done", subject=f"account {number}", detail={"by": by})
        with self._chain.transaction(self._engine) as transaction:
            add_invitation(transaction.connection, digest, number, expires_at)
            transaction.append([entry])

    def use(self, digest: str) -> Account | None:
        """Use an invitation up.

        :return: whom it was for; ``None``: it never was, was used, has expired, or the account is blocked
        """
        now = self._chain.now()
        mine = (_I.digest == digest, _I.used_at.is_(None), _I.expires_at > now)
        query = select(*COLUMNS).join(invitation, _I.account == _A.id).where(*mine, ~_A.blocked)
        with reading(self._engine) as connection:  # most wrong ones end here, and lock nothing
            if connection.execute(query).first() is None:
                return None
        with self._chain.transaction(self._engine) as transaction:
            row = transaction.connection.execute(query).mappings().first()
            used = transaction.connection.execute(update(invitation).where(*mine).values(used_at=now)).rowcount
            if row is None or not used:
                return None
            found = account_of(row)
            transaction.append([AuditEntry(action="account-join", outcome="done", subject=f"account {found.id}")])
        return found


class SessionStore:
    """Who is logged in."""

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def put(self, digest: str, number: int) -> None:
        """Keep a session."""
        now = self._chain.now()
        row = {"digest": digest, "account": number, "created_at": now, "seen_at": now}
        with writing(self._engine) as connection:
            connection.execute(insert(session).values(row))

    def find(self, digest: str, idle: timedelta, longest: timedelta) -> Account | None:
        """Whose session it is; seen now, so it goes on.

        :param idle: it ends when nobody was seen for so long
        :param longest: and so long after it began in any case
        """
        now = self._chain.now()
        query = (
            select(*COLUMNS, _S.seen_at.label("seen"))
            .join(session, _S.account == _A.id)
            .where(_S.digest == digest, _S.seen_at > now - idle, _S.created_at > now - longest, ~_A.blocked)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        if now - row["seen"] > idle / 20:  # not for each page: a look at a page should not write
            with writing(self._engine) as connection:
                connection.execute(update(session).where(_S.digest == digest).values(seen_at=now))
        return account_of(row)

    def end(self, digest: str) -> None:
        """End a session."""
        with writing(self._engine) as connection:
            connection.execute(delete(session).where(_S.digest == digest))

    def clean(self, idle: timedelta) -> None:
        """Forget sessions that are over."""
        with writing(self._engine) as connection:
            connection.execute(delete(session).where(_S.seen_at < self._chain.now() - idle))


class TokenStore:
    """Tokens for scripts."""

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def put(self, digest: str, number: int, label: str, expires_at: datetime) -> Token:
        """Keep a token."""
        now = self._chain.now()
        row = {"digest": digest, "account": number, "label": label, "created_at": now, "expires_at": expires_at}
        entry = AuditEntry(action="account-token", outcome="done", subject=f"account {number}")
        with self._chain.transaction(self._engine) as transaction:
            key = transaction.connection.execute(insert(token).values(row)).inserted_primary_key
            transaction.append([entry])
        return Token(int(key[0]) if key else 0, label, now, expires_at)

    def find(self, digest: str) -> Account | None:
        """Whose token it is; ``None``: it never was, has expired or ended, or the account is blocked."""
        holds = (_T.digest == digest, _T.ended_at.is_(None), _T.expires_at > self._chain.now(), ~_A.blocked)
        query = select(*COLUMNS).join(token, _T.account == _A.id).where(*holds)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        return account_of(row) if row else None

    def of(self, number: int, *, after: int = 0, limit: int = 100) -> Sequence[Token]:
        """An account's tokens that hold, oldest first."""
        holds = (_T.account == number, _T.ended_at.is_(None), _T.expires_at > self._chain.now(), _T.id > after)
        query = select(*_TOKEN).where(*holds).order_by(_T.id).limit(limit)
        with reading(self._engine) as connection:
            return [Token(*row) for row in connection.execute(query)]

    def end(self, number: int, of: int) -> bool:
        """End one of an account's tokens.

        :param of: the account
        :return: whether there was one
        """
        mine = (_T.id == number, _T.account == of, _T.ended_at.is_(None))
        entry = AuditEntry(action="account-token-end", outcome="done", subject=f"account {of}")
        with reading(self._engine) as connection:
            if connection.execute(select(_T.id).where(*mine)).first() is None:
                return False
        with self._chain.transaction(self._engine) as transaction:
            transaction.connection.execute(update(token).where(*mine).values(ended_at=self._chain.now()))
            transaction.append([entry])
        return True


def add_invitation(connection: Connection, digest: str, number: int, expires_at: datetime) -> None:
    """Keep an invitation, inside a transaction; those before it hold no longer."""
    connection.execute(delete(invitation).where(_I.account == number, _I.used_at.is_(None)))
    connection.execute(insert(invitation).values(digest=digest, account=number, expires_at=expires_at))
