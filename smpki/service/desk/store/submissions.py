"""Request packages that participants handed in, and what became of them."""

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Engine, RowMapping, insert, select, update

from smpki.ca.store.audit import AuditChain
from smpki.ca.store.records import AuditEntry
from smpki.db.engine import reading
from smpki.errors import StoreError
from smpki.service.accounts.actor import Actor
from smpki.service.desk.access import decided, unknown
from smpki.service.desk.store.tables import submission

_S = submission.c


class SubmissionState(enum.StrEnum):
    """What became of a package."""

    HELD = "held"
    """An operator has to approve of it."""
    ISSUED = "issued"
    REFUSED = "refused"
    """By an operator; what breaks a rule is refused at once, and not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSubmitted:
    """A package that a participant handed in.

    :param subject_key: the participant that handed it in
    :param common_name: that participant's CN
    :param digest: what identifies the package, hexadecimal
    :param kind: ``initial``, ``renewal`` or ``authorised``
    :param certificate_type: of the certificates that are asked for
    :param holder: CN of who is to hold them: the participant, or a gateway
    :param authority: CN of the Sub-CA that was asked
    """

    subject_key: str
    common_name: str
    digest: str
    kind: str
    certificate_type: str
    holder: str
    authority: str
    state: SubmissionState


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted(NewSubmitted):
    """A package as the desk remembers it.

    :param remark: why an operator refused it
    """

    id: int
    received_at: datetime
    decided_at: datetime | None = None
    remark: str = ""


_COLUMNS = [_S[name] for name in Submitted.__dataclass_fields__]


class Submissions:
    """The packages.

    :param engine: a database whose schema was checked
    :param chain: the audit chain in the same database
    """

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def put(self, one: NewSubmitted, package: bytes, actor: Actor) -> Submitted:
        """Keep a package; the same one again is kept once."""
        now = self._chain.now()
        settled = None if one.state is SubmissionState.HELD else now
        row = asdict(one) | {"package": package, "remark": "", "received_at": now, "decided_at": settled}
        detail = {"package": one.digest, "state": one.state.value, "by": actor.who}
        entry = AuditEntry(action="submit", outcome="done", subject=one.holder, detail=detail)
        try:
            with self._chain.transaction(self._engine) as transaction:
                transaction.connection.execute(insert(submission).values(row))
                transaction.append([entry])
        except StoreError as error:
            if error.code != "store.conflict":
                raise
        found = self.find(one.subject_key, one.digest)
        if found is None:
            raise unknown(one.digest)
        return found

    def find(self, subject_key: str, digest: str) -> Submitted | None:
        """A participant's package by its digest; ``None`` without one."""
        query = select(*_COLUMNS).where(_S.subject_key == subject_key, _S.digest == digest)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        return _submitted(row) if row else None

    def get(self, number: int) -> Submitted:
        """A package by its number.

        :raises ServiceError: ``service.desk.unknown``
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(*_COLUMNS).where(_S.id == number)).mappings().first()
        if row is None:
            raise unknown(number)
        return _submitted(row)

    def package(self, number: int) -> bytes:
        """The package itself, as it came in."""
        with reading(self._engine) as connection:
            return bytes(connection.execute(select(_S.package).where(_S.id == number)).scalar_one())

    def page(
        self, *, subject_key: str | None = None, state: SubmissionState | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Submitted]:
        """Packages in the order in which they came."""
        query = select(*_COLUMNS).where(_S.id > after).order_by(_S.id).limit(limit)
        if subject_key is not None:
            query = query.where(_S.subject_key == subject_key)
        if state is not None:
            query = query.where(_S.state == state)
        with reading(self._engine) as connection:
            return [_submitted(row) for row in connection.execute(query).mappings()]

    def settle(self, number: int, state: SubmissionState, actor: Actor, remark: str = "") -> Submitted:
        """Note what an operator decided on a held package.

        :raises ServiceError: ``service.desk.unknown``, ``service.desk.decided``
        """
        one = self.get(number)
        values = {"state": state, "remark": remark, "decided_at": self._chain.now()}
        # what was issued is issued, whatever an operator at another server said meanwhile
        before = {SubmissionState.HELD, SubmissionState.REFUSED} - {state}
        change = update(submission).where(_S.id == number, _S.state.in_(before)).values(values)
        detail = {"package": one.digest, "state": state.value, "by": actor.who}
        with self._chain.transaction(self._engine) as transaction:
            if not transaction.connection.execute(change).rowcount:
                raise decided(number, self.get(number).state)
            transaction.append([AuditEntry(action="decide", outcome="done", subject=one.holder, detail=detail)])
        return self.get(number)


def _submitted(row: RowMapping) -> Submitted:
    return Submitted(**{**row, "state": SubmissionState(row["state"])})
