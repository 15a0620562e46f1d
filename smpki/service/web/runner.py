"""The queue's work: finds results and sends them, one request after another, until it is told to end."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from smpki.ca.pki import Pki
from smpki.errors import ServiceError, SmpkiError, StoreError
from smpki.events import LogEvent, Personal, why
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.service.web.callbacks import Callbacks
from smpki.service.web.granting import Granting
from smpki.service.web.senders import Sender
from smpki.service.web.store.queue import QueuedRequest, RequestQueue, State
from smpki.service.web.store.registry import Registry
from smpki.soap.codes import explanation, status_info
from smpki.soap.messages import Operation, RequestCertificate, ReturnCode, SendCertificates
from smpki.soap.read import read_request
from smpki.soap.write import write_request

_TAKEN = (ReturnCode.OK_RECEIVED_CORRECTLY, ReturnCode.FAILURE_MESSAGE_ID_UNKNOWN)
_OURS = (ReturnCode.FAILURE_INTERNAL_ERROR, ReturnCode.FAILURE_OTHER_ERROR)

log = logging.getLogger("smpki.service")


@dataclass(frozen=True)
class Pace:
    """How fast the queue is worked at.

    :param abreast: requests that are seen to at the same time; one may wait for a host that is dead
    :param look: seconds between two looks into an empty queue
    :param lease: how long a request belongs to who took it; longer than all work on it
    :param first: pause after the first failure; it doubles with each further one
    :param longest: that it grows to
    :param tries: after so many a result is given up
    """

    abreast: int = 4
    look: float = 1.0
    lease: timedelta = timedelta(minutes=2)
    first: timedelta = timedelta(seconds=10)
    longest: timedelta = timedelta(hours=1)
    tries: int = 100

    def pause(self, failures: int) -> timedelta:
        """How long to wait after so many failures."""
        return min(self.longest, self.first * (1 << min(failures, 20)))


class Runner:
    """Works at the queue of one CA.

    :param authority: the CA's CN
    """

    def __init__(self, pki: Pki, authority: str, granting: Granting, callbacks: Callbacks, pace: Pace) -> None:
        self._pki = pki
        self._authority = authority
        self._granting = granting
        self._callbacks = callbacks
        self._pace = pace
        self._queue = pki.store.beside(RequestQueue)
        self._registry = pki.store.beside(Registry)

    async def run(self) -> None:
        """Work until cancelled; what fails is tried again."""
        while True:
            try:
                found = await self.step()
            except SmpkiError as error:
                log.error(LogEvent("queue.rests", "web service: the queue rests", **why(error)))
                found = False
            except Exception:
                log.exception(LogEvent("queue.failed", "web service: the queue failed"))
                found = False
            if not found:
                await asyncio.sleep(self._pace.look)

    async def step(self) -> bool:
        """See to one request that is due.

        :return: whether there was one
        :raises StoreError: the database failed
        """
        one = await self._take()
        if one is None:
            return False
        try:
            if one.state is State.WAITING:
                await self._find_result(one)
            else:
                await self._send_result(one)
        except asyncio.CancelledError:
            with suppress(StoreError):  # it is free again when the lease is over
                self._queue.release(one)
            raise
        return True

    async def _take(self) -> QueuedRequest | None:
        """Take a request; who is told to end meanwhile gives it back, or nobody could take it for a while."""
        taking = asyncio.ensure_future(asyncio.to_thread(self._queue.take, self._authority, self._pace.lease))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            with suppress(StoreError):
                if one := await taking:
                    self._queue.release(one)
            raise

    async def _find_result(self, one: QueuedRequest) -> None:
        try:
            certificates = await self._grant(one)
        except SmpkiError as error:
            status = status_info(error, Operation.REQUEST_CERTIFICATE)
            if status in _OURS:
                await self._postpone(one, str(error), error.code)
                return
            result = refusal_of(one, status, explanation(error))
        else:
            result = write_request(SendCertificates(ReturnCode.OK_CERT_AVAILABLE, one.message_id, "", certificates))
        await asyncio.to_thread(self._queue.answer, one, result)

    async def _grant(self, one: QueuedRequest) -> tuple[bytes, ...]:
        request = read_request(one.request)
        if not isinstance(request, RequestCertificate):
            raise ValueError("only RequestCertificate is queued")
        registration = await asyncio.to_thread(self._registry.find, one.subject_key, one.role)
        if registration is not None and registration.blocked:
            message, hint = "the sender is registered, but blocked", "ask the operator of this CA"
            raise ServiceError("service.not_accepted.blocked", message, where=one.subject_cn, hint=hint)
        name = DistinguishedName.of(CN=one.subject_cn, O=DistinguishedName.parse(one.subject_key).get("O"))
        sender = Sender(name, CertificateType(one.role), registration)
        return await self._granting.grant(await asyncio.to_thread(self._granting.examine, request, sender))

    async def _send_result(self, one: QueuedRequest) -> None:
        registration = await asyncio.to_thread(self._registry.find, one.subject_key, one.role)
        url = registration.callback_url if registration else None
        if url is None or one.result is None:
            await asyncio.to_thread(self._queue.give_up, one, "no URL for results is registered")
            return
        try:
            answer = await self._callbacks.send(url, one.role, one.subject_key, one.result)
        except SmpkiError as error:
            await self._postpone(one, str(error), error.code)
            return
        remark = f"{answer.code} {answer.message}".strip()
        if answer.code in _TAKEN:
            await asyncio.to_thread(self._queue.delivered, one, remark)
            log.info(
                LogEvent("queue.delivered", "web service: a result was delivered", **_facts(one), code=answer.code)
            )
        else:
            await self._postpone(one, remark, answer.code)

    async def _postpone(self, one: QueuedRequest, remark: str, code: str) -> None:
        facts = {**_facts(one), "attempts": one.attempts + 1, "code": code, "why": Personal(remark)}
        log.warning(LogEvent("queue.put_back", "web service: a request is put back", **facts))
        if one.state is State.ANSWERED and one.attempts + 1 >= self._pace.tries:
            await asyncio.to_thread(self._queue.give_up, one, remark)
            return
        due_at = self._pki.clock() + self._pace.pause(one.attempts)
        await asyncio.to_thread(self._queue.postpone, one, due_at, remark)


def _facts(one: QueuedRequest) -> dict[str, object]:
    return {"request": one.id, "role": one.role, "state": one.state.value, "sender": Personal(one.subject_cn)}


def refusal_of(one: QueuedRequest, status: ReturnCode, message: str) -> bytes:
    """The SOAP message that tells who asked that it gets nothing."""
    return write_request(SendCertificates(status, one.message_id, message))
