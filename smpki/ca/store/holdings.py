"""What holders hold, as a directory shows it: many at a time, and what changed since a moment."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Engine, and_, bindparam, func, or_, select

from smpki.ca.store.records import StoredCertificate
from smpki.ca.store.tables import certificate, intent, revocation
from smpki.db.engine import reading
from smpki.db.types import UtcTime

_C, _I, _R = certificate.c, intent.c, revocation.c
_STORED = [column for column in _C if column.name != "id"]
_ROWS_AT_ONCE = 5_000

_AT = bindparam("at", type_=UtcTime())
_JOINED = certificate.outerjoin(revocation, _R.serial == _C.serial)
_OF_KINDS = _C.kind.in_(bindparam("kinds", expanding=True))
_IN_FORCE = and_(
    _OF_KINDS,
    _C.not_before <= _AT,
    _C.not_after >= _AT,
    or_(_R.serial.is_(None), bindparam("with_revoked")),
)
_ALL = (
    select(_C.id, _C.subject_key, _C.der)
    .select_from(_JOINED)
    .where(_IN_FORCE, _C.id > bindparam("after"))
    .order_by(_C.id)
    .limit(_ROWS_AT_ONCE)
)
_OF = (
    select(*_STORED)
    .select_from(_JOINED.join(intent, _I.serial == _C.serial))
    .where(_I.subject_key.in_(bindparam("subject_keys", expanding=True)), _I.holds, _IN_FORCE)
    .order_by(_C.id)
)
_NEW = select(_C.id, _C.subject_key).where(_C.id > bindparam("after"), _OF_KINDS).order_by(_C.id)
_NEWLY_REVOKED = (
    select(_R.id, _C.subject_key)
    .select_from(revocation.join(certificate, _R.serial == _C.serial))
    .where(_R.id >= bindparam("first"), _OF_KINDS)
    .order_by(_R.id)
)
_SUSPENDED = select(_R.serial, _R.id).where(_R.suspended_until.is_not(None))
_SUBJECTS = select(_C.subject_key).where(_C.serial.in_(bindparam("serials", expanding=True)), _OF_KINDS)


@dataclass(frozen=True)
class Shown:
    """What a directory shows.

    :param kinds: types of certificates
    :param revoked: whether those are shown that are revoked or suspended
    """

    kinds: tuple[str, ...]
    revoked: bool = False

    def at(self, moment: datetime) -> dict[str, object]:
        """The values of the statements."""
        return {"kinds": list(self.kinds), "with_revoked": self.revoked, "at": moment}


@dataclass(frozen=True)
class Bookmark:
    """How far somebody has read.

    :param certificate: row of the last certificate
    :param revocation: row of the last revocation
    :param suspended: row by serial number of what was suspended then
    """

    certificate: int = 0
    revocation: int = 0
    suspended: Mapping[str, int] = field(default_factory=dict)


class Holdings:
    """The certificates of holders, read only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def everything(self, shown: Shown, at: datetime) -> Iterator[tuple[str, bytes]]:
        """``subject_key`` and DER of each certificate that is valid then, in the order in which they were stored."""
        after = 0
        while True:
            with reading(self._engine) as connection:
                rows = connection.execute(_ALL, shown.at(at) | {"after": after}).all()
            yield from ((key, der) for _, key, der in rows)
            if len(rows) < _ROWS_AT_ONCE:
                return
            after = rows[-1][0]

    def of(self, subject_keys: Collection[str], shown: Shown, at: datetime) -> dict[str, list[StoredCertificate]]:
        """What some holders have that is valid then, by ``subject_key``; who has nothing is missing."""
        found: dict[str, list[StoredCertificate]] = {}
        with reading(self._engine) as connection:
            values = shown.at(at) | {"subject_keys": list(subject_keys)}
            for row in connection.execute(_OF, values).mappings():
                found.setdefault(row["subject_key"], []).append(StoredCertificate(**row))
        return found

    def bookmark(self) -> Bookmark:
        """The present end of what there is to read."""
        with reading(self._engine) as connection:
            ends = [connection.execute(select(func.max(column))).scalar() or 0 for column in (_C.id, _R.id)]
            return Bookmark(ends[0], ends[1], _suspended(connection))

    def since(self, bookmark: Bookmark, kinds: Collection[str]) -> tuple[set[str], Bookmark]:
        """Whose certificates were issued, revoked, suspended or resumed since: their ``subject_key``.

        :param kinds: types of certificates
        :return: with the bookmark for the next time
        """
        with reading(self._engine) as connection:
            suspended = _suspended(connection)
            ended = {serial: row for serial, row in bookmark.suspended.items() if serial not in suspended}
            # the numbers of rows that were deleted last may be given again
            first = min([*ended.values(), bookmark.revocation + 1])
            new = connection.execute(_NEW, {"after": bookmark.certificate, "kinds": list(kinds)}).all()
            revoked = connection.execute(_NEWLY_REVOKED, {"first": first, "kinds": list(kinds)}).all()
            back = connection.execute(_SUBJECTS, {"serials": list(ended), "kinds": list(kinds)}).scalars().all()
        found = {row.subject_key for row in (*new, *revoked)} | set(back)
        ends = max([bookmark.certificate, *(row.id for row in new)]), max([first - 1, *(row.id for row in revoked)])
        return found, Bookmark(*ends, suspended)


def _suspended(connection: Connection) -> dict[str, int]:
    return dict(connection.execute(_SUSPENDED).all())
