"""The operations of TR-03129-4 as a CA answers them: a message of a known sender in, an answer out."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from smpki.ca.audited import audited
from smpki.ca.chain import chain_above, roots_and_links
from smpki.ca.issuer import Issuer
from smpki.ca.pki import Pki
from smpki.ca.unit import load
from smpki.errors import PolicyError, ServiceError
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName, same_name
from smpki.requests.any_request import read_request as read_signed_request
from smpki.service.web.entitlement import check_signed
from smpki.service.web.granting import Granting, Wish
from smpki.service.web.senders import Sender
from smpki.service.web.store.messages import Messages, NewMessage
from smpki.service.web.store.queue import NewRequest, RequestQueue, State
from smpki.soap.messages import (
    Answer,
    CertificateRevocationRequest,
    GeneralMessage,
    GetCertificateChain,
    GetServiceStatus,
    Request,
    RequestCertificate,
    ReturnCode,
    SendCertificates,
    UpdateDeviceAdmin,
)
from smpki.soap.read import read_request
from smpki.soap.write import write_request

_RECEIVED = Answer(ReturnCode.OK_RECEIVED_CORRECTLY)
_LATER = Answer(ReturnCode.OK_SYNTAX)


@dataclass(frozen=True)
class Patience:
    """What is answered later, if the sender takes callbacks.

    :param waiting: when so many packages wait already
    :param octets: when the package has more
    """

    waiting: int = 200
    octets: int = 64 * 1024


class Operations:
    """Answers messages.

    :param authority: CN of the CA that is asked
    :param issuer: the CA as it is now
    """

    def __init__(
        self, pki: Pki, authority: str, granting: Granting, patience: Patience, *, issuer: Callable[[], Issuer]
    ) -> None:
        self._pki = pki
        self._authority = authority
        self._issuer = issuer
        self._granting = granting
        self._patience = patience
        self._queue = pki.store.beside(RequestQueue)
        self._messages = pki.store.beside(Messages)

    async def answer(self, request: Request, sender: Sender) -> Answer:
        """Do what a message asks.

        :raises SmpkiError: it is refused; :mod:`smpki.soap.codes` has the code
        """
        match request:
            case RequestCertificate():
                return await self._request_certificate(request, sender)
            case GetCertificateChain(issuer):
                return await asyncio.to_thread(self._chain, issuer)
            case CertificateRevocationRequest(signed) | UpdateDeviceAdmin(signed):
                return await asyncio.to_thread(self._process, signed, sender)
            case SendCertificates():
                return await asyncio.to_thread(self._take_certificates, request, sender)
            case GeneralMessage():
                await asyncio.to_thread(self._keep, request, sender)
                return _RECEIVED
            case GetServiceStatus():
                await asyncio.to_thread(self._check_status)
                return _RECEIVED

    async def _request_certificate(self, request: RequestCertificate, sender: Sender) -> Answer:
        wish = await asyncio.to_thread(self._granting.examine, request, sender)
        if request.message_id is not None:
            before = await asyncio.to_thread(self._before, request, wish)
            if before is not None:
                return before
        if self._is_for_later(wish, request):
            held = not wish.granted and wish.kind in self._pki.policy.issuing.manual_approval.value
            await asyncio.to_thread(self._queue.put, self._queued(request, wish), held=held)
            return _LATER
        return Answer(ReturnCode.OK_CERT_AVAILABLE, certificates=await self._granting.grant(wish))

    def _is_for_later(self, wish: Wish, request: RequestCertificate) -> bool:
        possible = request.message_id is not None and wish.sender.callback_url is not None
        if not wish.granted and wish.kind in self._pki.policy.issuing.manual_approval.value:
            if not possible:
                raise ServiceError(
                    "service.synchronous",
                    f"an operator has to approve of certificates of type {wish.kind}, which takes its time",
                    where=wish.sender.name.common_name,
                    hint="send it with callback_possible, once a URL for results is registered",
                )
            return True
        crowded = self._granting.waiting >= self._patience.waiting
        return possible and (crowded or len(wish.package) > self._patience.octets)

    def _before(self, request: RequestCertificate, wish: Wish) -> Answer | None:
        """The answer to a message that was answered before: its result, if that was sent already."""
        known = self._queue.find(self._queued(request, wish))
        if known is None:
            return None
        if known.state is not State.DELIVERED or known.result is None:
            return _LATER
        result = read_request(known.result)
        if not isinstance(result, SendCertificates):
            raise ValueError("a result is a SendCertificates")
        return Answer(result.status, result.message, result.certificates)

    def _queued(self, request: RequestCertificate, wish: Wish) -> NewRequest:
        return NewRequest(
            authority=self._authority,
            subject_key=wish.sender.key,
            role=wish.sender.kind.value,
            subject_cn=wish.sender.name.common_name,
            message_id=request.message_id or "",
            digest=wish.digest,
            request=write_request(request),
        )

    def _chain(self, issuer: str) -> Answer:
        """The CA certificates up to that of the named issuer, link certificates included, the first root's first."""
        store = self._pki.store
        try:
            wanted = DistinguishedName.parse(issuer).to_x509()
        except PolicyError:
            wanted = None
        for one in reversed(store.of_kinds([CertificateType.ROOT, CertificateType.SUB_CA, CertificateType.TLS_SIGNER])):
            if wanted is not None and same_name(load(one).subject, wanted):
                found = [*roots_and_links(store, self._pki.clock()), *chain_above(store, one), one]
                chain = dict.fromkeys([each for each in found if each.serial != one.serial] + [one])
                return Answer(ReturnCode.OK_CERT_AVAILABLE, certificates=tuple(each.der for each in chain))
        raise ServiceError(
            "service.certificate.unavailable",
            "no CA with this name is known here",
            where=issuer[:200],
            hint="give the whole issuer of the certificate in question: CN=..., O=..., C=..., serialNumber=...",
        )

    def _process(self, signed: bytes, sender: Sender) -> Answer:
        name = f"web service: {sender.name.common_name}"
        with audited(self._pki.store, "process", name):
            check_signed(read_signed_request(signed), sender)
        self._pki.process(signed, name)
        return _RECEIVED

    def _take_certificates(self, request: SendCertificates, sender: Sender) -> Answer:
        if sender.kind is not CertificateType.ROOT_TLS:
            message, hint = "only the root sends certificates to a Sub-CA", "ask for certificates by RequestCertificate"
            raise ServiceError("service.unauthorised.root", message, where=sender.name.common_name, hint=hint)
        if request.message_id is not None and not self._messages.was_sent(self._authority, request.message_id):
            raise ServiceError(
                "service.message_id.unknown",
                "no request with this messageID was sent from here",
                where="messageID",
                hint="send what nobody asked for without messageID",
            )
        self._keep(request, sender)
        return _RECEIVED

    def _keep(self, request: GeneralMessage | SendCertificates, sender: Sender) -> None:
        message = write_request(request)
        self._messages.keep(
            NewMessage(
                authority=self._authority,
                subject_key=sender.key,
                subject_cn=sender.name.common_name,
                operation=request.operation.value,
                digest=hashlib.sha256(message).hexdigest(),
                message=message,
            )
        )

    def _check_status(self) -> None:
        """See that the CA could issue: its certificate, its key, token and database."""
        self._issuer().check_usable(self._pki.clock())
