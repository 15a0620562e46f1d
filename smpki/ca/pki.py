"""The PKI as its operator sees it: one object per process that holds store, keys, policy and clock together."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from smpki.ca.authorities import Authorities
from smpki.ca.hierarchy import Hierarchy, SubCaOrder
from smpki.ca.permit import Preparer
from smpki.ca.serials import SerialNumbers
from smpki.ca.store.records import AuditEntry, StoredCertificate
from smpki.ca.store.store import Store
from smpki.ca.triples import Order, Outcome, TripleDesk
from smpki.errors import SmpkiError, StoreError
from smpki.hsm.keystore import KeyStore
from smpki.policy.model import EnvironmentName, Policy

Clock = Callable[[], datetime]
"""The time now, timezone-aware."""


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
    clock: Clock
    random: Callable[[int], bytes] = secrets.token_bytes

    @cached_property
    def authorities(self) -> Authorities:
        """The CAs."""
        return Authorities(self.policy, self.environment, self.store, self.keys)

    def create_root(self, generation: str | None = None) -> tuple[StoredCertificate, ...]:
        """Make the root and what stands beside it. See :meth:`Hierarchy.create_root`; a refusal is audited."""
        with self._audited("init", self.policy.environments[self.environment].root_common_name.value):
            return self._hierarchy.create_root(generation)

    def create_sub_ca(self, order: SubCaOrder) -> tuple[StoredCertificate, ...]:
        """Make a Sub-CA. See :meth:`Hierarchy.create_sub_ca`; a refusal is audited."""
        with self._audited("issue-sub-ca", order.organisation):
            return self._hierarchy.create_sub_ca(order, self.authorities)

    def desk(self, sub_ca: str) -> TripleDesk:
        """The counter of a Sub-CA; it keeps the Sub-CA's key and certificate at hand, for many packages.

        :param sub_ca: its CN
        :raises IssuingError: ``issuing.issuer.unknown``, audited
        """
        with self._audited("issue", sub_ca):
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
    def _hierarchy(self) -> Hierarchy:
        return Hierarchy(
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

    @contextmanager
    def _audited(self, action: str, subject: str) -> Iterator[None]:
        """One audit entry for a refusal; where the store itself fails, only the caller can be told."""
        try:
            yield
        except StoreError:
            raise
        except SmpkiError as error:
            self.store.record(AuditEntry(action=action, outcome="refused", subject=subject, detail=error.as_dict()))
            raise
