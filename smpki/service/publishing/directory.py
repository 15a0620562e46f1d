"""A directory as publishers use it: entries come with those above them, and each refusal is about one entry or all."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from smpki.errors import SmpkiError
from smpki.policy.directory_name import DirectoryName
from smpki.service.publishing.directory_errors import ENTRY_EXISTS, NO_SUCH_ENTRY, RACES, DirectoryRefused
from smpki.service.publishing.layout import ancestors, new_entry
from smpki.service.publishing.ldap_client import LdapConnection

Values = Mapping[str, Sequence[bytes]]


@dataclass
class Report:
    """What was done to a directory.

    :param added: entries that were made
    :param changed: entries that were changed
    :param removed: entries that were taken away
    :param refused: why single entries could not be brought to what they should be
    """

    added: int = 0
    changed: int = 0
    removed: int = 0
    refused: list[SmpkiError] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.refused)

    def refuse(self, error: SmpkiError) -> None:
        """Note a refusal that is about one entry; any other is raised again."""
        if not (error.of_entry if isinstance(error, DirectoryRefused) else error.code.startswith(_OF_ENTRIES)):
            raise error
        self.refused.append(error)


_OF_ENTRIES = ("publish.crl.", "publish.layout", "name.directory")


async def again_if_raced(act: Callable[[], Awaitable[None]]) -> None:
    """Do what begins with a look at the directory; a second time when somebody else was there in between."""
    try:
        await act()
    except DirectoryRefused as error:
        if error.result not in RACES:
            raise
        await act()


def binary(values: Values) -> dict[str, Sequence[bytes]]:
    """Certificates and CRLs as they are sent (RFC 4522)."""
    return {f"{kind};binary": those for kind, those in values.items()}


async def add(connection: LdapConnection, name: DirectoryName, classes: Sequence[str], values: Values) -> None:
    """Make an entry with certificates or CRLs, and those above it that are missing.

    :param classes: auxiliary ones
    :raises SmpkiError: ``publish.*``
    """
    attributes = new_entry(name, classes) | binary(values)
    try:
        await connection.add(str(name), attributes)
    except DirectoryRefused as error:
        if error.result != NO_SUCH_ENTRY:
            raise
        await _add_above(connection, name)
        await connection.add(str(name), attributes)


async def context_of(connection: LdapConnection, name: DirectoryName) -> DirectoryName:
    """The top of the names in a directory, of those that one stands under (RFC 4512 5.1).

    :raises SmpkiError: ``publish.suffix``
    """
    top = await connection.read("", ["namingContexts"])
    contexts = [value.decode() for value in (top.attributes if top else {}).get("namingcontexts", ())]
    for context in map(DirectoryName.parse, contexts):
        if name.below(context):
            return context
    message = f"the directory has no place for {name}; it holds what is below {'; '.join(contexts) or 'nothing'}"
    hint = "give its database the suffix that the policy's crl_ldap has"
    raise SmpkiError("publish.suffix", message, where=connection.where, hint=hint)


async def _add_above(connection: LdapConnection, name: DirectoryName) -> None:
    for above in ancestors(name, await context_of(connection, name)):
        try:
            await connection.add(str(above), new_entry(above))
        except DirectoryRefused as error:
            if error.result != ENTRY_EXISTS:
                raise
