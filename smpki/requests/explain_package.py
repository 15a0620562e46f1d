"""Explain a request package (Antragspaket) and the three requests in it."""

from collections.abc import Iterator

from smpki.errors import RequestError
from smpki.policy.lint.classify import default_kind, environment_of
from smpki.policy.lint.finding import Finding, error
from smpki.policy.lint.request import lint_request
from smpki.policy.model import Policy, PurposeName
from smpki.policy.terms import PURPOSES, Term
from smpki.requests.explain_extensions import extension_facts
from smpki.requests.explain_parts import Part, fact, hash_words, key_words, name_values
from smpki.requests.explain_signed import signature_fact, signature_findings
from smpki.requests.model import CertificateRequest, Purpose, RequestPackage
from smpki.requests.read import verify_package
from smpki.requests.submission import Submission

_PURPOSES: dict[Purpose, PurposeName] = {Purpose.TLS: "tls", Purpose.SIG: "sig", Purpose.ENC: "enc"}
_KINDS = {
    "initial": Term("Initial request package", "Antragspaket"),
    "renewal": Term("Renewal request package", "Folgeantrag"),
    "authorised": Term("Authorised request package", "autorisiertes Antragspaket"),
}


def package_parts(submission: Submission, policy: Policy) -> Iterator[Part]:
    """Explain a request package, then each of its requests; proofs and signatures that don't hold are explained too."""
    package = submission.package
    role, environment = default_kind(package.subject), environment_of(package.subject, policy)
    signatures = [each for each in (submission.renewal, submission.authorisation) if each is not None]
    unproven = list(_proof_findings(package))
    proofs = [f"broken: {each.message}" for each in unproven] or ["each request is signed by the key it asks for"]
    holder = (
        str(Term(policy.certificates[role].title, policy.certificates[role].german)) if role else "of no known type"
    )
    yield Part(
        kind="request-package",
        title=f"{_KINDS[submission.kind]}, {holder}",
        facts=(
            fact(Term("Subject", "Inhaber"), name_values(package.subject)),
            fact(Term("PKI", "Organisation"), [environment or "none that the policy knows"]),
            fact(Term("Proofs of possession", "Besitznachweise"), proofs),
            *(signature_fact(signature) for signature in signatures),
            fact(Term("SHA-256", "Fingerabdruck"), [submission.digest.hex()]),
        ),
        findings=(*unproven, *(finding for signature in signatures for finding in signature_findings(signature))),
        role=role,
    )
    for request in package.requests:
        yield _request_part(request, policy)


def _proof_findings(package: RequestPackage) -> Iterator[Finding]:
    try:
        verify_package(package)
    except RequestError as broken:
        yield error("rfc-4211.4_1.proof_of_possession.invalid", f"{broken.where}: {broken.message}")


def _request_part(request: CertificateRequest, policy: Policy) -> Part:
    role, environment = default_kind(request.subject), environment_of(request.subject, policy)
    purpose = _PURPOSES[request.purpose]
    findings = (
        lint_request(
            request.subject, request.public_key, request.extensions, request.hash, role, purpose, policy, environment
        )
        if role and role.is_end_user and environment
        else None
    )
    return Part(
        kind="request",
        title=f"Request {request.index}, for the {PURPOSES[purpose]}",
        facts=(
            fact(Term("Key", "Schlüssel"), [key_words(request.public_key)]),
            fact(Term("Proof made with", "Besitznachweis"), [f"ECDSA and {hash_words(request.hash)}"]),
            fact(Term("Request number", "Antragsnummer"), [f"{request.request_id:x}"]),
        ),
        extensions=extension_facts(request.extensions, policy),
        findings=findings,
        role=role,
        purpose=purpose,
    )
