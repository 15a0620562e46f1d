"""Metrics in the form of Prometheus: a registry of its own, and figures that are looked up when they are asked for."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from smpki.errors import SmpkiError
from smpki.events import LogEvent, why
from smpki.policy.names import DistinguishedName

Look = Callable[[], Iterable[Metric]]
"""Looks figures up, in the store for instance; may raise :class:`SmpkiError`."""

log = logging.getLogger("smpki.service")

_DAY = 86_400.0


@dataclass(frozen=True)
class Deadline:
    """Something that ends.

    :param what: ``certificate`` or ``crl``
    :param kind: type of the certificate, or of the one whose key signs the CRL
    :param name: its holder's CN
    :param number: serialNumber of that name; ``None`` where it has none
    """

    what: str
    kind: str
    name: str
    number: int | None
    ends: datetime


def own_deadline(certificate: x509.Certificate) -> Deadline:
    """The end of a server's own TLS certificate."""
    name = DistinguishedName.from_x509(certificate.subject)
    return Deadline("certificate", "tls", name.common_name, name.serial_number, certificate.not_valid_after_utc)


def new_registry() -> CollectorRegistry:
    """A registry that has the process's own figures: processor time, memory, open files, start."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def days_left(deadlines: Iterable[Deadline], now: datetime) -> Iterator[Metric]:
    """How many days are left of certificates and CRLs; negative once they are over."""
    labels = ("kind", "name", "number")
    families = {
        "certificate": GaugeMetricFamily("smpki_certificate_days_left", "Days to a certificate's end.", labels=labels),
        "crl": GaugeMetricFamily("smpki_crl_days_left", "Days to nextUpdate of the CRL in force.", labels=labels),
    }
    for one in deadlines:
        place = (one.kind, one.name, "" if one.number is None else str(one.number))
        families[one.what].add_metric(place, (one.ends - now).total_seconds() / _DAY)
    return iter(families.values())


class LookedUp(Collector):
    """Figures that are looked up when somebody asks, at most once in a while; what was found last counts meanwhile.

    :param clock: monotonic, in seconds
    :param keep: seconds for which an answer counts
    """

    def __init__(self, looks: Iterable[Look], clock: Callable[[], float], keep: float = 10.0) -> None:
        self._looks = tuple(looks)
        self._clock = clock
        self._keep = keep
        self._lock = threading.Lock()
        self._found: tuple[float, list[Metric]] | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing: to register is not yet to look."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The figures; where a look fails they are missing, and ``smpki_looks_failed`` counts that."""
        with self._lock:
            now = self._clock()
            if self._found is None or now >= self._found[0] + self._keep:
                self._found = now, self._look()
            return self._found[1]

    def _look(self) -> list[Metric]:
        found: list[Metric] = []
        failed = 0
        for look in self._looks:
            try:
                found += look()
            except SmpkiError as error:
                failed += 1
                log.warning(LogEvent("metrics.failed", "figures for metrics can't be looked up", **why(error)))
        help = "Looks for figures, such as into the database, that fail now."
        return [*found, GaugeMetricFamily("smpki_looks_failed", help, value=failed)]
