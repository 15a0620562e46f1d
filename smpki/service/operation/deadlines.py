"""What of a PKI ends: the certificates of its CAs, and the CRLs in force. Each is found by an index."""

from collections.abc import Iterator
from datetime import datetime

from smpki.ca.crl_series import crl_series
from smpki.ca.store.store import Store
from smpki.policy.model import EnvironmentName, Policy
from smpki.service.operation.metrics import Deadline


def pki_deadlines(store: Store, policy: Policy, environment: EnvironmentName, now: datetime) -> Iterator[Deadline]:
    """The newest certificate of each CA whose key is in our token, and its CRLs.

    :raises StoreError: the database failed
    """
    newest = {(one.kind, one.subject_key): one for one in reversed(store.authorities())}
    for one in newest.values():
        yield Deadline("certificate", one.kind, one.subject_cn, one.dn_serial, one.not_after)
    for series in crl_series(store, policy, environment):
        if series.newest is not None and series.is_open(now):
            number = series.authority.dn_serial
            yield Deadline("crl", series.kind.value, series.name.common_name, number, series.newest.next_update)
