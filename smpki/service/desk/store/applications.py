"""Applications of those who want to be participants, and what operators decide on them."""

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, RowMapping, insert, select, update

from smpki.ca.store.audit import AuditChain
from smpki.ca.store.records import AuditEntry
from smpki.db.engine import reading
from smpki.errors import ServiceError, StoreError
from smpki.service.accounts.actor import Actor, Role
from smpki.service.accounts.store.accounts import NewAccount, add_account, made
from smpki.service.accounts.store.credentials import add_invitation
from smpki.service.desk.access import decided, unknown
from smpki.service.desk.store.decisions import agree, agreed
from smpki.service.desk.store.tables import application
from smpki.service.web.store.tables import registration

_A = application.c
_ACT = "approve-registration"
_MOST_OPEN = 10_000


class ApplicationState(enum.StrEnum):
    """How far an application has come."""

    APPLIED = "applied"
    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApplication:
    """Somebody wants to be a participant.

    :param organisation: the name before its role in the CN
    :param role: type of its certificates: ``emt``, ``gwa`` or ``gwh``
    :param subject_key: its identity, see :meth:`smpki.policy.names.DistinguishedName.key`
    :param common_name: its CN
    :param partner_id: the market partner's id of 13 digits, which is the OU of its names
    :param contact: a mail address, for people
    :param callback_url: where its web service takes results; ``None``: it has none
    """

    organisation: str
    role: str
    subject_key: str
    common_name: str
    partner_id: str | None
    contact: str
    callback_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Application(NewApplication):
    """An application.

    :param remark: why it was refused
    """

    id: int
    state: ApplicationState
    applied_at: datetime
    decided_at: datetime | None = None
    remark: str = ""


_COLUMNS = [_A[name] for name in Application.__dataclass_fields__]
_REGISTERED = ("subject_key", "role", "organisation", "partner_id", "contact", "callback_url")


class Applications:
    """The applications.

    :param engine: a database whose schema was checked
    :param chain: the audit chain in the same database
    """

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def put(self, one: NewApplication, claim: str) -> Application:
        """Keep an application.

        :param claim: digest of what the applicant is told, and becomes its account's owner with
        :raises ServiceError: ``service.desk.application.many``
        """
        row = asdict(one) | {"state": ApplicationState.APPLIED, "claim": claim, "remark": ""}
        open_ones = select(_A.id).where(_A.state == ApplicationState.APPLIED).order_by(_A.id)
        with self._chain.transaction(self._engine) as transaction:
            if transaction.connection.execute(open_ones.offset(_MOST_OPEN - 1).limit(1)).first() is not None:
                message, hint = "too many applications wait for an operator", "try again in some days"
                raise ServiceError("service.desk.application.many", message, hint=hint)
            row["applied_at"] = self._chain.now()
            key = transaction.connection.execute(insert(application).values(row)).inserted_primary_key
            number = int(key[0]) if key else 0
            # no name: it may be anybody's, and nobody has looked at it
            about = f"application {number}"
            transaction.append([AuditEntry(action="apply", outcome="done", subject=about, detail={"role": one.role})])
        return self.get(number)

    def get(self, number: int) -> Application:
        """An application by its number.

        :raises ServiceError: ``service.desk.unknown``
        """
        return self._one(_A.id == number, number)

    def claimed(self, claim: str) -> Application:
        """The application whose applicant was told what has this digest.

        :raises ServiceError: ``service.desk.unknown``
        """
        return self._one(_A.claim == claim, "claim")

    def page(
        self, *, subject_key: str | None = None, state: ApplicationState | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[Application]:
        """Applications in the order in which they came."""
        query = select(*_COLUMNS).where(_A.id > after).order_by(_A.id).limit(limit)
        if subject_key is not None:
            query = query.where(_A.subject_key == subject_key)
        if state is not None:
            query = query.where(_A.state == state)
        with reading(self._engine) as connection:
            return [_application(row) for row in connection.execute(query).mappings()]

    def approve(self, number: int, actor: Actor, *, two: bool, invitation: timedelta) -> Application:
        """An operator approves: the participant is registered, and what the applicant was told is its invitation.

        :param two: it takes two operators; with the first one's word it stays applied
        :param invitation: how long that holds
        :raises ServiceError: ``service.desk.unknown``, ``.decided``, ``.second_operator``, ``.application.taken``
        """
        one, now = self.get(number), self._chain.now()
        is_open = (_A.id == number, _A.state == ApplicationState.APPLIED)
        change = update(application).where(*is_open).values(state=ApplicationState.APPROVED, decided_at=now)
        entry = AuditEntry(
            action="register",
            outcome="done",
            subject=one.common_name,
            detail={"role": one.role, "callback_url": one.callback_url, "application": number, "by": actor.who},
        )
        try:
            with self._chain.transaction(self._engine) as transaction:
                connection = transaction.connection
                claim = connection.execute(select(_A.claim).where(*is_open).with_for_update()).scalar()
                if claim is None:
                    raise decided(number, self.get(number).state)
                if two and not agree(connection, _ACT, f"application {number}", actor, now):
                    transaction.append([agreed(_ACT, one.common_name, actor, done=False)])
                    return one
                connection.execute(change)
                account = NewAccount(
                    name=one.common_name,
                    role=Role.PARTICIPANT,
                    subject_key=one.subject_key,
                    common_name=one.common_name,
                )
                account_number = add_account(connection, account, now)
                add_invitation(connection, claim, account_number, now + invitation)
                values = {name: getattr(one, name) for name in _REGISTERED}
                more = {"subject_cn": one.common_name, "blocked": False, "registered_at": now}
                connection.execute(insert(registration).values(values | more))
                transaction.append([entry, made(account_number, account.role)])
        except StoreError as error:
            if error.code != "store.conflict":
                raise
            message = f"{one.common_name} is registered, or has an account, already"
            hint = "refuse the application; let its people in by smpki account invite"
            raise ServiceError("service.desk.application.taken", message, where=str(number), hint=hint) from None
        return self.get(number)

    def refuse(self, number: int, actor: Actor, remark: str) -> Application:
        """An operator refuses.

        :param remark: what the applicant is told
        :raises ServiceError: ``service.desk.unknown``, ``.decided``
        """
        self.get(number)
        is_open = (_A.id == number, _A.state == ApplicationState.APPLIED)
        values = {"state": ApplicationState.REFUSED, "decided_at": self._chain.now(), "remark": remark}
        entry = AuditEntry(
            action="refuse-registration",
            outcome="done",
            subject=f"application {number}",
            detail={"by": actor.who},
        )
        with self._chain.transaction(self._engine) as transaction:
            if not transaction.connection.execute(update(application).where(*is_open).values(values)).rowcount:
                raise decided(number, self.get(number).state)
            transaction.append([entry])
        return self.get(number)

    def _one(self, condition: object, where: object) -> Application:
        with reading(self._engine) as connection:
            row = connection.execute(select(*_COLUMNS).where(condition)).mappings().first()  # type: ignore[arg-type]
        if row is None:
            raise unknown(where)
        return _application(row)


def _application(row: RowMapping) -> Application:
    return Application(**{**row, "state": ApplicationState(row["state"])})
