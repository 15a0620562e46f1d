"""Words of operators for acts that take several: the database decides whose is the last."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from smpki.ca.store.audit import AuditChain
from smpki.ca.store.records import AuditEntry
from smpki.errors import ServiceError
from smpki.service.accounts.actor import Actor
from smpki.service.accounts.store.tables import account
from smpki.service.desk.store.tables import decision

_D = decision.c
_NEEDED = 2
HOLDS = timedelta(days=7)
"""How long an operator's word holds."""


class Decisions:
    """Acts that take two operators (Vier-Augen-Prinzip)."""

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def agree(self, act: str, subject: str, actor: Actor) -> bool:
        """An operator agrees to an act.

        :param subject: what it is about, in full: who says another thing does not agree
        :return: whether it may be done now; to one of all who agree this is said
        :raises ServiceError: ``service.desk.second_operator``: it takes another operator
        """
        with self._chain.transaction(self._engine) as transaction:
            done = agree(transaction.connection, act, subject, actor, self._chain.now())
            transaction.append([agreed(act, subject, actor, done=done)])
        return done


def agree(connection: Connection, act: str, subject: str, actor: Actor, now: datetime) -> bool:
    """As :meth:`Decisions.agree`, inside a transaction of the audit chain, which lets one writer at a time through.

    The word of who was blocked since does not count.
    """
    this = (_D.act == act, _D.subject == subject, _D.settled_at.is_(None))
    connection.execute(delete(decision).where(*this, _D.at < now - HOLDS))
    if connection.execute(select(_D.id).where(*this, _D.account == actor.account)).first() is not None:
        message = "you agreed to it already: it takes a second operator"
        hint = f"another operator has to do the same within {HOLDS.days} days"
        raise ServiceError("service.desk.second_operator", message, where=subject, hint=hint)
    connection.execute(insert(decision).values(act=act, subject=subject, account=actor.account, at=now))
    counted = select(func.count()).select_from(decision).join(account, _D.account == account.c.id)
    if connection.execute(counted.where(*this, ~account.c.blocked)).scalar_one() < _NEEDED:
        return False
    connection.execute(update(decision).where(*this).values(settled_at=now))
    return True


def agreed(act: str, subject: str, actor: Actor, *, done: bool) -> AuditEntry:
    """The audit's entry for an operator's word."""
    detail = {"by": actor.who, "act": act, "complete": done}
    return AuditEntry(action="operator-agrees", outcome="done", subject=subject, detail=detail)
