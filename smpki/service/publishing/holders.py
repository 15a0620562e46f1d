"""The certificates of holders in a directory: those that are in force, no others of this PKI."""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial

from cryptography import x509

from smpki.ca.store.holdings import Bookmark, Shown
from smpki.ca.store.records import StoredCertificate, serial_text
from smpki.ca.store.store import Store
from smpki.errors import PolicyError, SmpkiError, StoreError
from smpki.policy.directory_name import DirectoryName, NameKey
from smpki.policy.names import DistinguishedName
from smpki.service.publishing.directory import Report, add, again_if_raced
from smpki.service.publishing.directory_errors import HAS_ENTRIES_BELOW, NO_SUCH_ENTRY, DirectoryRefused
from smpki.service.publishing.layout import CERTIFICATES, HOLDER_CLASSES, new_entry
from smpki.service.publishing.ldap_client import LdapConnection
from smpki.service.publishing.ldap_messages import Change, Entry

_AT_ONCE = 32
_BINARY = f"{CERTIFICATES};binary"


class Holders:
    """Publishes holders' certificates over one connection.

    :param base: the entry below which theirs stand
    :param organisation: O of all of them
    :param shown: which certificates
    :param clock: the time now
    """

    def __init__(
        self,
        connection: LdapConnection,
        store: Store,
        base: DirectoryName,
        organisation: str,
        shown: Shown,
        clock: Callable[[], datetime],
    ) -> None:
        self._connection = connection
        self._store = store
        self._base = base
        self._organisation = organisation
        self._shown = shown
        self._clock = clock
        self._bookmark = Bookmark()

    async def compare(self, report: Report, others: Collection[NameKey] = ()) -> None:
        """Hold all that the directory has against all that it should have, and write the difference.

        :param others: entries at the same place that are not about holders
        :raises SmpkiError: the directory can't be written at all, or the store can't be read
        """
        bookmark = await asyncio.to_thread(self._store.holdings.bookmark)
        sums: dict[str, int] = {}
        try:
            async for entry in self._connection.below(str(self._base), CERTIFICATES, [_BINARY]):
                if key := self._key_of(entry.name, others):
                    for value in entry.attributes.get(CERTIFICATES.lower(), ()):
                        sums[key] = sums.get(key, 0) ^ _digest(value)
        except DirectoryRefused as error:
            if error.result != NO_SUCH_ENTRY:
                raise
        await asyncio.to_thread(self._take_from, sums)
        await self._bring([key for key, rest in sums.items() if rest], report)
        self._bookmark = bookmark

    async def follow(self, report: Report) -> None:
        """Write what was issued and take away what was revoked since the last time; after :meth:`compare`.

        :raises SmpkiError: as :meth:`compare`
        """
        keys, bookmark = await asyncio.to_thread(self._store.holdings.since, self._bookmark, self._shown.kinds)
        await self._bring(keys, report)
        self._bookmark = bookmark

    def _take_from(self, sums: dict[str, int]) -> None:
        """Whose certificates are the same on both sides has nothing left."""
        for key, der in self._store.holdings.everything(self._shown, self._clock()):
            sums[key] = sums.get(key, 0) ^ _digest(der)

    async def _bring(self, keys: Collection[str], report: Report) -> None:
        for some in _in_parts(sorted(keys)):
            wanted = await asyncio.to_thread(self._store.holdings.of, some, self._shown, self._clock())
            acts = (partial(self._bring_one, key, wanted.get(key, []), report) for key in some)
            for error in await asyncio.gather(*map(again_if_raced, acts), return_exceptions=True):
                if isinstance(error, SmpkiError):
                    report.refuse(error)
                elif error is not None:
                    raise error

    async def _bring_one(self, key: str, wanted: Sequence[StoredCertificate], report: Report) -> None:
        name = self._base / ("cn", wanted[-1].subject_cn if wanted else DirectoryName.parse(key).get("cn") or "")
        values = [one.der for one in wanted]
        found = await self._connection.read(str(name))
        if found is None:
            if values:
                await add(self._connection, name, HOLDER_CLASSES, {CERTIFICATES: values})
                report.added += 1
            return
        there = found.attributes.get(CERTIFICATES.lower(), ())
        gone = [one for one in there if one not in values and await asyncio.to_thread(self._issued, one)]
        last = gone and len(gone) == len(there) and not values
        if last and _is_ours(found, name) and await self._delete(name):
            report.removed += 1
            return
        changes = []
        classes = {one.decode(errors="replace").lower() for one in found.attributes.get("objectclass", ())}
        if values and (missing := [one.encode() for one in HOLDER_CLASSES if one.lower() not in classes]):
            changes.append(Change.add("objectClass", missing))
        if new := [one for one in values if one not in there]:
            changes.append(Change.add(_BINARY, new))
        if gone:
            changes.append(Change.take(_BINARY, gone))
        if changes:
            await self._connection.modify(str(name), changes)
            report.changed += 1

    async def _delete(self, name: DirectoryName) -> bool:
        try:
            await self._connection.delete(str(name))
        except DirectoryRefused as error:
            if error.result != HAS_ENTRIES_BELOW:
                raise
            return False
        return True

    def _key_of(self, text: str, others: Collection[NameKey]) -> str | None:
        """The ``subject_key`` of the holder that an entry is for; ``None`` for other entries."""
        try:
            name = DirectoryName.parse(text)
        except PolicyError:
            return None
        value = name.get("cn")
        if value is None or name.key in others or name.key != (self._base / ("cn", value)).key:
            return None
        return DistinguishedName.of(CN=value, O=self._organisation).key()

    def _issued(self, der: bytes) -> bool:
        """Whether a certificate is one of this PKI's."""
        try:
            serial = serial_text(x509.load_der_x509_certificate(der).serial_number)
            return self._store.get(serial).der == der
        except (ValueError, x509.InvalidVersion):
            return False
        except StoreError as error:
            if error.code != "store.serial.unknown":
                raise
            return False


def _is_ours(found: Entry, name: DirectoryName) -> bool:
    """Whether an entry has nothing but what it was given here."""
    made = new_entry(name, HOLDER_CLASSES)
    classes = {one.lower() for one in (*made.pop("objectClass"), b"top")}
    if {one.lower() for one in found.attributes.get("objectclass", ())} - classes:
        return False
    return found.attributes.keys() <= {*made, "objectclass", CERTIFICATES.lower()}


def _digest(der: bytes) -> int:
    """Certificates of a holder are compared by the sum of these, in which order does not count."""
    return int.from_bytes(hashlib.sha256(der).digest())


def _in_parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
