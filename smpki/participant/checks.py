"""What a participant checks before it sends a request: the rules that the Sub-CA will apply."""

from datetime import datetime

from cryptography import x509

from smpki.errors import RequestError
from smpki.policy.lint.finding import Severity
from smpki.policy.lint.request import lint_request
from smpki.policy.model import CertificateType, EnvironmentName, Policy
from smpki.requests.model import RequestPackage


def check_requests(
    package: RequestPackage, kind: CertificateType, policy: Policy, environment: EnvironmentName
) -> None:
    """Lint the three requests of a package.

    :raises RequestError: with the first finding that is an error
    """
    for request in package.requests:
        found = lint_request(
            request.subject,
            request.public_key,
            request.extensions,
            request.hash,
            kind,
            request.purpose.value,
            policy,
            environment,
        )
        for finding in found:
            if finding.severity is Severity.ERROR:
                hint = f"see what a {kind} may ask for: smpki policy show {kind}"
                raise RequestError(finding.code, finding.message, where=request.place, hint=hint)


def check_signer_valid(certificate: x509.Certificate, now: datetime) -> None:
    """Nobody takes a signature by a certificate whose time has come, or is still to come.

    :param now: timezone-aware
    :raises RequestError: ``request.signer.not_valid``
    """
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now <= end:
        raise RequestError(
            "request.signer.not_valid",
            f"the signer's certificate is valid from {start:%Y-%m-%d} to {end:%Y-%m-%d}",
            where="signer",
            hint="sign with the current SIG key; who has none left asks the Sub-CA for a first package once more",
        )
