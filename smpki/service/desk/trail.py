"""The audit trail, for operators and auditors."""

from collections.abc import Sequence

from smpki.ca.pki import Pki
from smpki.ca.store.audit import AuditReport
from smpki.service.accounts.actor import Actor
from smpki.service.desk.access import STAFF, require
from smpki.service.desk.store.reading import AuditLine, Reading


class Trail:
    """The audit trail."""

    def __init__(self, pki: Pki) -> None:
        self._reading = pki.store.beside(Reading)

    def page(self, actor: Actor, *, before: int | None = None, limit: int = 100) -> Sequence[AuditLine]:
        """Entries, newest first.

        :param before: number of the last one of the page before
        :raises ServiceError: ``service.desk.forbidden``
        """
        require(actor, *STAFF)
        return self._reading.audit(before, limit)

    def verify(self, actor: Actor) -> AuditReport:
        """Verify the chain from its first entry to its last; it takes its time.

        :raises ServiceError: ``service.desk.forbidden``
        """
        require(actor, *STAFF)
        return self._reading.verify()
