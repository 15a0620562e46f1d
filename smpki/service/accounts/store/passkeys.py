"""Passkeys, and the challenges that they sign."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, delete, insert, select, update

from smpki.ca.store.audit import AuditChain
from smpki.ca.store.records import AuditEntry
from smpki.db.engine import reading, writing
from smpki.errors import ServiceError, StoreError
from smpki.service.accounts.store.tables import challenge, passkey

_C, _P = challenge.c, passkey.c


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey.

    :param credential: its id, hexadecimal
    :param account: whose it is
    :param public_key: COSE
    :param sign_count: at its last use; 0 where the authenticator does not count
    """

    credential: str
    account: int
    public_key: bytes
    sign_count: int
    label: str
    created_at: datetime


_COLUMNS = [_P[name] for name in Passkey.__dataclass_fields__]


class PasskeyStore:
    """The passkeys.

    :param engine: a database whose schema was checked
    :param chain: the audit chain in the same database
    """

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def put_challenge(self, digest: str, value: bytes, expires_at: datetime, account: int | None) -> None:
        """Keep a challenge until it is used.

        :param digest: of what names it
        :param account: who is to make a passkey; ``None``: somebody is to log in
        """
        row = {"digest": digest, "account": account, "challenge": value, "expires_at": expires_at}
        with writing(self._engine) as connection:
            connection.execute(delete(challenge).where(_C.expires_at < self._chain.now()))
            connection.execute(insert(challenge).values(row))

    def take_challenge(self, digest: str, account: int | None) -> bytes | None:
        """Use a challenge up; ``None``: it never was, was used, has expired, or is for another account."""
        with writing(self._engine) as connection:
            row = connection.execute(delete(challenge).where(_C.digest == digest).returning(challenge)).first()
        if row is None or row.account != account or row.expires_at < self._chain.now():
            return None
        return bytes(row.challenge)

    def add(self, credential: str, account: int, public_key: bytes, sign_count: int, label: str) -> Passkey:
        """Keep a passkey.

        :raises ServiceError: ``service.account.passkey.known``
        """
        now = self._chain.now()
        found = Passkey(credential, account, public_key, sign_count, label, now)
        row = {name: getattr(found, name) for name in Passkey.__dataclass_fields__}
        entry = AuditEntry(action="account-passkey", outcome="done", subject=f"account {account}")
        try:
            with self._chain.transaction(self._engine) as transaction:
                transaction.connection.execute(insert(passkey).values(row))
                transaction.append([entry])
        except StoreError as error:
            if error.code != "store.conflict":
                raise
            message, hint = "this passkey is known already", "log in with it"
            raise ServiceError("service.account.passkey.known", message, hint=hint) from None
        return found

    def find(self, credential: str) -> Passkey | None:
        """A passkey by its id."""
        with reading(self._engine) as connection:
            row = connection.execute(select(*_COLUMNS).where(_P.credential == credential)).first()
        return Passkey(*row) if row else None

    def of(self, account: int) -> Sequence[Passkey]:
        """An account's passkeys."""
        query = select(*_COLUMNS).where(_P.account == account).order_by(_P.created_at, _P.credential)
        with reading(self._engine) as connection:
            return [Passkey(*row) for row in connection.execute(query)]

    def used(self, one: Passkey, sign_count: int) -> bool:
        """Note a use.

        :return: whether nobody used it in between with the same or a higher count
        """
        mine = (_P.credential == one.credential, _P.sign_count == one.sign_count)
        with writing(self._engine) as connection:
            return bool(connection.execute(update(passkey).where(*mine).values(sign_count=sign_count)).rowcount)

    def remove(self, credential: str, account: int) -> bool:
        """Remove one of an account's passkeys.

        :return: whether there was one
        """
        entry = AuditEntry(action="account-passkey-end", outcome="done", subject=f"account {account}")
        mine = (_P.credential == credential, _P.account == account)
        with reading(self._engine) as connection:
            if connection.execute(select(_P.account).where(*mine)).first() is None:
                return False
        with self._chain.transaction(self._engine) as transaction:
            transaction.connection.execute(delete(passkey).where(*mine))
            transaction.append([entry])
        return True
