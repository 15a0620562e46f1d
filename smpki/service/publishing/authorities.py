"""The entries of CAs in a directory: certificates that stay, and the newest CRL."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from cryptography import x509

from smpki.ca.store.store import Store
from smpki.errors import SmpkiError
from smpki.policy.directory_name import NameKey
from smpki.policy.model import EnvironmentName, Policy
from smpki.policy.names import same_name
from smpki.service.publishing.directory import Report, add, again_if_raced, binary
from smpki.service.publishing.layout import AuthorityEntry, authority_entries
from smpki.service.publishing.ldap_client import LdapConnection
from smpki.service.publishing.ldap_messages import Change, Entry


class Authorities:
    """Publishes CAs over one connection; what it has seen there it does not look at again.

    Certificates are only added. A CRL is replaced by newer ones of its issuer.
    """

    def __init__(self, connection: LdapConnection, store: Store, policy: Policy, environment: EnvironmentName) -> None:
        self._connection = connection
        self._store = store
        self._policy = policy
        self._environment = environment
        self._seen: dict[NameKey, AuthorityEntry] = {}

    @property
    def names(self) -> Collection[NameKey]:
        """The entries that were looked at."""
        return self._seen.keys()

    async def publish(self, report: Report) -> None:
        """Bring the entries up to date; one that is refused is left until :meth:`forget`, or until it changes.

        :raises SmpkiError: the directory can't be written at all, or the store can't be read
        """
        entries = await asyncio.to_thread(authority_entries, self._store, self._policy, self._environment)
        for entry in entries:
            if self._seen.get(entry.name.key) == entry:
                continue
            self._seen[entry.name.key] = entry
            try:
                await again_if_raced(partial(self._bring, entry, report))
            except SmpkiError as error:
                report.refuse(error)

    def forget(self) -> None:
        """Look at everything again."""
        self._seen.clear()

    async def _bring(self, entry: AuthorityEntry, report: Report) -> None:
        crls = [await asyncio.to_thread(self._store.crls.der, record) for record in entry.crls]
        wanted: dict[str, Sequence[bytes]] = dict(entry.certificates)
        if crls:
            wanted[entry.crl_attribute] = crls
        found = await self._connection.read(str(entry.name), ["objectClass", *binary(wanted)])
        if found is None:
            await add(self._connection, entry.name, entry.classes, wanted)
            report.added += 1
        elif changes := _changes(entry, found, wanted):
            await self._connection.modify(str(entry.name), changes)
            report.changed += 1


def _changes(entry: AuthorityEntry, found: Entry, wanted: Mapping[str, Sequence[bytes]]) -> list[Change]:
    changes = []
    present = {value.decode(errors="replace").lower() for value in found.attributes.get("objectclass", ())}
    if classes := [one.encode() for one in entry.classes if one.lower() not in present]:
        changes.append(Change.add("objectClass", classes))
    for kind, values in binary(wanted).items():
        there = found.attributes.get(kind.removesuffix(";binary").lower(), ())
        if missing := [one for one in values if one not in there]:
            if kind != f"{entry.crl_attribute};binary":
                changes.append(Change.add(kind, missing))
                continue
            for one in there:
                _may_go(entry, one, values)
            changes.append(Change.replace(kind, values))
    return changes


def _may_go(entry: AuthorityEntry, old: bytes, new: Sequence[bytes]) -> None:
    """See that a published CRL may give way.

    :raises SmpkiError: ``publish.crl.*``
    """
    if old in new:
        return
    where = str(entry.name)
    try:
        there = x509.load_der_x509_crl(old)
        issuer, number = there.issuer, _number(there)
    except (ValueError, x509.InvalidVersion, x509.ExtensionNotFound, x509.DuplicateExtension):
        issuer, number = None, 0
    mine = [crl for crl in map(x509.load_der_x509_crl, new) if issuer is not None and same_name(crl.issuer, issuer)]
    if not mine:
        message = "there is something else than a CRL of this issuer in the directory"
        hint = "find out who wrote it; take it away by hand if it should not be there"
        raise SmpkiError("publish.crl.foreign", message, where=where, hint=hint)
    if number > max(map(_number, mine)):
        message = f"the directory has CRL {number}, which is newer than what the store has"
        hint = "is the store an old copy? issue CRLs until their number is higher: smpki crl issue"
        raise SmpkiError("publish.crl.newer", message, where=where, hint=hint)


def _number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
