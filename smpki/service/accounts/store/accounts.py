"""Accounts, and how often somebody tried to log in in vain."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, RowMapping, insert, select, update

from smpki.ca.store.audit import AuditChain
from smpki.ca.store.records import AuditEntry
from smpki.db.engine import reading, writing
from smpki.errors import ServiceError, StoreError
from smpki.service.accounts.actor import Actor, Role
from smpki.service.accounts.store.tables import account, session, token

_A = account.c


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """An account to be made.

    :param name: for logging in, unique
    :param subject_key: the participant it acts for; ``None`` for operators and auditors
    :param common_name: that participant's CN
    """

    name: str
    role: Role
    subject_key: str | None = None
    common_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(NewAccount):
    """An account.

    :param password_hash: ``None``: nobody has set a password
    :param failures: wrong passwords since the last right one
    :param locked_until: before that no password is looked at
    """

    id: int
    created_at: datetime
    password_hash: str | None = None
    failures: int = 0
    locked_until: datetime | None = None
    blocked: bool = False

    @property
    def actor(self) -> Actor:
        """Who acts when this account acts."""
        return Actor(self.id, self.name, self.role, self.subject_key, self.common_name)


COLUMNS = [_A[name] for name in Account.__dataclass_fields__]


class AccountStore:
    """The accounts.

    :param engine: a database whose schema was checked
    :param chain: the audit chain in the same database
    """

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def add(self, one: NewAccount) -> Account:
        """Make an account.

        :raises ServiceError: ``service.account.name.taken``
        """
        try:
            with self._chain.transaction(self._engine) as transaction:
                number = add_account(transaction.connection, one, self._chain.now())
                transaction.append([made(number, one.role)])
        except StoreError as error:
            if error.code != "store.conflict":
                raise
            message, hint = "there is an account of this name", "choose another name"
            raise ServiceError("service.account.name.taken", message, where="name", hint=hint) from None
        return self.get(number)

    def get(self, number: int) -> Account:
        """An account by its number.

        :raises ServiceError: ``service.account.unknown``
        """
        found = self._first(_A.id == number)
        if found is None:
            raise _unknown(str(number))
        return found

    def named(self, name: str) -> Account:
        """An account by its name.

        :raises ServiceError: ``service.account.unknown``
        """
        found = self.find(name)
        if found is None:
            raise _unknown(name)
        return found

    def find(self, name: str) -> Account | None:
        """An account by its name; ``None`` without one, and for what no database takes."""
        return self._first(_A.name == name) if name.isprintable() else None

    def page(self, *, after: int = 0, limit: int = 100) -> Sequence[Account]:
        """Accounts in the order in which they were made."""
        query = select(*COLUMNS).where(_A.id > after).order_by(_A.id).limit(limit)
        with reading(self._engine) as connection:
            return [account_of(row) for row in connection.execute(query).mappings()]

    def set_password(self, number: int, password_hash: str) -> None:
        """Change the password; who is logged in elsewhere is logged out."""
        values = {"password_hash": password_hash, "failures": 0, "locked_until": None}
        with self._chain.transaction(self._engine) as transaction:
            transaction.connection.execute(update(account).where(_A.id == number).values(values))
            end_sessions(transaction.connection, number)
            transaction.append([_entry("account-password", number)])

    def block(self, number: int, blocked: bool) -> None:
        """Block an account, or admit it again; blocking ends its sessions and tokens for good."""
        with self._chain.transaction(self._engine) as transaction:
            connection, now = transaction.connection, self._chain.now()
            connection.execute(update(account).where(_A.id == number).values(blocked=blocked))
            if blocked:
                end_sessions(connection, number)
                running = token.c.account == number, token.c.ended_at.is_(None)
                connection.execute(update(token).where(*running).values(ended_at=now))
            transaction.append([_entry("account-block" if blocked else "account-admit", number)])

    def failed(self, number: int, lock_until: Mapping[int, datetime]) -> None:
        """Count a wrong password.

        :param lock_until: after so many in a row, nothing is looked at before then; the highest number that was
            reached counts
        """
        with writing(self._engine) as connection:
            connection.execute(update(account).where(_A.id == number).values(failures=_A.failures + 1))
            failures = connection.execute(select(_A.failures).where(_A.id == number)).scalar_one()
            if until := longest_reached(failures, lock_until):
                connection.execute(update(account).where(_A.id == number).values(locked_until=until))

    def succeeded(self, number: int) -> None:
        """Forget wrong passwords, and note that somebody logged in."""
        with self._chain.transaction(self._engine) as transaction:
            forget = update(account).where(_A.id == number).values(failures=0, locked_until=None)
            transaction.connection.execute(forget)
            transaction.append([_entry("account-log-in", number)])

    def _first(self, condition: object) -> Account | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(*COLUMNS).where(condition)).mappings().first()  # type: ignore[arg-type]
        return account_of(row) if row else None


def longest_reached(failures: int, lock_until: Mapping[int, datetime]) -> datetime | None:
    """How long so many wrong passwords make one wait; see :meth:`AccountStore.failed`."""
    return max((until for least, until in lock_until.items() if failures >= least), default=None)


def add_account(connection: Connection, one: NewAccount, now: datetime) -> int:
    """Make an account inside a transaction; its number.

    :raises sqlalchemy.exc.IntegrityError: the name is taken
    """
    values = asdict(one) | {"failures": 0, "blocked": False, "created_at": now}
    key = connection.execute(insert(account).values(values)).inserted_primary_key
    return int(key[0]) if key else 0


def made(number: int, role: Role) -> AuditEntry:
    """The audit's entry for a new account."""
    return AuditEntry(action="account-new", outcome="done", subject=f"account {number}", detail={"role": role.value})


def end_sessions(connection: Connection, number: int) -> None:
    """Log an account out everywhere."""
    connection.execute(session.delete().where(session.c.account == number))


def account_of(row: RowMapping) -> Account:
    """A row as a value."""
    values = {name: row[name] for name in Account.__dataclass_fields__}
    return Account(**{**values, "role": Role(values["role"])})


def _entry(action: str, number: int) -> AuditEntry:
    return AuditEntry(action=action, outcome="done", subject=f"account {number}")


def _unknown(name: str) -> ServiceError:
    message, hint = "there is no such account", "see smpki account list"
    return ServiceError("service.account.unknown", message, where=name, hint=hint)
