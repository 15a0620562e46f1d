"""Results on their way to who asked for them: SendCertificates to the registered URL, over mutual TLS."""

from collections.abc import Callable
from datetime import datetime

from smpki.participant.exchange import Address, line
from smpki.service.web.peers import Peers
from smpki.soap.messages import Answer, Operation
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.profile import WAN_CLIENT


class Callbacks:
    """Sends results.

    :param identity: the CA's TLS certificate and key
    :param seconds: for everything from the connection to the answer
    """

    def __init__(self, identity: Identity, peers: Peers, clock: Callable[[], datetime], seconds: float = 30.0) -> None:
        self._identity = identity
        self._peers = peers
        self._clock = clock
        self._seconds = seconds

    async def send(self, url: str, role: str, subject_key: str, message: bytes) -> Answer:
        """Send a result, once.

        :param url: of the receiver's service
        :param role: of the receiver: type of its certificates
        :param subject_key: its identity; nobody else's certificate is accepted
        :param message: a SendCertificates
        :raises SmpkiError: it can't be reached, is somebody else, or answers what is no answer
        """
        address = Address.parse(url)
        endpoint = Endpoint(WAN_CLIENT, self._identity, self._peers.check_server(role, subject_key), clock=self._clock)
        async with line(address, endpoint, self._seconds) as receiver:
            return await receiver.ask(Operation.SEND_CERTIFICATES, message)
