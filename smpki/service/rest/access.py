"""Who asks: by token on the people's port, by TLS certificate on the mutual-TLS port."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from fastapi import Request

from smpki.ca.pki import Pki
from smpki.errors import ServiceError
from smpki.service.accounts.accounts import Accounts, throttled
from smpki.service.accounts.actor import Actor, Role
from smpki.service.web.senders import Senders
from smpki.tls.http_server import peer_chain

Access = Callable[[Request], Actor]
"""Says who asks; blocks; raises why it is nobody."""

_WINDOW = timedelta(minutes=1)
_MOST_ADDRESSES = 10_000


class Throttle:
    """How often something may happen from one address, such as wrong tokens.

    :param most: within a minute
    """

    def __init__(self, clock: Callable[[], datetime], most: int = 30) -> None:
        self._clock = clock
        self._most = most
        self._counts: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def count(self, request: Request) -> None:
        """It happened again.

        :raises ServiceError: ``service.account.throttled``
        """
        address = request.client.host if request.client else ""
        now = self._clock()
        since, number = self._counts.pop(address, (now, 0))
        if now - since >= _WINDOW:
            since, number = now, 0
        self._counts[address] = since, number + 1
        while len(self._counts) > _MOST_ADDRESSES:
            self._counts.popitem(last=False)
        if number >= self._most:
            raise throttled((since + _WINDOW - now).total_seconds())


class ByToken:
    """Knows accounts by their tokens (RFC 6750)."""

    def __init__(self, accounts: Accounts, throttle: Throttle) -> None:
        self._accounts = accounts
        self._throttle = throttle

    def __call__(self, request: Request) -> Actor:
        """Whose token it is.

        :raises ServiceError: ``service.account.credentials.*``, ``service.account.throttled``
        """
        given = request.headers.get("authorization", "")
        scheme, _, secret = given.partition(" ")
        if not given:
            message, hint = "there is no token with the request", "Authorization: Bearer TOKEN"
            raise ServiceError("service.account.credentials.missing", message, where="Authorization", hint=hint)
        actor = self._accounts.token(secret.strip()) if scheme.lower() == "bearer" else None
        if actor is None:
            self._throttle.count(request)  # who has one that holds never waits
            message, hint = "this token does not hold: it never did, has expired, or was ended", "ask for another one"
            raise ServiceError("service.account.credentials.token", message, where="Authorization", hint=hint)
        return actor


class ByCertificate:
    """Knows participants by their TLS certificates."""

    def __init__(self, pki: Pki) -> None:
        self._senders = Senders(pki)

    def __call__(self, request: Request) -> Actor:
        """Whose certificate it is.

        :raises ServiceError: ``service.unauthorised.*``, ``service.not_accepted.*``
        """
        return certificate_actor(self._senders, request.scope)


def certificate_actor(senders: Senders, scope: Mapping[str, object]) -> Actor:
    """Who is at the other end of a connection with mutual TLS."""
    chain = peer_chain(scope)
    if not chain:
        message, hint = "there is no certificate with the connection", "connect with a TLS certificate of this PKI"
        raise ServiceError("service.account.credentials.missing", message, hint=hint)
    sender = senders.find(chain[0])
    if sender.registration is None:
        message, hint = "the participant is not registered", "register first: POST /api/v1/registrations"
        raise ServiceError("service.not_accepted.unregistered", message, where=sender.name.common_name, hint=hint)
    name = sender.name.common_name
    return Actor(0, name, Role.PARTICIPANT, sender.key, name)
