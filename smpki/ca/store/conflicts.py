"""Which intent lost to which: what an intent claims for itself, mirroring the unique indices of table ``intent``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from smpki.ca.store.records import Intent
from smpki.ca.store.tables import intent
from smpki.errors import IssuingError


@dataclass(frozen=True, slots=True)
class _Claim:
    columns: tuple[str, ...]
    code: str
    message: str
    hint: str


_PACKAGE = _Claim(
    ("request_digest", "purpose"),
    "issuing.package.in_progress",
    "this request package is being granted by another process, or was granted before",
    "give it again later: the answer is the same triple",
)
_SUBJECT = _Claim(
    ("subject_key", "kind", "dn_serial", "purpose"),
    "issuing.subject.taken",
    "this subject has, or is being given, a certificate with this serialNumber in its name",
    "look at it with `smpki list`; the next number is free",
)
_KEY = _Claim(
    ("key_hash", "key_scope"),
    "issuing.key.reused",
    "this public key was certified before",
    "every certificate needs a new key pair",
)
_SERIAL = _Claim(("serial",), "issuing.serial.taken", "this serial number was given away before", "draw another")


def find_conflict(connection: Connection, intents: Sequence[Intent]) -> IssuingError:
    """The refusal of the first intent that claims what a row, or an intent before it, has.

    :param connection: a transaction in which the intents could not be inserted
    """
    taken = {found for claim in (_PACKAGE, _SUBJECT, _KEY, _SERIAL) for found in _held(connection, claim, intents)}
    for one in intents:
        for claim, values in _claims(one):
            if (claim, values) in taken:
                what = f"{one.kind} {one.purpose}".strip()
                message = f"{claim.message} ({what} of {one.subject_key})"
                return IssuingError(claim.code, message, where=one.serial, hint=claim.hint)
        taken.update(_claims(one))
    return IssuingError("issuing.conflict", "the store holds rows that exclude these intents", where=intents[0].serial)


def _claims(one: Intent) -> Iterator[tuple[_Claim, tuple[object, ...]]]:
    if one.request_digest is not None:
        yield _PACKAGE, (one.request_digest, one.purpose)
    if one.dn_serial:  # 0 is every Guetesiegel's number, and a CRL signer has none
        yield _SUBJECT, (one.subject_key, one.kind, one.dn_serial, one.purpose)
    yield _KEY, (one.key_hash, one.key_scope)
    yield _SERIAL, (one.serial,)


def _held(
    connection: Connection, claim: _Claim, intents: Sequence[Intent]
) -> Iterator[tuple[_Claim, tuple[object, ...]]]:
    columns = [intent.c[name] for name in claim.columns]
    query = select(*columns).where(columns[0].in_({getattr(one, claim.columns[0]) for one in intents}))
    if claim is not _SERIAL:  # an abandoned intent frees everything but its serial number
        query = query.where(intent.c.holds)
    for row in connection.execute(query):
        yield claim, tuple(row)
