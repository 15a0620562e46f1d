"""CRLs as everybody may see them, and new ones when an operator wants them."""

from collections.abc import Sequence
from dataclasses import dataclass

from smpki.ca.crl import CrlOutcome
from smpki.ca.crl_series import CrlSeries, crl_series
from smpki.ca.pki import Pki
from smpki.ca.store.records import AuditEntry
from smpki.service.accounts.actor import Actor, Role
from smpki.service.desk.access import require, unknown


@dataclass(frozen=True)
class CrlFile:
    """The CRL in force of one series.

    :param der: the CRL itself
    """

    series: CrlSeries
    der: bytes


class CrlShelf:
    """The CRLs."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki

    def series(self) -> Sequence[CrlSeries]:
        """All series, with the CRL in force of each."""
        return crl_series(self._pki.store, self._pki.policy, self._pki.environment)

    def get(self, name: str) -> CrlFile:
        """The CRL in force, by its file name.

        :raises ServiceError: ``service.desk.unknown``
        """
        for one in self.series():
            if one.file_name == name and one.newest is not None:
                return CrlFile(one, self._pki.store.crls.der(one.newest))
        raise unknown(name)

    def issue(self, actor: Actor) -> Sequence[CrlOutcome]:
        """Issue the next CRL of every CA now, as after a revocation that can't wait.

        :raises ServiceError: ``service.desk.forbidden``
        """
        require(actor, Role.OPERATOR)
        names = sorted({one.authority.subject_cn for one in self.series() if one.is_open(self._pki.clock())})
        if not names:
            return ()
        detail = {"by": actor.who}
        self._pki.store.record(AuditEntry(action="order-crl", outcome="done", subject=", ".join(names), detail=detail))
        return self._pki.crls.issue(names=names)
