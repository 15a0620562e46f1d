"""Extensions: which there are, whether they are critical, and what is in them (TR-03109-4 annex A.2)."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from smpki.policy.lint import contents
from smpki.policy.lint.alternative_names import alternative_name_findings
from smpki.policy.lint.distribution_points import crl_distribution_points_findings
from smpki.policy.lint.finding import Finding, error
from smpki.policy.lint.shared import HOLDER_EXTENSIONS
from smpki.policy.lint.surroundings import Surroundings
from smpki.policy.model import ExtensionRule, Presence, Profile

_AT = "tr-03109-4.a2"

FIELDS = MappingProxyType(
    {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: "authority_key_identifier",
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: "subject_key_identifier",
        ExtensionOID.KEY_USAGE: "key_usage",
        ExtensionOID.PRIVATE_KEY_USAGE_PERIOD: "private_key_usage_period",
        ExtensionOID.CERTIFICATE_POLICIES: "certificate_policies",
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: "subject_alternative_name",
        ExtensionOID.ISSUER_ALTERNATIVE_NAME: "issuer_alternative_name",
        ExtensionOID.BASIC_CONSTRAINTS: "basic_constraints",
        ExtensionOID.EXTENDED_KEY_USAGE: "extended_key_usage",
        ExtensionOID.CRL_DISTRIBUTION_POINTS: "crl_distribution_points",
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS: "authority_information_access",
    }
)
"""Object identifier of each extension that a profile speaks of, and its field there."""

Check = Callable[[Any, Any, str, Surroundings], Iterator[Finding]]

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "authority_key_identifier": contents.authority_key_identifier_findings,
        "subject_key_identifier": contents.subject_key_identifier_findings,
        "key_usage": contents.key_usage_findings,
        "certificate_policies": contents.certificate_policies_findings,
        "subject_alternative_name": alternative_name_findings,
        "issuer_alternative_name": alternative_name_findings,
        "basic_constraints": contents.basic_constraints_findings,
        "extended_key_usage": contents.extended_key_usage_findings,
        "crl_distribution_points": crl_distribution_points_findings,
    }
)
"""What looks into an extension: takes its value, its rule, the code of the extension, the surroundings."""


def extension_findings(extensions: x509.Extensions, profile: Profile, surroundings: Surroundings) -> Iterator[Finding]:
    """Check the extensions of a certificate against its profile."""
    present: dict[str, x509.Extension[x509.ExtensionType]] = {}
    for extension in extensions:
        field = FIELDS.get(extension.oid)
        if field is None:
            yield error(f"{_AT}.unknown_extension", f"extension {extension.oid.dotted_string} is in no profile")
        else:
            present[field] = extension
    for field in FIELDS.values():
        yield from _findings(field, present.get(field), profile, surroundings)


def holder_extension_findings(
    extensions: x509.Extensions, profile: Profile, surroundings: Surroundings
) -> Iterator[Finding]:
    """Check those two extensions only that differ from holder to holder."""
    present = {extension.oid: extension for extension in extensions}
    for oid in HOLDER_EXTENSIONS:
        yield from _findings(FIELDS[oid], present.get(oid), profile, surroundings)


def _findings(
    field: str, found: x509.Extension[x509.ExtensionType] | None, profile: Profile, surroundings: Surroundings
) -> Iterator[Finding]:
    rule: ExtensionRule = getattr(profile, field)
    if found is None:
        if rule.presence is Presence.MANDATORY:
            yield error(f"{_AT}.{field}.missing", "the extension is missing")
    elif rule.presence is Presence.FORBIDDEN:
        yield error(f"{_AT}.{field}.forbidden", "the extension is there, the profile forbids it")
    else:
        if found.critical != rule.critical:
            state, due = ("critical", "not critical") if found.critical else ("not_critical", "critical")
            yield error(f"{_AT}.{field}.{state}", f"the extension has to be {due}")
        check = CHECKS.get(field)
        if check is not None:
            yield from check(found.value, rule, f"{_AT}.{field}", surroundings)
