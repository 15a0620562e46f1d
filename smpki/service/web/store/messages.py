"""What others told a CA, and what it asked of its root."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Engine, insert, select

from smpki.ca.store.audit import AuditChain
from smpki.db.engine import reading, writing
from smpki.errors import StoreError
from smpki.service.web.store.tables import received_message, sent_request

_M, _S = received_message.c, sent_request.c


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to be kept.

    :param authority: CN of the CA that it was for
    :param digest: of what it says, hexadecimal; the same message is kept once
    :param message: the SOAP message
    """

    authority: str
    subject_key: str
    subject_cn: str
    operation: str
    digest: str
    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMessage(NewMessage):
    """A message that was kept."""

    id: int
    received_at: datetime


_COLUMNS = [_M[name] for name in ReceivedMessage.__dataclass_fields__]


class Messages:
    """The messages.

    :param engine: a database whose schema was checked
    :param chain: has the clock
    """

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def keep(self, one: NewMessage) -> None:
        """Keep a message; the same one again is kept once.

        :raises StoreError: the database failed; then it is not kept
        """
        row = {**asdict(one), "received_at": self._chain.now()}
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(received_message).values(row))
        except StoreError as error:
            if error.code != "store.conflict":
                raise

    def list(self) -> Sequence[ReceivedMessage]:
        """All messages, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(*_COLUMNS).order_by(_M.id)).mappings().all()
        return [ReceivedMessage(**row) for row in rows]

    def sent(self, authority: str, message_id: str) -> None:
        """Note a request that goes to the root, before it goes."""
        row = {"authority": authority, "message_id": message_id, "sent_at": self._chain.now()}
        with writing(self._engine) as connection:
            connection.execute(insert(sent_request).values(row))

    def was_sent(self, authority: str, message_id: str) -> bool:
        """Whether we sent a request with this messageID to our root."""
        query = select(_S.sent_at).where(_S.authority == authority, _S.message_id == message_id)
        with reading(self._engine) as connection:
            return connection.execute(query).first() is not None
