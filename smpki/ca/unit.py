"""One unit of work: certificates that are issued together or not at all.

Record, sign, store: the intents of a batch are durable before the token is asked, so that a crash never leaves a
signed certificate that nobody knows; the results of the batch share one transaction with their audit entries.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cryptography import x509

from smpki.ca.permit import Permit
from smpki.ca.store.records import (
    AuditEntry,
    GrantedRequest,
    Intent,
    Issued,
    Participant,
    StoredCertificate,
)
from smpki.ca.store.store import Store, StoreView
from smpki.errors import SmpkiError
from smpki.policy.model import CertificateType


@dataclass(frozen=True)
class Unit:
    """What is issued together.

    :param permits: linted certificates, issuers before what they issue
    :param audit: the entry that stands for the unit; it is stored with the certificates
    :param request: the package that is granted, if one is
    :param participant: who gets the certificates, if it is not the PKI itself
    :param supersedes: certificates that are revoked as superseded, with the unit
    """

    permits: tuple[Permit, ...]
    audit: AuditEntry
    request: GrantedRequest | None = None
    participant: Participant | None = None
    supersedes: tuple[StoredCertificate, ...] = ()

    @property
    def intents(self) -> tuple[Intent, ...]:
        """The record that is made before the token is asked."""
        return tuple(_intent(permit, self.request) for permit in self.permits)


def issue_units(store: Store, units: Sequence[Unit], check: Callable[[StoreView], None] | None = None) -> list[Issued]:
    """Record the intents of all units, let the keys sign, store all results.

    :param check: called inside the transaction that records the intents; raises to refuse all of them
    :raises IssuingError: when an intent meets another one (same subject and number, same key, same package)
    :raises TokenError: when a token does not sign; then nothing of these units is issued
    :raises StoreError: when the database refuses
    """
    intents = [intent for unit in units for intent in unit.intents]
    store.record_intents(intents, check)
    try:
        issued = [_sign(unit) for unit in units]
        store.complete(issued, [unit.audit for unit in units])
    except SmpkiError:
        with suppress(SmpkiError):  # what can't be closed now is closed by the next start
            store.abandon([intent.serial for intent in intents], [])
        raise
    return issued


def _intent(permit: Permit, request: GrantedRequest | None) -> Intent:
    return Intent(
        serial=permit.serial,
        tbs_hash=permit.tbs_hash,
        issuer_serial=permit.issuer_serial,
        kind=permit.plan.kind.value,
        purpose=permit.plan.purpose,
        subject_key=permit.subject_key,
        dn_serial=permit.plan.subject.serial_number,
        key_hash=permit.key_hash,
        key_scope=key_scope(permit.plan.kind),
        request_digest=request.digest if request else None,
    )


def key_scope(kind: CertificateType) -> str:
    """Where a key must be new: among all, but for a link certificate, which certifies the new root's once more."""
    return kind.value if kind is CertificateType.LINK else ""


def _sign(unit: Unit) -> Issued:
    return Issued(
        certificates=tuple(_stored(permit, permit.sign(), unit.request) for permit in unit.permits),
        request=unit.request,
        participant=unit.participant,
        supersedes=unit.supersedes,
    )


def _stored(permit: Permit, certificate: bytes, request: GrantedRequest | None) -> StoredCertificate:
    plan = permit.plan
    return StoredCertificate(
        serial=permit.serial,
        issuer_serial=permit.issuer_serial,
        kind=plan.kind.value,
        purpose=plan.purpose,
        subject_cn=plan.subject.common_name,
        subject_key=permit.subject_key,
        dn_serial=plan.subject.serial_number,
        not_before=plan.not_before,
        not_after=plan.not_after,
        key_hash=permit.key_hash,
        key_use_end=plan.key_use_end,
        token_key_id=plan.token_key_id.hex() if plan.token_key_id else None,
        generation=plan.generation,
        request_digest=request.digest if request else None,
        der=certificate,
    )


def load(stored: StoredCertificate) -> x509.Certificate:
    """The stored certificate as pyca's value."""
    return x509.load_der_x509_certificate(stored.der)
