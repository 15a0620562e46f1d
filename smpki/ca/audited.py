"""Refusals leave one trace: an entry in the audit."""

from collections.abc import Iterator
from contextlib import contextmanager

from smpki.ca.store.records import AuditEntry
from smpki.ca.store.store import Store
from smpki.errors import SmpkiError, StoreError


@contextmanager
def audited(store: Store, action: str, subject: str) -> Iterator[None]:
    """One audit entry for a refusal, whatever stands around; where the store itself fails, only the caller is told.

    :param action: what the audit calls the work
    :param subject: whom it concerns
    """
    try:
        yield
    except SmpkiError as error:
        # a serial number that the store does not know is no failure of the store
        store_failed = isinstance(error, StoreError) and not error.code.startswith("store.serial.")
        if not error.audited and not store_failed:
            store.record(AuditEntry(action=action, outcome="refused", subject=subject, detail=error.as_dict()))
            error.audited = True
        raise
