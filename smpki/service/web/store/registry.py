"""Who may use the web service, and where its results are sent."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from sqlalchemy import Engine, bindparam, insert, select, update

from smpki.ca.store.audit import AuditChain
from smpki.ca.store.records import AuditEntry
from smpki.db.engine import reading
from smpki.errors import ServiceError
from smpki.service.web.store.tables import registration

_R = registration.c
_COLUMNS = [column for column in _R if column.name != "id"]
_FIND = select(*_COLUMNS).where(_R.subject_key == bindparam("subject"), _R.role == bindparam("role"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A participant as the operator registered it.

    :param subject_key: its identity, see :meth:`smpki.policy.names.DistinguishedName.key`
    :param role: type of its certificates
    :param organisation: the name before its role in the CN
    :param partner_id: the market partner's id, which is the OU; ``None`` where the name has none
    :param contact: a mail address, for people
    :param callback_url: where results of requests are sent; ``None``: nowhere, so all its requests are answered at once
    :param blocked: nothing it asks for is granted
    """

    subject_key: str
    role: str
    subject_cn: str
    organisation: str
    partner_id: str | None
    contact: str
    callback_url: str | None
    registered_at: datetime
    blocked: bool = False


class Registry:
    """The registrations.

    :param engine: a database whose schema was checked
    :param chain: the audit chain in the same database
    """

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def find(self, subject_key: str, role: str) -> Registration | None:
        """The registration of a participant in a role; ``None`` without one."""
        with reading(self._engine) as connection:
            row = connection.execute(_FIND, {"subject": subject_key, "role": role}).mappings().first()
        return Registration(**row) if row else None

    def named(self, common_name: str) -> Registration:
        """The registration of a participant, by its CN.

        :raises ServiceError: ``service.registration.unknown``
        """
        query = select(*_COLUMNS).where(_R.subject_cn == common_name)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            message, hint = f"no {common_name} is registered", "see smpki registry list"
            raise ServiceError("service.registration.unknown", message, where=common_name, hint=hint)
        return Registration(**row)

    def all(self) -> Sequence[Registration]:
        """All registrations, by CN."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(*_COLUMNS).order_by(_R.subject_cn)).mappings().all()
        return [Registration(**row) for row in rows]

    def put(self, one: Registration) -> Registration:
        """Register a participant, or change what is registered of it; the date of a first registration stays.

        :return: what is registered now
        :raises StoreError: the database failed
        """
        known = self.find(one.subject_key, one.role)
        if known is not None:
            one = replace(one, registered_at=known.registered_at)
        if one == known:
            return one
        values = asdict(one)
        mine = (_R.subject_key == one.subject_key, _R.role == one.role)
        statement = insert(registration) if known is None else update(registration).where(*mine)
        detail = {"role": one.role, "callback_url": one.callback_url, "blocked": one.blocked, "new": known is None}
        with self._chain.transaction(self._engine) as transaction:
            transaction.connection.execute(statement.values(values))
            transaction.append([AuditEntry(action="register", outcome="done", subject=one.subject_cn, detail=detail)])
        return one
