"""Certificates for who asks: triples at a Sub-CA, a Sub-CA's own at the root."""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Protocol

from smpki.ca.audited import audited
from smpki.ca.permit import key_hash
from smpki.ca.pki import Pki
from smpki.ca.sub_ca_requests import read_requests
from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.triples import Order, Outcome
from smpki.policy.model import CertificateType
from smpki.policy.names import CommonName
from smpki.requests.submission import read_submission
from smpki.service.web.counter import Counter
from smpki.service.web.entitlement import check_cert_type, check_package
from smpki.service.web.senders import Sender
from smpki.soap.messages import RequestCertificate

IN_PROGRESS = ("issuing.subject.in_progress", "issuing.package.in_progress")
PAUSES = (0.1, 0.3, 1.0)
"""Seconds to wait for another process that is issuing to the same subject."""


@dataclass(frozen=True)
class Wish:
    """What somebody asks for, who may ask for it.

    :param kind: type of the certificates
    :param digest: what identifies the request, hexadecimal
    :param granted: the same request was granted before
    """

    sender: Sender
    package: bytes
    kind: CertificateType
    digest: str
    granted: bool


class Granting(Protocol):
    """How a CA grants requests."""

    @property
    def waiting(self) -> int:
        """How many requests wait to be granted."""

    def examine(self, request: RequestCertificate, sender: Sender) -> Wish:
        """See what a request is for, and whether the sender may ask for it; a refusal is audited.

        :raises SmpkiError: it is refused
        """

    async def grant(self, wish: Wish) -> tuple[bytes, ...]:
        """Grant it, or find what was granted for it before; a refusal is audited.

        :return: the certificates, DER
        :raises SmpkiError: it is refused, or can't be granted now
        """


class SubCaGranting:
    """A Sub-CA grants end users their triples."""

    def __init__(self, pki: Pki, counter: Counter) -> None:
        self._pki = pki
        self._counter = counter

    @property
    def waiting(self) -> int:
        """See :attr:`Granting.waiting`."""
        return self._counter.length

    def examine(self, request: RequestCertificate, sender: Sender) -> Wish:
        """See :meth:`Granting.examine`."""
        with audited(self._pki.store, "issue", _name(sender)):
            submission = read_submission(request.package)
            kind = check_package(submission, request.cert_type, sender)
        digest = submission.digest.hex()
        granted = bool(self._pki.store.issued_for(digest))
        return Wish(sender, request.package, kind, digest, granted)

    async def grant(self, wish: Wish) -> tuple[bytes, ...]:
        """See :meth:`Granting.grant`."""
        order = Order(_name(wish.sender), wish.package, wish.kind)
        outcome = await self._ask(order)
        for pause in PAUSES:
            if outcome.error is None or outcome.error.code not in IN_PROGRESS:
                break
            await asyncio.to_thread(self._pki.store.recover)  # the other process may be dead, or this one gave it up
            await asyncio.sleep(pause)
            outcome = await self._ask(order)
        if outcome.error is not None:
            raise outcome.error
        return tuple(one.der for one in outcome.certificates)

    async def _ask(self, order: Order) -> Outcome:
        return await asyncio.wrap_future(self._counter.submit(order))


class RootGranting:
    """The root renews Sub-CAs that run elsewhere.

    certReq holds the two PKCS#10 requests of :func:`smpki.ca.sub_ca_requests.read_requests`: the form of a Sub-CA's own
    request is not in the public texts.
    """

    waiting = 0

    def __init__(self, pki: Pki) -> None:
        self._pki = pki

    def examine(self, request: RequestCertificate, sender: Sender) -> Wish:
        """See :meth:`Granting.examine`."""
        with audited(self._pki.store, "issue-sub-ca", _name(sender)):
            check_cert_type(CertificateType.SUB_CA, request.cert_type)
            requests = read_requests(request.package)
        hashes = {key_hash(one.public_key) for one in (requests.ca, requests.tls)}
        granted = self._pki.store.held_keys(hashes) == hashes
        digest = hashlib.sha256(request.package).hexdigest()
        return Wish(sender, request.package, CertificateType.SUB_CA, digest, granted)

    async def grant(self, wish: Wish) -> tuple[bytes, ...]:
        """See :meth:`Granting.grant`; who asks gets what is its own, whatever the requests say."""
        name = wish.sender.name
        order = SubCaOrder(CommonName.parse(name.common_name).stem, name.get("C") or "DE", renew=True)
        await asyncio.to_thread(self._pki.store.recover)  # what a dead process holds, such as this name
        issued = await asyncio.to_thread(self._pki.certify_sub_ca, order, wish.package)
        return tuple(one.der for one in issued)


def _name(sender: Sender) -> str:
    """What the audit calls a request."""
    return f"web service: {sender.name.common_name}"
