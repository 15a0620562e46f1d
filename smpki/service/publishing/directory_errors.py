"""What a directory says, as refusals that explain themselves."""

from collections.abc import Mapping
from types import MappingProxyType

from smpki.errors import SmpkiError
from smpki.policy.text import visible

NO_SUCH_ENTRY, ENTRY_EXISTS, HAS_ENTRIES_BELOW = 32, 68, 66
"""Result codes that a publisher expects (RFC 4511 A.2)."""

RACES = frozenset({16, 20, NO_SUCH_ENTRY, ENTRY_EXISTS})
"""Result codes that say that somebody else was faster: what was to go is gone, what was to come is there."""

_CREDENTIALS = "credentials", "the directory does not let us in", "check bind name and password, or the certificate"
_REFUSED = "refused", "the directory does not let us do that", "give the publisher the right to write below the base"
_READ_ONLY = "read_only", "the directory takes no changes now", "publish to the one that is written to"
_SCHEMA = (
    "schema",
    "the directory does not know such entries",
    "load the schema `core` (X.521, RFC 4523): device, pkiCA, pkiUser; for dc= in names `cosine`, too",
)
_LIMIT = "limit", "the directory stops at a limit of its own", "lift its size and time limits for the publisher"
_BUSY = "busy", "the directory can't do that now", "see its log; it is tried again"

_CODES: Mapping[int, tuple[str, str, str]] = MappingProxyType(
    {
        **dict.fromkeys((3, 4, 11), _LIMIT),
        **dict.fromkeys((7, 8, 13, 14, 48, 49), _CREDENTIALS),
        **dict.fromkeys((16, 17, 18, 19, 21, 34, 64, 65, 69), _SCHEMA),
        10: ("referral", "the directory sends us to another one", "publish to that one"),
        32: ("missing", "the directory has no such entry", "its database has to hold the names of this PKI"),
        50: _REFUSED,
        **dict.fromkeys((51, 52, 80), _BUSY),
        53: _READ_ONLY,
    }
)


class DirectoryRefused(SmpkiError):
    """The directory answered that it won't.

    :param result: its result code (RFC 4511 A.1)
    """

    def __init__(self, result: int, said: str, where: str) -> None:
        code, message, hint = _CODES.get(result, ("failed", "the directory refused", "see its log"))
        told = f"result {result}: {visible(said)}" if said else f"result {result}"
        super().__init__(f"publish.directory.{code}", f"{message} ({told})", where=where, hint=hint)
        self.result = result

    @property
    def of_entry(self) -> bool:
        """Whether it is about one entry; else all others would be refused as well."""
        return self.code.removeprefix("publish.directory.") in ("schema", "failed", "missing")


def lost(where: str, why: str) -> SmpkiError:
    """The connection ended."""
    hint = "see its log: does it trust our certificate, does it take messages of this size? it is tried again"
    return SmpkiError("publish.directory.lost", f"the connection to the directory ended: {why}", where=where, hint=hint)


def unreachable(where: str, why: str) -> SmpkiError:
    """There is no connection."""
    hint = "check the address, and whether the directory runs"
    return SmpkiError("publish.directory.unreachable", f"can't connect: {why}", where=where, hint=hint)
