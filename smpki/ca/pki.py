"""The PKI as its operator sees it: one object per process that holds store, keys, policy and clock together."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from smpki.ca.audited import audited
from smpki.ca.authorities import Authorities
from smpki.ca.crl import CrlDesk
from smpki.ca.installing import Installed, Installer
from smpki.ca.making import Maker
from smpki.ca.permit import Preparer
from smpki.ca.processing import Processed, ProcessingDesk
from smpki.ca.revocation import RevocationDesk
from smpki.ca.roots import Roots
from smpki.ca.serials import SerialNumbers
from smpki.ca.store.records import StoredCertificate
from smpki.ca.store.store import Store
from smpki.ca.sub_ca_requests import read_requests
from smpki.ca.sub_cas import SubCaOrder, SubCas
from smpki.ca.triples import Order, Outcome, TripleDesk
from smpki.hsm.keystore import KeyStore
from smpki.policy.model import EnvironmentName, Policy


@dataclass(frozen=True)
class Pki:
    """A PKI in operation.

    :param policy: the Certificate Policy in force
    :param environment: ``test`` or ``production``
    :param store: what the CA remembers
    :param keys: where the CA's keys are
    :param clock: the time now, timezone-aware
    :param random: gives that many random octets, for serial numbers
    """

    policy: Policy
    environment: EnvironmentName
    store: Store
    keys: KeyStore
    clock: Callable[[], datetime]
    random: Callable[[int], bytes] = secrets.token_bytes

    @cached_property
    def authorities(self) -> Authorities:
        """The CAs."""
        return Authorities(self.policy, self.environment, self.store, self.keys)

    def create_root(self, generation: str | None = None) -> tuple[StoredCertificate, ...]:
        """Make the root and what stands beside it. See :meth:`Roots.create`; a refusal is audited."""
        with audited(self.store, "init", self.policy.environments[self.environment].root_common_name.value):
            return Roots(self._maker, self.authorities).create(generation)

    def renew_root(self, generation: str | None = None) -> tuple[StoredCertificate, ...]:
        """Make the next root and the link to it. See :meth:`Roots.renew`; a refusal is audited."""
        with audited(self.store, "root-renew", self.policy.environments[self.environment].root_common_name.value):
            return Roots(self._maker, self.authorities).renew(generation)

    def create_sub_ca(self, order: SubCaOrder) -> tuple[StoredCertificate, ...]:
        """Make or renew a Sub-CA. See :meth:`SubCas.create`; a refusal is audited."""
        with audited(self.store, "issue-sub-ca", order.organisation):
            return SubCas(self._maker, self.authorities).create(order)

    def certify_sub_ca(self, order: SubCaOrder, requests: bytes) -> tuple[StoredCertificate, ...]:
        """Certify a Sub-CA that runs elsewhere. See :meth:`SubCas.certify`; a refusal is audited.

        :param requests: two PKCS#10 requests, see :func:`smpki.ca.sub_ca_requests.read_requests`
        """
        with audited(self.store, "issue-sub-ca", order.organisation):
            return SubCas(self._maker, self.authorities).certify(order, read_requests(requests))

    def request_sub_ca(self, order: SubCaOrder, number: int | None = None) -> bytes:
        """Make the keys of a Sub-CA whose root is elsewhere. See :meth:`SubCas.request`; a refusal is audited."""
        with audited(self.store, "sub-ca-request", order.organisation):
            return SubCas(self._maker, self.authorities).request(order, number)

    def install_sub_ca(self, bundle: bytes, root_sha256: str | None = None) -> Installed:
        """Take over what the root's operator sent. See :meth:`Installer.install`; a refusal is audited."""
        with audited(self.store, "sub-ca-install", "bundle"):
            return Installer(self._maker).install(bundle, root_sha256)

    def desk(self, sub_ca: str) -> TripleDesk:
        """The counter of a Sub-CA; it keeps the Sub-CA's key and certificate at hand, for many packages.

        :param sub_ca: its CN
        :raises IssuingError: ``issuing.issuer.unknown``, audited
        """
        with audited(self.store, "issue", sub_ca):
            return TripleDesk(
                self.policy,
                self.environment,
                issuer=self.authorities.sub_ca(sub_ca),
                store=self.store,
                preparer=self._preparer,
                serials=self._serials,
                clock=self.clock,
            )

    def issue(self, orders: Sequence[Order], sub_ca: str) -> list[Outcome]:
        """Grant packages at a Sub-CA's counter. See :meth:`TripleDesk.issue`."""
        return self.desk(sub_ca).issue(orders)

    @cached_property
    def revocations(self) -> RevocationDesk:
        """Where certificates are revoked, suspended and resumed."""
        return RevocationDesk(self.policy, store=self.store, clock=self.clock)

    def process(self, data: bytes, name: str) -> Processed:
        """Act on a signed revocation request or UpdateDeviceAdmin. See :meth:`ProcessingDesk.process`."""
        desk = ProcessingDesk(
            self.policy, self.environment, store=self.store, revocations=self.revocations, clock=self.clock
        )
        return desk.process(data, name)

    @cached_property
    def crls(self) -> CrlDesk:
        """Where CRLs are issued."""
        return CrlDesk(self.policy, self.environment, store=self.store, authorities=self.authorities, clock=self.clock)

    @cached_property
    def _maker(self) -> Maker:
        return Maker(
            self.policy,
            self.environment,
            store=self.store,
            keys=self.keys,
            preparer=self._preparer,
            serials=self._serials,
            clock=self.clock,
        )

    @cached_property
    def _preparer(self) -> Preparer:
        return Preparer(self.policy, self.environment)

    @cached_property
    def _serials(self) -> SerialNumbers:
        return SerialNumbers(self.random, self.policy.issuing.serial_octets.value)
