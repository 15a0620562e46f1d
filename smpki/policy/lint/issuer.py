"""The issuer: its name, its signature algorithm, and the shell model, by which no certificate outlives its issuer's."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID

from smpki.policy.lint.body import Encoded
from smpki.policy.lint.finding import Finding, error, warning
from smpki.policy.lint.keys import signature_findings
from smpki.policy.lint.subject import ROOT_SIDE, first_value
from smpki.policy.model import CertificateType, EnvironmentName, Policy
from smpki.policy.names import same_name
from smpki.policy.text import quoted


@dataclass(frozen=True, slots=True)
class IssuerFacts:
    """What certificates are compared with in their issuer's certificate.

    :param name: its subject as it is encoded
    :param key_identifier: its SKI, ``None`` where it has none
    """

    certificate: x509.Certificate
    name: bytes
    public_key: CertificatePublicKeyTypes
    key_identifier: bytes | None
    not_before: datetime
    not_after: datetime


@lru_cache(maxsize=16)
def facts_of(issuer: x509.Certificate) -> IssuerFacts:
    """What certificates are compared with; kept, since an issuer issues many.

    :raises ValueError: when the certificate can't be read
    """
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        identifier = None
    return IssuerFacts(
        certificate=issuer,
        name=Encoded.of(issuer.tbs_certificate_bytes).subject,
        public_key=issuer.public_key(),
        key_identifier=identifier,
        not_before=issuer.not_valid_before_utc,
        not_after=issuer.not_valid_after_utc,
    )


def issuer_findings(
    certificate: x509.Certificate, name: x509.Name | None, issuer: IssuerFacts, kind: CertificateType, policy: Policy
) -> Iterator[Finding]:
    """Does a certificate agree with its issuer's?

    :param name: the issuer that the certificate names; ``None`` when it is known to be this issuer, octet by octet
    """
    if name is not None and not same_name(name, issuer.certificate.subject):
        yield error(
            "rfc-5280.6_1_3.issuer.name",
            f"the issuer is {quoted(name.rfc4514_string())}, the CA's name is"
            f" {quoted(issuer.certificate.subject.rfc4514_string())}",
        )
    issuing = policy.certificates[kind].issuer.value
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    yield from signature_findings(certificate.signature_algorithm_oid, issuing, issuer.public_key, policy, start)
    at = "tr-03109-4.3.validity"
    if start < issuer.not_before:
        yield error(f"{at}.before_issuer", f"it is valid from {start}, its issuer only from {issuer.not_before}")
    if end > issuer.not_after:
        yield error(f"{at}.past_issuer", f"it is valid until {end}, its issuer only until {issuer.not_after}")
    key_use = policy.certificates[issuing].key_use.value
    try:
        last_use = key_use.after(issuer.not_before)
    except OverflowError:  # past the year 9999
        return
    if start > last_use:
        yield warning(
            "tr-03109-4.3.key_use.past",
            f"it is valid from {start}, the issuer's key was for use until {last_use} ({key_use})",
        )


def unknown_issuer_findings(
    certificate: x509.Certificate,
    name: x509.Name,
    kind: CertificateType,
    policy: Policy,
    environment: EnvironmentName,
) -> Iterator[Finding]:
    """Is the issuer that the certificate names, and whose certificate is not at hand, a CA that issues such ones?"""
    issuing = policy.certificates[kind].issuer.value
    surroundings = policy.environments[environment]
    common_name, organization = first_value(name, NameOID.COMMON_NAME), first_value(name, NameOID.ORGANIZATION_NAME)
    if issuing in ROOT_SIDE:
        fits = common_name == surroundings.root_common_name.value + ROOT_SIDE[issuing]
    else:
        fits = policy.certificates[issuing].name.common_name.value.fullmatch(common_name) is not None
    if not fits:
        yield error(
            "sm-pki-cp.a.issuer.common_name",
            f"the issuer is {quoted(common_name)}, which is no {issuing}, the issuer of {kind} certificates",
        )
    if organization != surroundings.organization.value:
        yield error(
            "sm-pki-cp.a.issuer.organization",
            f"the issuer's O is {quoted(organization)}, in environment {environment} it is"
            f" {surroundings.organization.value}",
        )
    yield from signature_findings(
        certificate.signature_algorithm_oid, issuing, None, policy, certificate.not_valid_before_utc
    )
