"""Who the gateway's administrator is, and who is to be: a change counts when the new one was reached."""

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509

from smpki.errors import GatewayError
from smpki.gateway.api import Administrator
from smpki.gateway.purposes import misuse
from smpki.gateway.store.store import GatewayStore, Transaction
from smpki.requests.model import Purpose

_CURRENT, _CANDIDATE, _FAILURES = "Administrator/gwa", "Administrator/candidate", "administrator_failures"


class Administration:
    """The administrator of a gateway; used from one thread.

    :param configured: the first one; whoever was set and reached since counts instead
    """

    def __init__(self, configured: Administrator, store: GatewayStore) -> None:
        self._configured, self._store = configured, store

    @property
    def current(self) -> Administrator:
        """Who it is."""
        return self._get(_CURRENT) or self._configured

    @property
    def candidate(self) -> Administrator | None:
        """Who is to be it, and has not been reached yet."""
        return self._get(_CANDIDATE)

    @property
    def manager(self) -> Administrator:
        """With whom MANAGEMENT is."""
        return self.candidate or self.current

    @property
    def wakers(self) -> tuple[x509.Certificate, ...]:
        """Whose wake-ups are heard."""
        found = self.current.sig + (self.candidate.sig if self.candidate else ())
        return tuple(dict.fromkeys(found))

    def propose(self, administrator: Administrator, now: datetime) -> bool:
        """Set another one, to be tried from the next connection on. The present one ends what was being tried.

        :returns: whether there is something to try now
        :raises GatewayError: ``administrator.certificate``
        """
        for complaint in _complaints(administrator):
            raise GatewayError("administrator.certificate", complaint, hint="give their TLS and SIG certificates")
        is_other = administrator != self.current
        with self._store.work() as work:
            _forget(work)
            if is_other:
                work.documents.put(_CANDIDATE, administrator.to_json().decode(), now=now)
        return is_other

    def confirm(self, now: datetime) -> bool:
        """The candidate has spoken over a connection: from now on it is the administrator.

        :returns: whether there was a candidate
        """
        candidate = self.candidate
        if candidate is None:
            return False
        with self._store.work() as work:
            work.documents.put(_CURRENT, candidate.to_json().decode(), now=now)
            _forget(work)
        return True

    def failed(self, most: int) -> bool:
        """The candidate was not reached.

        :param most: so often, then it is given up
        :returns: whether that was the last time
        """
        with self._store.work() as work:
            failures = int(work.state.get(_FAILURES) or 0) + 1
            work.state.put(_FAILURES, str(failures))
            if failures >= most:
                _forget(work)
        return failures >= most

    def _get(self, name: str) -> Administrator | None:
        with self._store.view() as view:
            document = view.documents.get(name)
        return None if document is None else Administrator.model_validate_json(document.text)


def _forget(work: Transaction) -> None:
    work.documents.remove(_CANDIDATE)
    work.state.remove(_FAILURES)


def _complaints(administrator: Administrator) -> Iterable[str]:
    for purpose, certificates in ((Purpose.TLS, administrator.tls), (Purpose.SIG, administrator.sig)):
        for certificate in certificates:
            if reason := misuse(certificate, purpose):
                yield f"a certificate for {purpose.value} does not fit: {reason}"
