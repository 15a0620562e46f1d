"""Requests that are answered later. The table is the queue: processes and machines share the work of one database.

Who takes a row holds it for a while only. When a worker is killed the row is free again after that, and another one
does the same once more: to issue for the same package again gives the same certificates.
"""

import enum
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, RowMapping, func, insert, literal_column, select, update

from smpki.ca.store.audit import AuditChain
from smpki.ca.store.records import AuditEntry
from smpki.db.engine import reading, writing
from smpki.errors import ServiceError, StoreError
from smpki.service.web.store.tables import queued_request

_Q = queued_request.c

# Written out, not bound: SQLite uses a partial index only where it finds the condition in the statement.
_IS_OPEN = _Q.state != literal_column("'delivered'")


class State(enum.StrEnum):
    """How far a request has come."""

    HELD = "held"
    """An operator has to approve of it."""
    WAITING = "waiting"
    """Its result is to be found."""
    ANSWERED = "answered"
    """Its result is to be sent."""
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    """The result could not be sent."""


_WORK = (State.WAITING, State.ANSWERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """A request to be put into the queue.

    :param authority: CN of the CA that was asked
    :param subject_key: who asked
    :param role: in which role
    :param message_id: what its result is to name
    :param digest: of what is asked, hexadecimal
    :param request: the SOAP message
    """

    authority: str
    subject_key: str
    role: str
    subject_cn: str
    message_id: str
    digest: str
    request: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRequest(NewRequest):
    """A request in the queue.

    :param attempts: how often its result was sent in vain
    :param taken_by: names the taking that this value is from
    :param result: the SOAP message with its result
    :param remark: what went wrong last
    """

    id: int
    received_at: datetime
    state: State
    due_at: datetime
    attempts: int
    taken_by: str | None = None
    result: bytes | None = None
    remark: str = ""


_COLUMNS = [_Q[name] for name in QueuedRequest.__dataclass_fields__]


class RequestQueue:
    """The queue.

    :param engine: a database whose schema was checked
    :param chain: the audit chain in the same database
    """

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def put(self, one: NewRequest, *, held: bool) -> None:
        """Keep a request; the same one again is kept once.

        :param held: an operator has to approve of it
        :raises ServiceError: ``service.message_id.used``: the sender asked for something else by this messageID
        :raises StoreError: the database failed; then it is not kept
        """
        now = self._chain.now()
        more = {"received_at": now, "due_at": now, "state": State.HELD if held else State.WAITING}
        try:
            with writing(self._engine) as connection:
                row = {**asdict(one), **more, "attempts": 0, "remark": ""}
                connection.execute(insert(queued_request).values(row))
        except StoreError as error:
            if error.code != "store.conflict":
                raise
        else:
            return
        if self.find(one) is None:
            raise ServiceError(
                "service.message_id.used",
                "another request with this messageID came before",
                where="messageID",
                hint="give each message an id of its own (TR-03129-4 section 2.2.1)",
            )

    def find(self, one: NewRequest) -> "QueuedRequest | None":
        """The same request as it was put here before; ``None``: it was not."""
        same = (_Q[name] == getattr(one, name) for name in ("authority", "subject_key", "role", "message_id", "digest"))
        with reading(self._engine) as connection:
            row = connection.execute(select(*_COLUMNS).where(*same)).mappings().first()
        return None if row is None else _queued(row)

    def take(self, authority: str, lease: timedelta) -> QueuedRequest | None:
        """Take the next request that is due, as nobody else will before the lease is over.

        :return: ``None``: nothing is due
        """
        now, name = self._chain.now(), secrets.token_hex(8)
        is_free = _Q.taken_until.is_(None) | (_Q.taken_until < now)
        due = (_Q.authority == authority, _Q.state.in_(_WORK), _Q.due_at <= now, is_free)
        query = select(_Q.id).where(*due).order_by(_Q.due_at, _Q.id).limit(1).with_for_update(skip_locked=True)
        with reading(self._engine) as connection:  # most looks find nothing, and need not lock
            if connection.execute(select(_Q.id).where(*due).limit(1)).first() is None:
                return None
        with writing(self._engine) as connection:
            number = connection.execute(query).scalar()
            if number is None:
                return None
            taking = update(queued_request).where(_Q.id == number)
            connection.execute(taking.values(taken_by=name, taken_until=now + lease))
            row = connection.execute(select(*_COLUMNS).where(_Q.id == number)).mappings().one()
        return _queued(row)

    def answer(self, one: QueuedRequest, result: bytes) -> None:
        """Keep the result of a request that was taken; it is due to be sent now.

        Who was too slow, so that another took it, changes nothing.
        """
        self._free(one, state=State.ANSWERED, result=result, due_at=self._chain.now(), attempts=0)

    def delivered(self, one: QueuedRequest, remark: str = "") -> None:
        """Note that the result has reached who asked."""
        self._free(one, state=State.DELIVERED, remark=remark)

    def postpone(self, one: QueuedRequest, due_at: datetime, remark: str) -> None:
        """Put a request back that could not be seen to now."""
        self._free(one, due_at=due_at, attempts=one.attempts + 1, remark=remark)

    def give_up(self, one: QueuedRequest, remark: str) -> None:
        """Note that the result can't be sent; an operator may try again."""
        self._free(one, state=State.GIVEN_UP, remark=remark)

    def release(self, one: QueuedRequest) -> None:
        """Give a request back untouched."""
        self._free(one)

    def _free(self, one: QueuedRequest, **values: object) -> None:
        mine = (_Q.id == one.id, _Q.taken_by == one.taken_by)
        with writing(self._engine) as connection:
            connection.execute(update(queued_request).where(*mine).values(taken_by=None, taken_until=None, **values))

    def get(self, number: int) -> QueuedRequest:
        """A request by its number.

        :raises ServiceError: ``service.queue.unknown``
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(*_COLUMNS).where(_Q.id == number)).mappings().first()
        if row is None:
            message, hint = "there is no such request", "see smpki queue list"
            raise ServiceError("service.queue.unknown", message, where=str(number), hint=hint)
        return _queued(row)

    def list(self, *, all: bool = False) -> Sequence[QueuedRequest]:
        """What is in the queue, oldest first.

        :param all: what is delivered, too
        """
        query = select(*_COLUMNS).order_by(_Q.id)
        if not all:
            query = query.where(_IS_OPEN)
        with reading(self._engine) as connection:
            return [_queued(row) for row in connection.execute(query).mappings()]

    def lengths(self, authority: str) -> dict[str, int]:
        """How many requests are in each state; those that are delivered, most of all, are not counted."""
        query = select(_Q.state, func.count().label("number")).where(_Q.authority == authority, _IS_OPEN)
        query = query.group_by(_Q.state)
        with reading(self._engine) as connection:
            return {row.state: row.number for row in connection.execute(query)}

    def approve(self, number: int) -> None:
        """An operator approves of a request that is held.

        :raises ServiceError: ``service.queue.unknown``, ``service.queue.state``
        """
        self._decide(number, "queue-approve", {State.HELD}, state=State.WAITING)

    def refuse(self, number: int, result: bytes) -> None:
        """An operator refuses a request that is held.

        :param result: the SOAP message that says so
        :raises ServiceError: ``service.queue.unknown``, ``service.queue.state``
        """
        self._decide(number, "queue-refuse", {State.HELD}, state=State.ANSWERED, result=result)

    def again(self, number: int) -> None:
        """Try again to send a result.

        :raises ServiceError: ``service.queue.unknown``, ``service.queue.state``
        """
        self._decide(number, "queue-again", {State.GIVEN_UP, State.ANSWERED}, state=State.ANSWERED, attempts=0)

    def _decide(self, number: int, action: str, before: set[State], **values: object) -> None:
        one = self.get(number)
        entry = AuditEntry(
            action=action, outcome="done", subject=one.subject_cn, detail={"request": number, "digest": one.digest}
        )
        change = update(queued_request).where(_Q.id == number, _Q.state.in_(before))
        with self._chain.transaction(self._engine) as transaction:
            due_at = self._chain.now()
            if not transaction.connection.execute(change.values(due_at=due_at, **values)).rowcount:
                raise ServiceError(
                    "service.queue.state",
                    f"the request is {one.state}, which leaves nothing to decide",
                    where=str(number),
                    hint="see smpki queue list",
                )
            transaction.append([entry])


def _queued(row: RowMapping) -> QueuedRequest:
    return QueuedRequest(**{**row, "state": State(row["state"])})
