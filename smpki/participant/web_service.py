"""The web service of a CA (TR-03129-4), as a participant calls it."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from smpki.errors import SmpkiError
from smpki.participant.exchange import Address, Line, line
from smpki.participant.refusals import refusal
from smpki.soap.faults import FaultCode, PeerFault
from smpki.soap.messages import (
    Answer,
    CertificateRevocationRequest,
    CertType,
    GetCertificateChain,
    GetServiceStatus,
    Request,
    RequestCertificate,
    ReturnCode,
    UpdateDeviceAdmin,
)
from smpki.soap.write import write_request
from smpki.tls.endpoint import Endpoint

_UNSENT = frozenset({"tls.transport.unreachable", "tls.handshake.timeout"})
"""The service was not reached: no message has left."""

_PASSING = frozenset(
    {
        *("web_service.timeout", "web_service.connection", "web_service.unavailable"),
        *("tls.transport.lost", "tls.truncated"),
        *("web_service.failure_internal_error", "web_service.failure_other_error"),
    }
)
"""The next try may do better; whether the message was acted on is not known."""


@dataclass(frozen=True)
class Patience:
    """How long a service is waited for.

    :param seconds: for one message, from the connection to the last octet of its answer
    :param tries: at most
    :param first: seconds between the first try and the second; they double with each further one
    :param longest: that they grow to
    """

    seconds: float = 60.0
    tries: int = 4
    first: float = 1.0
    longest: float = 30.0

    def pause(self, tries: int) -> float:
        """Seconds to wait after so many tries."""
        return min(self.longest, self.first * 2.0 ** (tries - 1))


PATIENCE = Patience()
"""What holds where nothing else is said."""


class WebService:
    """Asks a CA's web service. :func:`web_service` makes it.

    What changes nothing when it comes twice is tried again as long as it may help: a request package, which gets the
    same certificates again, and a question for a chain. Anything else only while it has not left this side.
    """

    def __init__(self, line: Line, patience: Patience, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._line = line
        self._patience = patience
        self._sleep = sleep

    @property
    def url(self) -> str:
        """Where it is."""
        return self._line.address.url

    async def request_certificates(
        self, package: bytes, *, message_id: str | None = None, cert_type: CertType | None = None
    ) -> tuple[bytes, ...] | None:
        """Ask for the certificates of a request package (RequestCertificate).

        :param package: DER, base64 or PEM, as :func:`smpki.requests.submission.read_submission` takes it
        :param message_id: see :func:`message_id_of`; lets the service answer later, by SendCertificates
        :param cert_type: what is asked for, for the header
        :return: the certificates, DER; ``None``: it answers later
        :raises RequestError: it is refused, see :func:`smpki.participant.refusals.refusal`
        :raises SmpkiError: ``web_service.*``, ``tls.*``, ``soap.*``: there is no answer that could be used
        """
        request = RequestCertificate(package, message_id, cert_type)
        answer = await self._ask(request, again=True)
        if answer.code is ReturnCode.OK_SYNTAX and message_id is not None:
            return None
        return self._certificates(request, answer)

    async def certificate_chain(self, issuer: str) -> tuple[bytes, ...]:
        """Ask for the CAs above a certificate, the highest first, link certificates included (GetCertificateChain).

        :param issuer: the certificate's issuer: ``CN=..., O=..., C=..., serialNumber=...``
        :raises SmpkiError: as :meth:`request_certificates`
        """
        request = GetCertificateChain(issuer)
        return self._certificates(request, await self._ask(request, again=True))

    async def revoke(self, request: bytes) -> None:
        """Bring a signed request to revoke, suspend or resume (CertificateRevocationRequest).

        :param request: as :func:`smpki.participant.acts.revocation_request` makes it
        :raises SmpkiError: as :meth:`request_certificates`
        """
        await self._bring(CertificateRevocationRequest(request))

    async def update_device_admin(self, request: bytes) -> None:
        """Bring a signed notice that gateways get another administrator (UpdateDeviceAdmin).

        :param request: as :func:`smpki.participant.acts.device_admin` makes it
        :raises SmpkiError: as :meth:`request_certificates`
        """
        await self._bring(UpdateDeviceAdmin(request))

    async def check_status(self) -> None:
        """Ask, once, whether the service and the CA behind it work (GetServiceStatus).

        :raises SmpkiError: ``web_service.failure_other_error``: the CA does not; as :meth:`request_certificates`
        """
        request = GetServiceStatus(secrets.token_hex(16))
        self._received(request, await self._line.ask(request.operation, write_request(request)))

    async def _bring(self, request: CertificateRevocationRequest | UpdateDeviceAdmin) -> None:
        self._received(request, await self._ask(request, again=False))

    async def _ask(self, request: Request, *, again: bool) -> Answer:
        """Ask until there is an answer, or no use in asking.

        :param again: the request changes nothing when it comes twice
        """
        message = write_request(request)
        tries = 0
        while True:
            tries += 1
            try:
                answer = await self._line.ask(request.operation, message)
                if answer.code in (ReturnCode.FAILURE_INTERNAL_ERROR, ReturnCode.FAILURE_OTHER_ERROR):
                    raise refusal(request.operation, answer, self.url)
                return answer
            except SmpkiError as error:
                may_help = error.code in _UNSENT or (again and _is_passing(error))
                if not may_help or tries >= self._patience.tries:
                    raise
            await self._sleep(self._patience.pause(tries))

    def _certificates(self, request: Request, answer: Answer) -> tuple[bytes, ...]:
        if answer.code is not ReturnCode.OK_CERT_AVAILABLE:
            raise refusal(request.operation, answer, self.url)
        return answer.certificates

    def _received(self, request: Request, answer: Answer) -> None:
        if answer.code is not ReturnCode.OK_RECEIVED_CORRECTLY:
            raise refusal(request.operation, answer, self.url)


@asynccontextmanager
async def web_service(
    url: str,
    endpoint: Endpoint,
    patience: Patience = PATIENCE,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[WebService]:
    """A CA's web service, as long as the context lasts.

    :param endpoint: of a TLS client that shows our TLS certificate and checks that of the CA
    :raises ServiceError: ``web_service.url``
    """
    async with line(Address.parse(url), endpoint, patience.seconds) as opened:
        yield WebService(opened, patience, sleep)


def message_id_of(package: bytes) -> str:
    """A messageID that is a package's own: whoever sends it again, after whatever crash, sends the same message
    (TR-03129-4 section 2.2.1).

    :return: 32 hexadecimal digits
    """
    return hashlib.sha256(package).hexdigest()[:32]


def _is_passing(error: SmpkiError) -> bool:
    return error.code in _PASSING or (isinstance(error, PeerFault) and error.fault.code is FaultCode.SERVER)
