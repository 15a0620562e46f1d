"""What becomes of a request: the handler that checks a delivery, opens it and has it taken."""

import asyncio
import hashlib
import logging
from collections.abc import Set
from concurrent.futures import Executor
from functools import partial

from smpki.errors import SmpkiError
from smpki.events import LogEvent, Personal
from smpki.gateway.http_message import Request, Response
from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.media_type import JSON, cms, negotiate
from smpki.policy.device_id import DeviceId
from smpki.policy.text import quoted
from smpki.service.market_participant.content import lines_of, read_delivery
from smpki.service.market_participant.keyring import Keyring
from smpki.service.market_participant.ledger import Entry, Ledger, Outcome
from smpki.service.market_participant.senders import Senders

_COMPRESSED = cms("signedData", "authEnvelopedData", "compressedData")
_PLAIN = cms("signedData", "authEnvelopedData")
_SMALL = 32 * 1024  # octets; some milliseconds

log = logging.getLogger("smpki.emt")


class Reception:
    """Takes deliveries (INFO-REPORT); a handler for :class:`smpki.gateway.http_rules.Service`.

    :param path: where gateways post to
    :param recipients: what they call us
    :param content_limit: octets that a content may have that was compressed
    :param workers: threads that open messages which could take long
    """

    def __init__(
        self,
        path: str,
        recipients: Set[str],
        senders: Senders,
        keyring: Keyring,
        ledger: Ledger,
        *,
        content_limit: int,
        workers: Executor,
    ) -> None:
        self._path, self._recipients = path, recipients
        self._senders, self._keyring, self._ledger = senders, keyring, ledger
        self._content_limit, self._workers = content_limit, workers

    async def __call__(self, request: Request) -> Response:
        """Answer a request: 204 when its delivery is taken and on the disk.

        :raises HttpRefusal: 403, 404, 405, 406, 415, 422; 409 ``delivery.known``: it was taken before; 503: not now
        """
        if request.path != self._path:
            raise HttpRefusal(404, "http.path", "there is nothing here", hint="see the communication profile's URL")
        if request.method != "POST":
            message = f"{request.method} is not for deliveries"
            raise HttpRefusal(405, "http.method", message, hint="use POST", fields={"allow": "POST"})
        negotiate(request.fields.get("accept"), (JSON,))
        compressed = request.content_type(_PLAIN, _COMPRESSED).is_a(_COMPRESSED)
        gateway = self._senders.gateway(request.peer)
        try:
            if self._keyring.in_memory and not compressed and len(request.body) <= _SMALL:
                entry = self._open(request, compressed, gateway)  # threads would cost more than half as much again
            else:
                loop = asyncio.get_running_loop()
                entry = await loop.run_in_executor(self._workers, self._open, request, compressed, gateway)
            outcome = await self._ledger.take(entry)
        except HttpRefusal:
            raise
        except SmpkiError as error:  # of disk, database or token
            hint = "send it again later"
            raise HttpRefusal(503, error.code, "nothing can be taken at present", hint=hint) from None
        return _answer(entry, outcome)

    def _open(self, request: Request, compressed: bool, gateway: DeviceId) -> Entry:
        content = self._keyring.open(
            request.body,
            compressed=compressed,
            signer=partial(self._senders.signer, gateway, request.peer[1:]),
            limit=self._content_limit,
        )
        delivery = read_delivery(content)
        if delivery.gateway != gateway:
            message = "the delivery names another gateway than the one that brings it"
            raise HttpRefusal(403, "delivery.gateway", message, where="gateway", hint="name the gateway itself")
        if delivery.recipient not in self._recipients:
            message = f"the delivery is for {quoted(delivery.recipient)}, which nobody is called here"
            raise HttpRefusal(422, "delivery.recipient", message, where="recipient", hint="name this participant")
        self._senders.require_meters(gateway, (reading.meter for reading in delivery.readings))
        digest = hashlib.sha256(content).digest()
        return Entry(gateway.dns, delivery.delivery_id, digest, len(delivery.readings), lines_of(delivery))


def _answer(entry: Entry, outcome: Outcome) -> Response:
    name = f"delivery {quoted(entry.id)}"
    if outcome is Outcome.KNOWN:
        raise HttpRefusal(409, "delivery.known", f"{name} was taken before", hint="don't send it again")
    if outcome is Outcome.CHANGED:
        message = f"another content was taken before as {name}"
        raise HttpRefusal(422, "delivery.changed", message, where="delivery_id", hint="give each delivery its own id")
    facts = {"readings": entry.readings, "delivery": Personal(entry.id), "gateway": Personal(entry.gateway)}
    log.info(LogEvent("delivery.taken", "a delivery was taken", **facts))
    return Response(204)
