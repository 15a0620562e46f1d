"""A participant's own web service: takes the results that its CA sends later (TR-03129-4 section 2.4.3)."""

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from smpki.errors import ServiceError
from smpki.participant.access import Access
from smpki.participant.granted import Granted, check_granted
from smpki.participant.own_ca import OwnCa
from smpki.participant.packages import write_whole
from smpki.participant.pending import PendingFolder, PendingRequest, result_digest
from smpki.participant.sending import store_triple
from smpki.service.web.application import Limits, SoapApplication
from smpki.soap.messages import (
    OFFERED_BY_END_USER,
    Answer,
    GeneralMessage,
    Request,
    ReturnCode,
    SendCertificates,
)
from smpki.tls.http_server import finish, http_protocol
from smpki.tls.identity import Identity
from smpki.tls.transport import Server, Timing, serve

_TAKEN = Answer(ReturnCode.OK_RECEIVED_CORRECTLY)

log = logging.getLogger("smpki.service")


class Receiver:
    """Takes what the CA sends.

    A result counts once: its triple goes to the folder that the request names, and that it has come is noted there. The
    same result again is answered as the first time.

    :param pending: what was asked
    :param news: folder for what nobody asked for: messages for people, certificates without a messageID
    :param access: to the CA at a URL, which is asked for its chain when it has changed its key
    """

    def __init__(self, pending: PendingFolder, news: Path, ca: OwnCa, access: Callable[[str], Access]) -> None:
        self._pending = pending
        self._news = news
        self._ca = ca
        self._access = access
        self._turn = asyncio.Lock()

    async def answer(self, request: Request, sender: x509.Certificate) -> Answer:
        """Do what a message asks; TLS has seen that it comes from the CA.

        :raises SmpkiError: it is not taken; :mod:`smpki.soap.codes` has the code
        """
        async with self._turn:
            if isinstance(request, SendCertificates):
                await self._take(request)
            elif isinstance(request, GeneralMessage):
                self._keep({"caller": request.caller_id, "subject": request.subject, "body": request.body})
        return _TAKEN

    async def _take(self, result: SendCertificates) -> None:
        if result.message_id is None:
            self._keep({"status": result.status.value, "message": result.message}, result.certificates)
            return
        request = self._pending.find(result.message_id)
        if request is None:
            message, hint = "nothing was asked by this messageID", "send what nobody asked for without messageID"
            raise ServiceError("service.message_id.unknown", message, where="messageID", hint=hint)
        if self._is_known(request, result):
            return
        if result.certificates:
            store_triple(request.folder, await self._checked(request, result.certificates))
        self._pending.finish(request, result.status, result.message, result.certificates)
        log.info("a result has come: %s: %s", request.message_id, result.status)

    def _is_known(self, request: PendingRequest, result: SendCertificates) -> bool:
        """Whether a result has come before. A refusal may be followed by certificates, and by nothing else."""
        if request.status is None:
            return False
        if request.digest == result_digest(result.status, result.certificates):
            return True
        if request.status is ReturnCode.OK_CERT_AVAILABLE:
            message, hint = "another result has come for this messageID", "see what was sent before"
            raise ServiceError("web_service.result.other", message, where="messageID", hint=hint)
        return not result.certificates

    async def _checked(self, request: PendingRequest, certificates: Sequence[bytes]) -> Granted:
        async def find_chain(issuer: str) -> Sequence[bytes]:
            async with self._access(request.url).open() as service:
                return await service.certificate_chain(issuer)

        return await check_granted(certificates, request.package, self._ca, find_chain)

    def _keep(self, news: Mapping[str, str], certificates: Sequence[bytes] = ()) -> None:
        """Keep news; the same again are kept once."""
        value = {**news, "certificates": [base64.b64encode(one).decode() for one in certificates]}
        content = json.dumps(value, indent=2, ensure_ascii=False).encode()
        file = self._news / f"{hashlib.sha256(content).hexdigest()[:32]}.json"
        if not file.exists():
            write_whole(file, content)
            log.info("the CA has sent news: %s", file)


@dataclass(frozen=True)
class ReceiverSettings:
    """How a receiver is run.

    :param host: address to listen at
    :param port: 0: a free one
    :param connections: at a time
    :param end: seconds for answers under way when it ends
    """

    host: str
    port: int
    connections: int = 100
    end: float = 20.0
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)


@asynccontextmanager
async def receiving(
    receiver: Receiver, ca: OwnCa, identity: Identity, settings: ReceiverSettings
) -> AsyncIterator[Server]:
    """Receive as long as the context lasts; only the CA gets in.

    :param identity: our TLS certificate and key
    :raises TlsError: ``tls.transport.listen``
    """
    application = SoapApplication(receiver.answer, OFFERED_BY_END_USER, settings.limits)
    server = await serve(
        http_protocol(application, patience=settings.limits.seconds),
        ca.server(identity),
        settings.host,
        settings.port,
        timing=settings.timing,
        most=settings.connections,
    )
    try:
        yield server
    finally:
        await finish(server, settings.end)
