"""ADMIN-SERVICE: what gateways tell, each thing once."""

from smpki.errors import StoreError
from smpki.gateway.api import NOTIFY, Notification
from smpki.gateway.http_message import Request, Response
from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.rate_limit import RateLimit
from smpki.gateway.rest import missing
from smpki.policy.device_id import DeviceId
from smpki.policy.text import visible
from smpki.service.administrator.chronicle import Chronicle
from smpki.service.administrator.pace import Pace
from smpki.service.administrator.store.store import AdministratorStore

_LONGEST = 2_000
"""Characters of a text that are kept."""


class Reception:
    """A handler for :class:`smpki.gateway.http_rules.Service`.

    :param rate: notifications of one gateway a minute, and as many at once; more have to come later
    :param keep: of one gateway, the latest
    """

    def __init__(
        self,
        store: AdministratorStore,
        chronicle: Chronicle,
        *,
        pace: Pace,
        rate: int,
        keep: int,
    ) -> None:
        self._store, self._chronicle = store, chronicle
        self._pace, self._rate, self._keep = pace, rate, keep
        self._rates: dict[DeviceId, RateLimit] = {}

    async def __call__(self, request: Request) -> Response:
        """Take a notification; durable when it is answered, with 201 when it is new, 204 when it was there.

        :raises HttpRefusal: 403 ``gwa.notify.sender``; 404 and 405; 415 and 422 for what is no notification; 503
            ``gwa.notify.flood``, ``store.*``
        """
        if request.path != NOTIFY:
            raise missing(request.path)
        if request.method != "POST":
            hint = "use POST"
            raise HttpRefusal(
                405, "http.method", f"{request.method} is not for this", hint=hint, fields={"allow": "POST"}
            )
        try:
            gateway = self._sender(request)
            self._limit(gateway)
            told = request.json(Notification)
            told = told.model_copy(update={"text": visible(told.text)[:_LONGEST], "event": visible(told.event)[:100]})
            with self._store.work() as work:
                is_new = work.journal.notified(gateway, told, now=self._pace.now(), keep=self._keep)
        except StoreError as error:
            raise HttpRefusal(503, error.code, error.message, hint="try again later") from None
        return Response(201 if is_new else 204)

    def _sender(self, request: Request) -> DeviceId:
        """Who tells it, if it is let in: that may have changed since the handshake."""
        with self._store.view() as view:
            peer = view.gateways.peer(request.peer[0]) if request.peer else None
        if peer is None or peer.state != "active":
            raise HttpRefusal(403, "gwa.notify.sender", "this gateway is not let in", hint="see its administrator")
        return peer.gateway

    def _limit(self, gateway: DeviceId) -> None:
        """Enough of one gateway for now."""
        if gateway not in self._rates:
            self._rates[gateway] = RateLimit(self._rate / 60, self._rate, self._pace.monotonic)
        about = "notify", gateway
        if self._rates[gateway].take():
            self._chronicle.fine(about, "gwa.notify", "its notifications are taken again", gateway)
            return
        refusal = HttpRefusal(503, "gwa.notify.flood", "too many notifications", hint="tell the rest later")
        self._chronicle.trouble(about, refusal, "notifications are put off", gateway)
        raise refusal
