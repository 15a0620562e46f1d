"""Answers to requests that named a key, so that the same request again gets the same answer and does nothing twice."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine, delete, insert, select, update

from smpki.ca.store.audit import AuditChain
from smpki.db.engine import reading, writing
from smpki.errors import ServiceError, StoreError
from smpki.service.desk.store.tables import idempotency

_I = idempotency.c
_HOLDS = timedelta(hours=24)
_IN_PROGRESS = timedelta(minutes=5)
"""After that who began it is taken for dead."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer.

    :param body: ``None``: it told a secret, and is not kept
    """

    status: int
    media_type: str | None
    location: str | None
    body: bytes | None


class Idempotency:
    """The answers, for a day.

    :param engine: a database whose schema was checked
    :param chain: has the clock
    """

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def begin(self, who: str, key: str, fingerprint: str) -> KeptAnswer | None:
        """Begin with a request.

        :param who: keys are each one's own
        :param fingerprint: of all that the request says
        :return: what it was answered before; ``None``: it is to be worked on now
        :raises ServiceError: ``service.rest.idempotency.other``: the key was used for another request;
            ``.in_progress``: the same request is being worked on
        """
        now = self._chain.now()
        row = {"who": who, "key": key, "fingerprint": fingerprint, "expires_at": now + _IN_PROGRESS}
        try:
            with writing(self._engine) as connection:
                connection.execute(delete(idempotency).where(_I.expires_at < now))
                connection.execute(insert(idempotency).values(row))
        except StoreError as error:
            if error.code != "store.conflict":
                raise
        else:
            return None
        with reading(self._engine) as connection:
            found = connection.execute(select(idempotency).where(_I.who == who, _I.key == key)).first()
        if found is not None and found.fingerprint != fingerprint:
            message, hint = "this Idempotency-Key was used for another request", "give each request a key of its own"
            raise ServiceError("service.rest.idempotency.other", message, where="Idempotency-Key", hint=hint)
        if found is None or found.status is None:
            message, hint = "the same request is being worked on", "send it again in a moment"
            raise ServiceError("service.rest.idempotency.in_progress", message, where="Idempotency-Key", hint=hint)
        return KeptAnswer(found.status, found.media_type, found.location, found.body)

    def finish(self, who: str, key: str, answer: KeptAnswer) -> None:
        """Keep the answer."""
        values = {
            "status": answer.status,
            "media_type": answer.media_type,
            "location": answer.location,
            "body": answer.body,
            "expires_at": self._chain.now() + _HOLDS,
        }
        with writing(self._engine) as connection:
            connection.execute(update(idempotency).where(_I.who == who, _I.key == key).values(values))

    def give_up(self, who: str, key: str) -> None:
        """Forget a request that failed: it may be sent again."""
        with writing(self._engine) as connection:
            connection.execute(delete(idempotency).where(_I.who == who, _I.key == key))
