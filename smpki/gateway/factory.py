"""A factory's run: many gateways at a time, each from its device id to its signed delivery record.

Worker: token, keys, package; office: authorise it; issuer: certificates; worker: install them; office: sign the record.
The office is in this process, for the manufacturer's key is. Certificates are asked for, and records finished, of many
gateways at once, so that what a batch costs is shared.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import SmpkiError
from smpki.gateway.crew import Crew
from smpki.gateway.delivery_record import DeliveryRecord, Module
from smpki.gateway.factory_office import Office
from smpki.gateway.provisioning import Issuance, Issuer
from smpki.gateway.workbench import Prepared, Workbench
from smpki.policy.device_id import DeviceId

_EACH_WORKERS = 16
"""Gateways in the making for each worker, so that neither they nor the issuer wait."""
_BATCHES = 4
"""In so many parts the issuer and the disk get them."""


@dataclass(frozen=True)
class Report:
    """What became of a gateway.

    :param state: ``provisioned`` now, ``known``: delivered by an earlier run, or ``failed``
    :param record: of its delivery
    :param error: why it failed; the next run takes up what is there
    """

    device: DeviceId
    state: Literal["provisioned", "known", "failed"]
    record: DeliveryRecord | None = None
    error: SmpkiError | None = None


def make_gateways(
    devices: Iterable[DeviceId], office: Office, issuer: Issuer, crew: Crew[Workbench]
) -> Iterator[Report]:
    """Make gateways, or take them up where an earlier run left them.

    :param devices: each once
    :return: a report for each, in the order in which they are done
    :raises SmpkiError: what keeps the issuer from working
    """
    with ThreadPoolExecutor(1) as counter:
        yield from _Run(office, issuer, crew, counter).reports(iter(devices))


@dataclass(frozen=True)
class _Ordered:
    """A gateway whose package is authorised."""

    device: DeviceId
    package: bytes


class _Run:
    def __init__(self, office: Office, issuer: Issuer, crew: Crew[Workbench], counter: ThreadPoolExecutor) -> None:
        self._office = office
        self._issuer = issuer
        self._crew = crew
        self._counter = counter
        self._under_way: dict[Future[Any], Callable[[Future[Any]], Iterator[Report]]] = {}
        self._room = _EACH_WORKERS * crew.size
        self._batch = -(-self._room // _BATCHES)
        self._in_the_making = 0
        self._in_preparation = 0
        self._ordered: list[_Ordered] = []
        self._drafted: list[DeliveryRecord] = []
        self._counter_is_busy = False

    def reports(self, devices: Iterator[DeviceId]) -> Iterator[Report]:
        while True:
            while self._in_the_making < self._room and (device := next(devices, None)):
                self._in_the_making += 1
                yield from self._reported(device, partial(self._begin, device))
            self._order()
            if not self._under_way and not self._drafted:
                self._office.settle()
                return
            if len(self._drafted) >= self._batch or not self._under_way:
                yield from self._deliver()
            done, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
            for future in done:
                yield from self._under_way.pop(future)(future)

    def _begin(self, device: DeviceId) -> Report | None:
        if (record := self._office.delivered(device)) is not None:
            return Report(device, "known", record)
        self._in_preparation += 1
        future = self._crew.submit(Workbench.prepare, device)
        self._under_way[future] = lambda future: self._reported(device, partial(self._prepared, device, future))
        return None

    def _prepared(self, device: DeviceId, future: Future[Prepared]) -> None:
        self._in_preparation -= 1
        prepared = future.result()
        package = prepared.package
        if not prepared.authorised:
            package = self._office.authorise(device, package)
        self._ordered.append(_Ordered(device, package))

    def _order(self) -> None:
        enough = len(self._ordered) >= self._batch or not self._in_preparation
        if self._ordered and enough and not self._counter_is_busy:
            batch, self._ordered = self._ordered, []
            self._counter_is_busy = True
            future = self._counter.submit(self._issue, [one.package for one in batch])
            self._under_way[future] = partial(self._issued, batch)

    def _issue(self, packages: Sequence[bytes]) -> Sequence[Issuance]:
        self._office.settle()  # a package that was granted, and its keys, must not be gone
        return self._issuer.issue(packages)

    def _issued(self, batch: Sequence[_Ordered], future: Future[Sequence[Issuance]]) -> Iterator[Report]:
        self._counter_is_busy = False
        for ordered, issuance in zip(batch, future.result(), strict=True):
            yield from self._reported(ordered.device, partial(self._answered, ordered, issuance))

    def _answered(self, ordered: _Ordered, issuance: Issuance) -> Report | None:
        if issuance.error is not None:
            self._office.refused(ordered.device)
            return Report(ordered.device, "failed", error=issuance.error)
        certificates, chain = _encoded(issuance.certificates), _encoded(issuance.chain)
        future = self._crew.submit(Workbench.complete, ordered.device, certificates, chain)
        self._under_way[future] = lambda future: self._reported(
            ordered.device, partial(self._completed, ordered, issuance, future)
        )
        return None

    def _completed(self, ordered: _Ordered, issuance: Issuance, future: Future[Module]) -> None:
        self._drafted.append(self._office.draft(ordered.device, ordered.package, issuance, future.result()))

    def _deliver(self) -> Iterator[Report]:
        self._office.settle()
        for record in self._drafted:
            yield from self._reported(record.gateway.id, partial(self._finish, record))
        self._drafted.clear()

    def _finish(self, record: DeliveryRecord) -> Report:
        self._office.finish(record.gateway.id)
        return Report(record.gateway.id, "provisioned", record)

    def _reported(self, device: DeviceId, step: Callable[[], Report | None]) -> Iterator[Report]:
        """Take a step, and say what became of the gateway if that is known by then."""
        try:
            report = step()
        except SmpkiError as error:
            report = Report(device, "failed", error=error)
        if report is not None:
            self._in_the_making -= 1
            yield report


def _encoded(certificates: Sequence[x509.Certificate]) -> list[bytes]:
    return [one.public_bytes(Encoding.DER) for one in certificates]
