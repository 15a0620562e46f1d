"""Renew triples by themselves: send the renewals that are prepared, and keep the triples that come."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from smpki.errors import SmpkiError
from smpki.participant.access import Access
from smpki.participant.pending import PendingFolder
from smpki.participant.preparing import Prepared
from smpki.participant.sending import Sent, has_triple, send_package


@dataclass(frozen=True)
class Renewed:
    """What became of a renewal.

    :param folder: of the new triple; the old one stays where it is
    :param sent: ``None``: see ``error``
    """

    subject: str
    folder: Path
    sent: Sent | None = None
    error: SmpkiError | None = None

    def as_dict(self) -> dict[str, object]:
        """The renewal as the mapping that ``--json`` prints."""
        error = self.error.as_dict() if self.error else None
        return {"subject": self.subject, "folder": str(self.folder), "state": self.sent, "error": error}


async def send_renewals(
    prepared: Sequence[Prepared], access: Callable[[Path], Access], pending: PendingFolder | None
) -> AsyncIterator[Renewed]:
    """Send renewals, one after another; what fails keeps none of the others, and is sent again the next time.

    The package that is sent is the one in the folder, whoever prepared it: so a crash at any moment leads to the same
    package, the same message, and the same certificates. What could not be prepared, or has its triple, is passed over.

    :param access: to the CA of whoever has the triple of a folder
    :param pending: lets the CA answer later
    """
    for one in prepared:
        folder = one.package.parent
        if one.error is not None or has_triple(folder):
            continue
        try:
            to = access(one.previous)
            async with to.open() as service:
                sent = await send_package(service, one.package.read_bytes(), folder, to.ca, pending)
        except SmpkiError as error:
            yield Renewed(one.subject, folder, error=error)
        except OSError as error:
            message, hint = f"can't be read: {error.strerror}", "see to the files of this renewal"
            where = str(error.filename or folder)
            yield Renewed(one.subject, folder, error=SmpkiError("file.unreadable", message, where=where, hint=hint))
        else:
            yield Renewed(one.subject, folder, sent)
