"""Explain a CRL (Sperrliste)."""

from collections.abc import Iterator
from itertools import islice

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from smpki.policy.lint.classify import environment_of
from smpki.policy.lint.crl import crl_kind, lint_crl
from smpki.policy.model import Policy
from smpki.policy.terms import REVOCATION_REASONS, Term
from smpki.requests.explain_extensions import extension_facts, general_name_words
from smpki.requests.explain_parts import Fact, Part, fact, moment_words, one_line, signature_words, span_words

_SHOWN = 20  # entries; a CRL may hold tens of thousands
_IN_PLACE_OF_REASON = "no reason given (ohne Angabe)"


def crl_part(crl: x509.CertificateRevocationList, policy: Policy) -> Part:
    """Explain a CRL; of its entries the first twenty. The lint looks at all of them.

    :raises ValueError: when a field can't be read
    """
    environment, kind = environment_of(crl.issuer, policy), crl_kind(crl, policy)
    pki = f"{environment} PKI" if environment else "of no PKI that the policy knows"
    return Part(
        kind="crl",
        title=f"CRL (Sperrliste), {len(crl)} certificate{'s' if len(crl) != 1 else ''} revoked or suspended, {pki}",
        facts=tuple(_facts(crl)),
        extensions=extension_facts(crl.extensions, policy),
        role=kind,
        findings=lint_crl(crl, kind, policy, environment) if kind and environment else None,
    )


def _facts(crl: x509.CertificateRevocationList) -> Iterator[Fact]:
    start, end = crl.last_update_utc, crl.next_update_utc
    if end is None:
        validity = f"of {moment_words(start)}; it does not say when the next one appears"
    else:
        validity = f"of {moment_words(start)}, the next one by {moment_words(end)}: {span_words(start, end)}"
    yield fact(Term("Issuer", "Aussteller"), [one_line(crl.issuer)])
    yield fact(Term("Issued", "Ausgabe"), [validity])
    yield fact(Term("Signed with", "Signatur"), [signature_words(crl.signature_algorithm_oid)])
    yield fact(Term("SHA-256", "Fingerabdruck"), [crl.fingerprint(SHA256()).hex()])
    entries = [_entry_words(entry) for entry in islice(crl, _SHOWN)]
    if len(crl) > _SHOWN:
        entries.append(f"and {len(crl) - _SHOWN} more")
    yield fact(Term("Entries", "Einträge"), entries or ["none"])


def _entry_words(entry: x509.RevokedCertificate) -> str:
    reason = _IN_PLACE_OF_REASON
    issuer = ""
    for extension in entry.extensions:
        match extension.value:
            case x509.CRLReason() as value:
                reason = str(REVOCATION_REASONS.get(value.reason.value, value.reason.value))
            case x509.CertificateIssuer() as value:
                issuer = f", issued by {', '.join(general_name_words(name) for name in value)}"
    return f"{entry.serial_number:x} on {moment_words(entry.revocation_date_utc)}: {reason}{issuer}"
