"""The subject: which attributes, and what they say (name scheme of the Certificate Policy, annex A)."""

import re
from collections.abc import Iterator
from types import MappingProxyType

from cryptography import x509
from cryptography.x509.name import _ASN1Type

from smpki.errors import PolicyError
from smpki.policy.lint.finding import Finding, error
from smpki.policy.model import CertificateType, EnvironmentName, NameScheme, Policy, Presence
from smpki.policy.names import ATTRIBUTES, CommonName
from smpki.policy.text import quoted

_AT = "sm-pki-cp.a"
_SHORT = {oid: short for short, oid in ATTRIBUTES.items()}
_NUMBER = re.compile("0|[1-9][0-9]*")
_STRING_TYPES = frozenset({_ASN1Type.PrintableString, _ASN1Type.UTF8String})
_PRINTABLE_ONLY = frozenset({"C", "serialNumber"})  # X.520 defines these two as PrintableString

ROOT_SIDE = MappingProxyType(
    {
        CertificateType.ROOT: "",
        CertificateType.LINK: "",
        CertificateType.CRL_SIGNER: ".CRL-S",
        CertificateType.TLS_SIGNER: ".TLS-S",
        CertificateType.ROOT_TLS: ".TLS",
    }
)
"""What stands behind the root's CN in the CN of each certificate type of the root."""


def first_value(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    """The first value of an attribute as text, empty where it is absent."""
    values = name.get_attributes_for_oid(oid)
    return str(values[0].value) if values else ""


def lint_subject(
    name: x509.Name, kind: CertificateType, policy: Policy, environment: EnvironmentName
) -> tuple[Finding, ...]:
    """Check the subject of a certificate against the name scheme.

    :param kind: whose subject it is
    """
    return tuple(subject_findings(name, kind, policy, environment))


def subject_findings(
    name: x509.Name, kind: CertificateType, policy: Policy, environment: EnvironmentName, *, requested: bool = False
) -> Iterator[Finding]:
    """The findings of :func:`lint_subject`.

    :param requested: the name stands in a request, where serialNumber is a wish: it may be absent, and the CA replaces
        what it says
    """
    values: dict[str, str] = {}
    yield from _attributes(name, policy, values)
    scheme = policy.certificates[kind].name
    yield from _presence(values, scheme, requested)
    if "O" in values:
        yield from _organization(values["O"], policy, environment)
    if "C" in values:
        yield from _country(values["C"], kind, policy, environment)
    if "CN" in values:
        yield from _common_name(values["CN"], kind, policy, environment)
    else:
        yield error(f"{_AT}.common_name.missing", "the subject has no CN")
    if "serialNumber" in values:
        yield from _serial_number(values["serialNumber"], kind, policy, requested)


def _attributes(name: x509.Name, policy: Policy, values: dict[str, str]) -> Iterator[Finding]:
    """What holds for each attribute; fills ``values``."""
    longest = policy.names.attribute_max_length.value
    for rdn in name.rdns:
        if len(rdn) != 1:
            yield error(f"{_AT}.rdn.multi_valued", f"an RDN holds {len(rdn)} attributes, each stands on its own")
        for attribute in rdn:
            short = _SHORT.get(attribute.oid)
            value = attribute.value
            if short is None or not isinstance(value, str):
                yield error(f"{_AT}.attribute.unknown", f"attribute {attribute.oid.dotted_string} is not in the scheme")
                continue
            if short in values:
                yield error(f"{_AT}.attribute.repeated", f"{short} is there more than once")
            values[short] = value
            if not 0 < len(value) <= longest:
                yield error(f"{_AT}.attribute.length", f"{short} has {len(value)} characters, 1 to {longest} may be")
            if not value.isprintable() or value != value.strip():
                yield error(
                    f"{_AT}.attribute.characters", f"{short} {quoted(value)} has invisible characters or outer spaces"
                )
            if attribute._type not in _STRING_TYPES:
                yield error("rfc-5280.4_1_2_4.attribute.encoding", f"{short} is a {attribute._type.name}")
            elif short in _PRINTABLE_ONLY and attribute._type is not _ASN1Type.PrintableString:
                yield error("x-520.attribute.encoding", f"{short} is a {attribute._type.name}, not a PrintableString")


def _presence(values: dict[str, str], scheme: NameScheme, requested: bool) -> Iterator[Finding]:
    for short, rule in scheme.attributes.items():
        value = values.get(short)
        at = f"{_AT}.{_SNAKE[short]}"
        if value is None:
            if rule.presence is Presence.MANDATORY and not (requested and short == "serialNumber"):
                yield error(f"{at}.missing", f"the subject has no {short}")
        elif rule.presence is Presence.FORBIDDEN:
            yield error(f"{at}.forbidden", f"the subject has {short} {quoted(value)}, which its type may not have")
        elif rule.pattern is not None and not rule.pattern.fullmatch(value):
            yield error(f"{at}.pattern", f"{short} {quoted(value)} does not match {rule.pattern.pattern}")


def _organization(value: str, policy: Policy, environment: EnvironmentName) -> Iterator[Finding]:
    due = policy.environments[environment].organization.value
    if value != due:
        yield error(
            f"{_AT}.organization.environment", f"O is {quoted(value)}, in environment {environment} it is {due}"
        )


def _country(value: str, kind: CertificateType, policy: Policy, environment: EnvironmentName) -> Iterator[Finding]:
    due = policy.environments[environment].country.value
    if kind in ROOT_SIDE and value != due:
        yield error(f"{_AT}.country.root", f"C is {quoted(value)}, the root's is {due}")


def _common_name(value: str, kind: CertificateType, policy: Policy, environment: EnvironmentName) -> Iterator[Finding]:
    at = f"{_AT}.common_name"
    if kind in ROOT_SIDE:
        due = policy.environments[environment].root_common_name.value + ROOT_SIDE[kind]
        if value != due:
            yield error(f"{at}.root", f"CN is {quoted(value)}, that of the {kind} is {due}")
        return
    pattern = policy.certificates[kind].name.common_name.value
    if not pattern.fullmatch(value):
        yield error(f"{at}.pattern", f"CN {quoted(value)} does not match {pattern.pattern}")
        return
    try:
        CommonName.parse(value)
    except PolicyError as refused:
        yield error(f"{at}.scheme", f"CN follows no name scheme: {refused.message[:200]}")
        return
    roots = [each.root_common_name.value for each in policy.environments.values()]
    if any(value == root or value.startswith(root + ".") for root in roots):
        yield error(f"{at}.reserved", f"CN {quoted(value)} belongs to the root")


def _serial_number(value: str, kind: CertificateType, policy: Policy, requested: bool) -> Iterator[Finding]:
    at = f"{_AT}.serial_number"
    highest = policy.names.serial_number_max.value
    first = policy.certificates[kind].name.first_serial_number.value
    if not _NUMBER.fullmatch(value):
        yield error(f"{at}.not_a_number", f"serialNumber {quoted(value)} is no decimal number")
    elif len(value) > len(str(highest)) or int(value) > highest:
        yield error(f"{at}.range", f"serialNumber {quoted(value)} is greater than {highest}")
    elif requested or first is None:
        return
    elif kind is CertificateType.SMGW_G and int(value) != first:
        yield error(f"{at}.guetesiegel", f"serialNumber is {value}, with a quality seal (Gütesiegel) it is {first}")
    elif int(value) < first:
        yield error(f"{at}.first", f"serialNumber is {value}, the first one is {first}")


_SNAKE = {
    "O": "organization",
    "OU": "organizational_unit",
    "C": "country",
    "serialNumber": "serial_number",
    "street": "street",
    "postalCode": "postal_code",
    "L": "locality",
    "ST": "state",
}
