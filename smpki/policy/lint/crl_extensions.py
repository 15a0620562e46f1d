"""Extensions of a CRL: which there are, whether they are critical, what is in them (TR-03109-4 annex B.1)."""

from collections.abc import Iterator
from types import MappingProxyType

from cryptography import x509

from smpki.policy.lint.contents import authority_key_identifier_findings
from smpki.policy.lint.distribution_points import address_findings
from smpki.policy.lint.finding import Finding, error, warning
from smpki.policy.lint.surroundings import Surroundings
from smpki.policy.model import CertificateType, Confidence, ExtensionRule, Presence

_AT = "tr-03109-4.b1"
_LONGEST_NUMBER = 159  # bits: 20 octets

_FIELDS = MappingProxyType(
    {
        x509.AuthorityKeyIdentifier.oid: "authority_key_identifier",
        x509.CRLNumber.oid: "crl_number",
        x509.IssuingDistributionPoint.oid: "issuing_distribution_point",
    }
)
_RULE = ExtensionRule(presence=Presence.MANDATORY, source="RFC 5280 5.2.1", confidence=Confidence.VERIFIED)


def crl_extension_findings(
    extensions: x509.Extensions, kind: CertificateType, surroundings: Surroundings
) -> Iterator[Finding]:
    """Check the extensions of a CRL: a full one (RFC 5280 5.2), and an indirect one if the CRL signer signs it."""
    present: dict[str, x509.Extension[x509.ExtensionType]] = {}
    for extension in extensions:
        field = _FIELDS.get(extension.oid)
        if field is None:
            yield error(f"{_AT}.unknown_extension", f"extension {extension.oid.dotted_string} is not for a full CRL")
        else:
            present[field] = extension
    for field in _FIELDS.values():
        at, found = f"{_AT}.{field}", present.get(field)
        is_point = field == "issuing_distribution_point"
        if found is None:
            if not is_point or kind is CertificateType.CRL_SIGNER:
                yield error(f"{at}.missing", "the extension is missing")
        elif found.critical is not is_point:
            state, due = ("critical", "not critical") if found.critical else ("not_critical", "critical")
            yield error(f"{at}.{state}", f"the extension has to be {due}")
        if found is not None:
            yield from _content_findings(found.value, at, kind, surroundings)


def _content_findings(
    value: x509.ExtensionType, at: str, kind: CertificateType, surroundings: Surroundings
) -> Iterator[Finding]:
    match value:
        case x509.AuthorityKeyIdentifier():
            yield from authority_key_identifier_findings(value, _RULE, at, surroundings)
        case x509.CRLNumber():
            if value.crl_number < 0 or value.crl_number.bit_length() > _LONGEST_NUMBER:
                yield error(f"{at}.range", "the CRL number is negative, or has more than 20 octets")
        case x509.IssuingDistributionPoint():
            yield from _point_findings(value, at, kind)


def _point_findings(value: x509.IssuingDistributionPoint, at: str, kind: CertificateType) -> Iterator[Finding]:
    """What the CRL is about: the CRL signer's is about what names it and this address (RFC 5280 5.2.5)."""
    if kind is not CertificateType.CRL_SIGNER:
        yield warning(f"{at}.unexpected", "the CRL of a CA is about all that it issued, and needs no such extension")
        if value.indirect_crl:
            yield error(f"{at}.indirect", "indirectCRL is true, though only the CRL signer signs for others")
    else:
        if not value.indirect_crl:
            yield error(f"{at}.not_indirect", "indirectCRL is false, though the CRL signer signs for others")
        if not value.full_name:
            yield warning(f"{at}.full_name", "no address tells it from the CRL of another root's CRL signer")
    for name in value.full_name or ():
        yield from address_findings(name, at)
    if value.relative_name is not None:
        yield error(f"{at}.relative_name", "the address is relative to a name")
    if value.only_some_reasons is not None:
        yield error(f"{at}.reasons", "the CRL holds only some reasons")
    if value.only_contains_user_certs or value.only_contains_ca_certs or value.only_contains_attribute_certs:
        yield error(f"{at}.partial", "the CRL holds only some types of certificates")
