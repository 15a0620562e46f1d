"""Reading the store: single certificates, pages of them, and how subjects stand."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, bindparam, case, func, literal_column, select

from smpki.ca.store.records import ListedCertificate, OpenIntent, Page, Standing, StoredCertificate
from smpki.ca.store.tables import certificate, intent, participant, request, revocation
from smpki.db.types import UtcTime
from smpki.errors import StoreError

_C, _I, _P, _R = certificate.c, intent.c, participant.c, revocation.c
_LISTED = [column for column in _C if column.name not in ("id", "der")]
_STORED = [*_LISTED, _C.der]
_INTENDED = intent.join(certificate, _C.serial == _I.serial)
_PREFIX = re.compile("[0-9a-f]+")

# Written out, not bound: SQLite uses a partial index only where it finds the condition in the statement.
IS_OPEN = _I.state == literal_column("'open'")

# What every batch asks is put together once: building a query costs as much as running it.
_ISSUED_FOR = (
    select(*_STORED).select_from(_INTENDED).where(_I.request_digest.in_(bindparam("digests", expanding=True)), _I.holds)
)
_BY_SERIAL = select(*_STORED).where(_C.serial == bindparam("this"))
_OF_SUBJECT = (
    select(*_STORED)
    .select_from(_INTENDED)
    .where(_I.subject_key == bindparam("subject"), _I.kind == bindparam("kind"), _I.purpose == bindparam("purpose"))
    .where(_I.holds)
    .order_by(_C.id.desc())
)
_ADMINISTRATOR = select(_P.ou).where(_P.subject_key == bindparam("subject"), _P.role == "smgw-w")
_AT = bindparam("at", type_=UtcTime())
# A suspended certificate may come back, so its holder still has it.
_HELD = (_C.not_before <= _AT) & (_C.not_after >= _AT) & (_R.serial.is_(None) | _R.suspended_until.is_not(None))
_STANDINGS = (
    select(
        _I.subject_key,
        _I.kind,
        func.max(_I.dn_serial),
        func.max(case((_HELD, _C.not_after)), type_=UtcTime()),
        func.max(case((IS_OPEN, 1), else_=0)),
    )
    .select_from(intent.outerjoin(certificate, _C.serial == _I.serial).outerjoin(revocation, _R.serial == _C.serial))
    .where(_I.subject_key.in_(bindparam("subject_keys", expanding=True)), _I.holds)
    .group_by(_I.subject_key, _I.kind)
)


class Lists(ABC):
    """What can be read, whether in a transaction of its own or in one that goes on."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """The connection to read from."""

    def get(self, serial: str) -> StoredCertificate:
        """The certificate with this serial number.

        :raises StoreError: ``store.serial.unknown``
        """
        found = self._certificates(_BY_SERIAL, {"this": serial})
        if not found:
            raise _unknown(serial)
        return found[0]

    def find(self, serial_prefix: str) -> StoredCertificate:
        """The one certificate whose serial number begins so; hex in any case, with or without colons.

        :raises StoreError: ``store.serial.invalid``, ``store.serial.unknown``, ``store.serial.ambiguous``
        """
        prefix = serial_prefix.replace(":", "").strip().lower()
        if not _PREFIX.fullmatch(prefix):
            hint = "give the certificate's serial number in hex, as `smpki list` prints it"
            raise StoreError("store.serial.invalid", "this is no serial number in hex", where=serial_prefix, hint=hint)
        query = select(_C.serial).where(_C.serial >= prefix, _C.serial < f"{prefix}g").order_by(_C.serial).limit(3)
        with self._reading() as connection:
            serials = connection.execute(query).scalars().all()
        if not serials:
            raise _unknown(prefix)
        if len(serials) > 1 and serials[0] != prefix:
            message = f"several serial numbers begin so: {', '.join(serials[:2])}{', …' if serials[2:] else ''}"
            raise StoreError("store.serial.ambiguous", message, where=prefix, hint="give more digits")
        return self.get(serials[0])

    def issued_for(self, digest: str) -> tuple[StoredCertificate, ...]:
        """What was issued for a request package; empty when it was not granted. TLS, SIG, ENC in this order."""
        return self.issued_for_each([digest]).get(digest, ())

    def issued_for_each(self, digests: Collection[str]) -> Mapping[str, tuple[StoredCertificate, ...]]:
        """What was issued for each of many request packages; those not granted are missing."""
        found: dict[str, list[StoredCertificate]] = {}
        with self._reading() as connection:
            for row in connection.execute(_ISSUED_FOR, {"digests": list(digests)}).mappings():
                found.setdefault(row["request_digest"], []).append(StoredCertificate(**row))
        return {digest: tuple(sorted(those, key=_by_purpose)) for digest, those in found.items()}

    def latest(self, kind: str, subject_key: str, purpose: str = "") -> StoredCertificate | None:
        """A subject's newest certificate of a kind: by DN serialNumber, then as issued; None without one."""
        found = self._certificates(_OF_SUBJECT, {"subject": subject_key, "kind": kind, "purpose": purpose})
        return max(found, key=_dn_serial, default=None)

    def held(self, kind: str, subject_key: str, at: datetime) -> tuple[StoredCertificate, ...]:
        """What a subject has of a kind at a time: neither expired nor revoked; what is suspended may come back."""
        joined = _INTENDED.outerjoin(revocation, _R.serial == _C.serial)
        mine = _I.subject_key == subject_key, _I.kind == kind, _I.holds
        query = select(*_STORED).select_from(joined).where(*mine, _HELD).order_by(_C.id).params(at=at)
        return tuple(self._certificates(query))

    def authorities(self, *, kind: str | None = None, cn: str | None = None) -> tuple[StoredCertificate, ...]:
        """Certificates whose private key is in our token, newest first."""
        query = select(*_STORED).where(_C.token_key_id.is_not(None), *_filters(kind=kind, subject_cn=cn))
        by_id = (_C.id + 0).desc()  # by the column alone SQLite would read all certificates in its order
        return tuple(sorted(self._certificates(query.order_by(by_id)), key=_dn_serial, reverse=True))

    def of_kinds(self, kinds: Collection[str]) -> tuple[StoredCertificate, ...]:
        """All certificates of these kinds in the order in which they were stored; for those of CAs, which are few."""
        return tuple(self._certificates(select(*_STORED).where(_C.kind.in_(kinds)).order_by(_C.id)))

    def page(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        kind: str | None = None,
        purpose: str | None = None,
        cn: str | None = None,
        issuer_serial: str | None = None,
        expires_before: datetime | None = None,
    ) -> Page:
        """One page of certificates in the order in which they were issued, without their bytes.

        :param after: ``Page.next`` of the page before: the serial number it ended with
        :param cn: the subject's common name, whole
        :raises StoreError: ``store.serial.unknown`` for ``after``
        """
        query = select(_C.id, *_LISTED).order_by(_C.id).limit(limit + 1)
        query = query.where(*_filters(kind=kind, purpose=purpose, subject_cn=cn, issuer_serial=issuer_serial))
        if after is not None:
            query = query.where(_C.id > self._place_of(after))
        if expires_before is not None:
            query = query.where(_C.not_after < expires_before)
        with self._reading() as connection:
            rows = connection.execute(query).all()
        names = [column.name for column in _LISTED]
        found = tuple(ListedCertificate(**dict(zip(names, row[1:], strict=True))) for row in rows[:limit])
        return Page(certificates=found, next=found[-1].serial if len(rows) > limit else None)

    def _place_of(self, serial: str) -> int:
        with self._reading() as connection:
            place = connection.execute(select(_C.id).where(_C.serial == serial)).scalar()
        if place is None:
            raise _unknown(serial)
        return int(place)

    def standings(self, subject_keys: Collection[str], at: datetime) -> Mapping[tuple[str, str], Standing]:
        """How subjects stand in each kind of certificate.

        :param at: the time at which a certificate counts as valid
        :returns: by (subject_key, kind); what never existed is missing
        """
        values = {"subject_keys": list(subject_keys), "at": at}
        with self._reading() as connection:
            return {
                (key, kind): Standing(highest=highest, valid_until=until, pending=bool(pending))
                for key, kind, highest, until, pending in connection.execute(_STANDINGS, values)
            }

    def administrator(self, subject_key: str) -> str | None:
        """CN of the administrator in charge of a gateway; ``None`` before its first Wirk triple."""
        with self._reading() as connection:
            return connection.execute(_ADMINISTRATOR, {"subject": subject_key}).scalar()

    def package(self, digest: str) -> bytes | None:
        """The request package that was granted under this digest, as it came in; ``None`` without one."""
        query = select(request.c.der).where(request.c.digest == digest)
        with self._reading() as connection:
            return connection.execute(query).scalar()

    def held_keys(self, key_hashes: Collection[str]) -> set[str]:
        """Those of some public keys that are certified, or about to be."""
        query = select(_I.key_hash).where(_I.key_hash.in_(key_hashes), _I.holds)
        with self._reading() as connection:
            return set(connection.execute(query).scalars())

    def open_intents(self) -> tuple[OpenIntent, ...]:
        """Intents of processes that run, or that nobody has recovered yet."""
        query = select(intent).where(IS_OPEN).order_by(_I.created_at, _I.serial)
        with self._reading() as connection:
            return tuple(open_intent(row, closed=False) for row in connection.execute(query).mappings())

    def _certificates(
        self, query: Select[tuple[object, ...]], values: Mapping[str, object] | None = None
    ) -> list[StoredCertificate]:
        with self._reading() as connection:
            return [StoredCertificate(**row) for row in connection.execute(query, values).mappings()]


def open_intent(row: RowMapping, *, closed: bool) -> OpenIntent:
    """A row of table ``intent`` as a value."""
    names = OpenIntent.__dataclass_fields__.keys() - {"closed"}
    return OpenIntent(**{name: row[name] for name in names}, closed=closed)


def _filters(**wanted: str | None) -> list[ColumnElement[bool]]:
    return [_C[name] == value for name, value in wanted.items() if value is not None]


def _dn_serial(one: StoredCertificate) -> int:
    return one.dn_serial or 0


def _by_purpose(one: StoredCertificate) -> int:
    return ("tls", "sig", "enc", "").index(one.purpose)


def _unknown(serial: str) -> StoreError:
    hint = "`smpki list` shows the serial numbers; it is the certificate's own, not the one in the subject's name"
    return StoreError("store.serial.unknown", "no certificate has this serial number", where=serial, hint=hint)
