"""What is counted of a web service, for Prometheus (docs/operation.md)."""

from collections.abc import Callable, Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

from smpki.errors import SmpkiError
from smpki.service.web.application import Answered
from smpki.service.web.callbacks import Callbacks
from smpki.service.web.granting import Granting, Wish
from smpki.service.web.peers import Peers
from smpki.service.web.senders import Sender
from smpki.service.web.store.queue import RequestQueue, State
from smpki.soap.messages import Answer, RequestCertificate
from smpki.tls.identity import Identity

_SIGNATURE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ANSWER_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class WebMetrics:
    """Counts.

    :param registry: has them
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answered = Counter(
            "smpki_messages", "Messages that were answered.", ("operation", "code"), registry=registry
        )
        self._refused = Counter(
            "smpki_refused", "Messages that were refused, by rule.", ("operation", "code", "rule"), registry=registry
        )
        self._seconds = Histogram(
            "smpki_answer_seconds",
            "From the last octet of a message to its answer.",
            ("operation",),
            buckets=_ANSWER_SECONDS,
            registry=registry,
        )
        self._issued = Counter("smpki_issued", "Certificates that were issued.", ("type",), registry=registry)
        self._signed = Histogram(
            "smpki_signature_seconds",
            "Signatures of the CA's keys over certificates.",
            buckets=_SIGNATURE_SECONDS,
            registry=registry,
        )
        self._callbacks = Counter("smpki_callbacks", "Results that were sent.", ("result",), registry=registry)
        self._waiting = Gauge("smpki_waiting_packages", "Packages that wait to be granted.", registry=registry)
        self._connections = Gauge("smpki_connections", "TLS connections, handshakes included.", registry=registry)

    def answered(self, one: Answered) -> None:
        """Note an answer; see :data:`smpki.service.web.application.Observe`."""
        self._answered.labels(one.operation, one.code).inc()
        self._seconds.labels(one.operation).observe(one.seconds)
        if one.error:
            self._refused.labels(one.operation, one.code, one.error).inc()

    def signed(self, seconds: float) -> None:
        """Note how long a signature took."""
        self._signed.observe(seconds)

    def issued(self, kind: str, number: int) -> None:
        """Note certificates that were issued."""
        self._issued.labels(kind).inc(number)

    def sent(self, result: str) -> None:
        """Note a result that was sent: by the receiver's return code, or by the code of why it got nothing."""
        self._callbacks.labels(result).inc()

    def watch(self, waiting: Callable[[], int], connections: Callable[[], int]) -> None:
        """Show how many packages wait and how many connections there are, whenever somebody asks."""
        self._waiting.set_function(waiting)
        self._connections.set_function(connections)


class CountedGranting:
    """Grants as another does, and counts what is issued.

    See :class:`smpki.service.web.granting.Granting`.
    """

    def __init__(self, granting: Granting, metrics: WebMetrics) -> None:
        self._granting = granting
        self._metrics = metrics

    @property
    def waiting(self) -> int:
        """See :attr:`Granting.waiting`."""
        return self._granting.waiting

    def examine(self, request: RequestCertificate, sender: Sender) -> Wish:
        """See :meth:`Granting.examine`."""
        return self._granting.examine(request, sender)

    async def grant(self, wish: Wish) -> tuple[bytes, ...]:
        """See :meth:`Granting.grant`."""
        certificates = await self._granting.grant(wish)
        if not wish.granted:
            self._metrics.issued(wish.kind.value, len(certificates))
        return certificates


class CountedCallbacks(Callbacks):
    """Sends results, and counts them.

    :param metrics: has the counts
    """

    def __init__(self, identity: Identity, peers: Peers, clock: Callable[[], datetime], metrics: WebMetrics) -> None:
        super().__init__(identity, peers, clock)
        self._metrics = metrics

    async def send(self, url: str, role: str, subject_key: str, message: bytes) -> Answer:
        """See :meth:`Callbacks.send`."""
        try:
            answer = await super().send(url, role, subject_key, message)
        except SmpkiError as error:
            self._metrics.sent(error.code)
            raise
        self._metrics.sent(answer.code)
        return answer


def queue_lengths(queue: RequestQueue, authority: str) -> Iterable[Metric]:
    """How many requests of the queue are in each state; those that are delivered are not counted.

    :param authority: the CA's CN
    :raises StoreError: the database failed
    """
    family = GaugeMetricFamily("smpki_queue_requests", "Requests that are answered later.", labels=("state",))
    found = queue.lengths(authority)
    for state in State:
        if state is not State.DELIVERED:
            family.add_metric((state.value,), found.get(state.value, 0))
    return (family,)
