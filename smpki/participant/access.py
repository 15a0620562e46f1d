"""How somebody reaches the web service of its CA."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from smpki.participant.own_ca import OwnCa
from smpki.participant.web_service import PATIENCE, Patience, WebService, web_service
from smpki.tls.identity import Identity


@dataclass(frozen=True)
class Access:
    """Where a CA's web service is, who asks, and whom it takes for the CA.

    :param identity: own TLS certificate and key
    """

    url: str
    identity: Identity
    ca: OwnCa
    patience: Patience = PATIENCE

    def open(self) -> AbstractAsyncContextManager[WebService]:
        """The service, for as long as the context lasts.

        :raises ServiceError: ``web_service.url``
        """
        return web_service(self.url, self.ca.client(self.identity), self.patience)
