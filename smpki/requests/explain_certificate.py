"""Explain a certificate."""

from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from smpki.policy.lint.certificate import lint_certificate
from smpki.policy.lint.classify import classify, environment_of
from smpki.policy.model import Policy
from smpki.policy.terms import Term
from smpki.requests.explain_extensions import extension_facts
from smpki.requests.explain_parts import (
    Fact,
    Part,
    attempt,
    fact,
    holder_words,
    key_words,
    moment_words,
    name_values,
    one_line,
    signature_words,
    span_words,
)


def certificate_part(certificate: x509.Certificate, policy: Policy) -> Part:
    """Explain a certificate; a field that can't be read says so."""
    what = classify(certificate)
    role, purpose = what or (None, None)
    environment = attempt(lambda: environment_of(certificate.subject, policy), lambda _: None)
    return Part(
        kind="certificate",
        title=f"Certificate (Zertifikat), {holder_words(role, purpose, environment, policy)}",
        facts=tuple(_facts(certificate)),
        extensions=attempt(lambda: extension_facts(certificate.extensions, policy), _unreadable_extensions),
        findings=lint_certificate(certificate, *what, policy, environment) if what and environment else None,
        role=role,
        purpose=purpose,
    )


def _facts(certificate: x509.Certificate) -> Iterator[Fact]:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    validity = f"{moment_words(start)} to {moment_words(end)}: {span_words(start, end)}"
    yield fact(Term("Subject", "Inhaber"), attempt(lambda: name_values(certificate.subject), _unreadable))
    yield fact(Term("Issuer", "Aussteller"), attempt(lambda: (one_line(certificate.issuer),), _unreadable))
    yield fact(Term("Serial number", "Seriennummer"), [f"{certificate.serial_number:x}"])
    yield fact(Term("Valid", "Gültigkeit"), [validity])
    yield fact(Term("Key", "Schlüssel"), attempt(lambda: (key_words(certificate.public_key()),), _unreadable))
    yield fact(Term("Signed with", "Signatur"), [signature_words(certificate.signature_algorithm_oid)])
    yield fact(Term("SHA-256", "Fingerabdruck"), [certificate.fingerprint(SHA256()).hex()])


def _unreadable(complaint: str) -> tuple[str, ...]:
    return (f"can't be read: {complaint}",)


def _unreadable_extensions(complaint: str) -> tuple[Fact, ...]:
    return (fact(Term("Extensions", "Erweiterungen"), _unreadable(complaint)),)
