"""What only looks: certificates by their end, and the audit trail. Pages go by key, whatever the size of the table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, or_, select

from smpki.ca.store.audit import AuditChain, AuditReport
from smpki.ca.store.records import ListedCertificate
from smpki.ca.store.tables import audit, certificate, revocation
from smpki.db.engine import reading

_A, _C, _R = audit.c, certificate.c, revocation.c
_LISTED = [_C[name] for name in ListedCertificate.__dataclass_fields__]


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One entry of the audit chain."""

    seq: int
    at: datetime
    action: str
    outcome: str
    subject: str
    detail: Mapping[str, object]
    test_clock: bool


_LINE = [_A[name] for name in AuditLine.__dataclass_fields__]


class Reading:
    """Looks at what others write.

    :param engine: a database whose schema was checked
    :param chain: the audit chain in the same database
    """

    def __init__(self, engine: Engine, chain: AuditChain) -> None:
        self._engine = engine
        self._chain = chain

    def newest(self, common_name: str, subject_key: str, limit: int) -> Sequence[ListedCertificate]:
        """A subject's certificates, the last one to be issued first."""
        query = select(*_LISTED).where(_C.subject_cn == common_name, _C.subject_key == subject_key)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(_C.id.desc()).limit(limit)).mappings()
            return [ListedCertificate(**row) for row in rows]

    def ending(self, since: datetime, until: datetime, after: str | None, limit: int) -> Sequence[ListedCertificate]:
        """Certificates that end between two moments and are not revoked, the first one to end first.

        :param after: serial number of the last one of the page before
        """
        in_force = or_(_R.serial.is_(None), _R.suspended_until.is_not(None))
        ends = (_C.not_after >= since, _C.not_after < until, in_force)
        query = select(*_LISTED).outerjoin(revocation, _R.serial == _C.serial).where(*ends)
        with reading(self._engine) as connection:
            if after is not None:
                place = connection.execute(select(_C.not_after, _C.id).where(_C.serial == after)).first()
                if place is None:
                    return ()
                behind = or_(_C.not_after > place.not_after, _C.id > place.id)
                query = query.where(_C.not_after >= place.not_after, behind)
            rows = connection.execute(query.order_by(_C.not_after, _C.id).limit(limit)).mappings()
            return [ListedCertificate(**row) for row in rows]

    def audit(self, before: int | None, limit: int) -> Sequence[AuditLine]:
        """Entries of the audit chain, newest first.

        :param before: number of the last one of the page before
        """
        query = select(*_LINE).order_by(_A.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(_A.seq < before)
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
        return [AuditLine(**{**row, "detail": json.loads(row["detail"])}) for row in rows]

    def verify(self) -> AuditReport:
        """Verify the whole chain; it takes its time.

        :raises StoreError: the database or the outside file can't be read
        """
        return self._chain.verify(self._engine)
