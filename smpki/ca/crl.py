"""Issue CRLs: build from the rows, lint, record, sign, store."""

import hashlib
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.algorithms import SIGNATURE_IDENTIFIERS
from smpki.asn1.crl import Entry, encode_tbs
from smpki.asn1.signed import assemble, encode_extension
from smpki.ca.audited import audited
from smpki.ca.authorities import Authorities
from smpki.ca.crl_series import CrlSeries, crl_series
from smpki.ca.issuer import HASHES, Issuer
from smpki.ca.store.crls import CrlRecord
from smpki.ca.store.records import AuditEntry, StoredCertificate, serial_text
from smpki.ca.store.store import Store
from smpki.ca.unit import load
from smpki.errors import AuditError, IssuingError, SmpkiError, StoreError
from smpki.policy.lint.crl import lint_crl
from smpki.policy.lint.finding import Severity
from smpki.policy.model import CertificateType, EnvironmentName, Policy, Reason

_DUMMY_SIGNATURE = bytes(8)
_BEGINNING = datetime(1950, 1, 1, tzinfo=UTC)

# unspecified is encoded by omission (RFC 5280 5.3.1)
_REASONS: dict[str, bytes] = {
    reason: encode_extension(x509.CRLReason(x509.ReasonFlags[reason])) if reason != "unspecified" else b""
    for reason in get_args(Reason)
}


@dataclass(frozen=True)
class CrlOutcome:
    """What became of a CRL that was to be issued.

    :param error: why it was not
    """

    series: CrlSeries
    record: CrlRecord | None = None
    error: SmpkiError | None = None


class CrlDesk:
    """Where CRLs are issued: full ones of version 2 (RFC 5280 section 5, TR-03109-4 annex B).

    :param clock: the time now, timezone-aware
    """

    def __init__(
        self,
        policy: Policy,
        environment: EnvironmentName,
        *,
        store: Store,
        authorities: Authorities,
        clock: Callable[[], datetime],
    ) -> None:
        self._policy = policy
        self._environment = environment
        self._store = store
        self._authorities = authorities
        self._clock = clock

    def issue(self, *, due: bool = False, names: Collection[str] = ()) -> list[CrlOutcome]:
        """Issue the next CRL of each series; each stands and falls alone.

        :param due: only where the next one has to appear by now
        :param names: only of CAs with these CNs; ``()``: of all whose certificates are valid
        :return: an outcome for each; each refusal is in the audit
        :raises IssuingError: ``crl.authority.unknown``
        :raises StoreError: the database failed
        :raises AuditError: the audit chain does not hold
        """
        now = self._clock()
        found = crl_series(self._store, self._policy, self._environment)
        for name in set(names) - {series.authority.subject_cn for series in found}:
            with audited(self._store, "issue-crl", name):
                raise IssuingError(
                    "crl.authority.unknown", "no CA of this name signs CRLs here", where=name, hint="see smpki crl list"
                )
        if names:
            wanted = [series for series in found if series.authority.subject_cn in names]
        else:
            wanted = [series for series in found if series.is_open(now)]
        return [self._outcome(series, now) for series in wanted if series.due <= now or not due]

    def _outcome(self, series: CrlSeries, now: datetime) -> CrlOutcome:
        try:
            with audited(self._store, "issue-crl", series.name.common_name):
                return CrlOutcome(series, self._issue(series, now))
        except (StoreError, AuditError):
            raise
        except SmpkiError as error:
            return CrlOutcome(series, error=error)

    def _issue(self, series: CrlSeries, now: datetime) -> CrlRecord:
        if not series.is_open(now):
            raise IssuingError(
                "crl.authority.over",
                f"{series.authority.subject_cn} signs no more CRLs: its certificate is revoked or not valid now",
                where=series.authority.serial,
                hint="nobody accepts what the CA issued, so nobody needs its CRL",
            )
        signer = self._signer(series, now)
        number, at = self._store.crls.begin(series.scope)
        at = at.replace(microsecond=0)
        until = min(series.rules.valid.value.after(at), signer.certificate.not_valid_after_utc)
        tbs = encode_tbs(
            SIGNATURE_IDENTIFIERS[signer.hash],
            signer.certificate.subject,
            at,
            until,
            self._entries(series),
            _extensions(series, signer, number),
        )
        record = CrlRecord(
            **series.scope._asdict(),
            number=number,
            signer=serial_text(signer.certificate.serial_number),
            this_update=at,
            next_update=until,
            scheduled=series.due <= at,
            entries=self._lint(tbs, series, signer),
            tbs_hash=hashlib.sha256(tbs).hexdigest(),
        )
        self._store.crls.record(record)
        try:
            signature = signer.key.sign(tbs, ec.ECDSA(HASHES[signer.hash]))
            self._store.crls.complete(record, assemble(tbs, signer.hash, signature), [_entry(series, record)])
        except SmpkiError:
            with suppress(SmpkiError):  # what can't be closed now is closed by the next start
                self._store.crls.abandon(record)
            raise
        return record

    def _signer(self, series: CrlSeries, now: datetime) -> Issuer:
        """Who signs: the CA itself, or a CRL signer.

        A CA signs CRLs as long as its certificate is valid, though its key signs no more certificates. When a root's
        own CRL signer may sign no more, that of a later root does: it has the same name, and who trusts the older root
        trusts it through the link certificate.
        """
        if series.kind is not CertificateType.CRL_SIGNER:
            return self._authorities.issuer(series.authority)
        later = {
            root.serial
            for root in self._store.authorities(kind=CertificateType.ROOT.value)
            if (root.dn_serial or 0) > (series.authority.dn_serial or 0)
        }
        signers = self._store.authorities(kind=CertificateType.CRL_SIGNER.value)
        revoked = self._store.revocations.among([one.serial for one in signers])
        for roots in ({series.authority.serial}, later):
            for one in signers:
                if one.issuer_serial in roots and one.serial not in revoked and _may_sign(one, now):
                    return self._authorities.issuer(one)
        raise IssuingError(
            "crl.signer.none",
            f"no CRL signer of {series.authority.subject_cn} may sign: each is revoked, or past its use",
            where=series.name.common_name,
            hint="a new root brings a new CRL signer: smpki root renew",
        )

    def _entries(self, series: CrlSeries) -> Iterator[Entry]:
        """The entries; in an indirect CRL those of one issuer together, and its name in the first of them."""
        indirect = series.kind is CertificateType.CRL_SIGNER
        issuers = [series.authority]
        if indirect:
            below = self._store.authorities(kind=CertificateType.TLS_SIGNER.value)
            issuers += [one for one in below if one.issuer_serial == series.authority.serial]
        # an entry stays until it was on a scheduled CRL that came after the certificate's end (RFC 5280 3.3)
        ends_from = series.last_scheduled.this_update if series.last_scheduled else _BEGINNING
        for issuer in issuers:
            issuer_name = _certificate_issuer(issuer) if indirect else b""
            for row in self._store.crls.revoked(issuer.serial, ends_from):
                if indirect and row.kind == CertificateType.CRL_SIGNER:
                    continue
                yield Entry(int(row.serial, 16), row.since, _REASONS[row.reason] + issuer_name)
                issuer_name = b""

    def _lint(self, tbs: bytes, series: CrlSeries, signer: Issuer) -> int:
        """Look at what is going to be signed; the number of its entries."""
        unsigned = x509.load_der_x509_crl(assemble(tbs, signer.hash, _DUMMY_SIGNATURE))
        found = lint_crl(unsigned, series.kind, self._policy, self._environment, issuer=signer.certificate)
        for finding in found:
            if finding.severity is Severity.ERROR:
                raise IssuingError(
                    "crl.lint",
                    f"{finding.code}: {finding.message}",
                    where=series.name.common_name,
                    hint="the CRL would break the policy",
                )
        return len(unsigned)


def _may_sign(crl_signer: StoredCertificate, now: datetime) -> bool:
    """Within its key's use: to sign CRLs is all that the key is for."""
    return crl_signer.not_before <= now <= (crl_signer.key_use_end or crl_signer.not_after)


def _extensions(series: CrlSeries, signer: Issuer, number: int) -> bytes:
    identifier = x509.AuthorityKeyIdentifier(signer.key_identifier.digest, None, None)
    found = encode_extension(identifier) + encode_extension(x509.CRLNumber(number))
    if series.kind is CertificateType.CRL_SIGNER:
        # The addresses tell the CRLs of two roots apart: their CRL signers have the same name.
        point = x509.IssuingDistributionPoint(
            full_name=[x509.UniformResourceIdentifier(uri) for uri in series.addresses],
            relative_name=None,
            only_contains_user_certs=False,
            only_contains_ca_certs=False,
            only_some_reasons=None,
            indirect_crl=True,
            only_contains_attribute_certs=False,
        )
        found += encode_extension(point, critical=True)
    return found


def _certificate_issuer(issuer: StoredCertificate) -> bytes:
    """CertificateIssuer (RFC 5280 5.3.3): whose certificate this entry and the following ones are about."""
    return encode_extension(x509.CertificateIssuer([x509.DirectoryName(load(issuer).subject)]), critical=True)


def _entry(series: CrlSeries, record: CrlRecord) -> AuditEntry:
    detail = {
        "kind": record.kind,
        "authority": record.authority,
        "number": record.number,
        "entries": record.entries,
        "next_update": record.next_update.isoformat(),
        "tbs_hash": record.tbs_hash,
    }
    return AuditEntry(action="issue-crl", outcome="done", subject=series.name.common_name, detail=detail)
