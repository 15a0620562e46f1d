"""Explain the extensions of certificates, CRLs and requests (RFC 5280 sections 4.2 and 5.2)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from smpki.policy.lint.contents import key_usage_bits
from smpki.policy.lint.extensions import FIELDS
from smpki.policy.model import Policy
from smpki.policy.terms import EXTENDED_KEY_USAGES, EXTENSIONS, GENERAL_NAMES, KEY_USAGES, Term
from smpki.requests.explain_parts import Fact, fact, moment_words, one_line

_NAMES = MappingProxyType(
    {
        **FIELDS,
        ExtensionOID.CRL_NUMBER: "crl_number",
        ExtensionOID.ISSUING_DISTRIBUTION_POINT: "issuing_distribution_point",
        ExtensionOID.DELTA_CRL_INDICATOR: "delta_crl_indicator",
    }
)
_PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH: "client_auth", ExtendedKeyUsageOID.SERVER_AUTH: "server_auth"}


def extension_facts(extensions: x509.Extensions, policy: Policy) -> tuple[Fact, ...]:
    """Every extension in words."""
    return tuple(_fact(extension, policy) for extension in extensions)


def general_name_words(name: x509.GeneralName) -> str:
    """A general name in words."""
    match name:
        case x509.RFC822Name():
            return f"{GENERAL_NAMES['email']}: {name.value}"
        case x509.UniformResourceIdentifier():
            return f"{GENERAL_NAMES['uri']}: {name.value}"
        case x509.DNSName():
            return f"{GENERAL_NAMES['dns']}: {name.value}"
        case x509.DirectoryName():
            return f"name (Name): {one_line(name.value)}"
    return f"{type(name).__name__}, which the SM-PKI does not use"


def _fact(extension: x509.Extension[x509.ExtensionType], policy: Policy) -> Fact:
    field = _NAMES.get(extension.oid)
    # pyca does not know a CRL's extension in a certificate, nor the other way round
    if field is None or isinstance(extension.value, x509.UnrecognizedExtension):
        term = Term(f"Extension {extension.oid.dotted_string}", "unbekannte Erweiterung")
        return fact(term, ["none that the SM-PKI has here"], critical=extension.critical)
    return fact(EXTENSIONS[field], _WORDS[field](extension.value, policy), critical=extension.critical)


def _authority_key_identifier(value: x509.AuthorityKeyIdentifier, policy: Policy) -> Iterator[str]:
    if value.key_identifier is not None:
        yield f"the issuer's key is {value.key_identifier.hex()}"
    for name in value.authority_cert_issuer or ():
        yield f"the issuer's certificate was issued by {general_name_words(name)}"
    if value.authority_cert_serial_number is not None:
        yield f"the issuer's certificate has serial number {value.authority_cert_serial_number:x}"


def _subject_key_identifier(value: x509.SubjectKeyIdentifier, policy: Policy) -> Iterator[str]:
    yield f"this key is {value.digest.hex()}"


def _key_usage(value: x509.KeyUsage, policy: Policy) -> Iterator[str]:
    bits = key_usage_bits(value)
    yield "the key is for: " + (", ".join(str(KEY_USAGES[bit]) for bit in bits) or "nothing")


def _extended_key_usage(value: x509.ExtendedKeyUsage, policy: Policy) -> Iterator[str]:
    known = (_PURPOSES.get(oid) for oid in value)
    words = (str(EXTENDED_KEY_USAGES[key]) if key else oid.dotted_string for key, oid in zip(known, value, strict=True))
    yield "the key is for: " + ", ".join(words)


def _private_key_usage_period(value: x509.PrivateKeyUsagePeriod, policy: Policy) -> Iterator[str]:
    if value.not_before is not None:
        yield f"the private key is used from {moment_words(value.not_before)}"
    if value.not_after is not None:
        yield f"the private key is used until {moment_words(value.not_after)}"


def _certificate_policies(value: x509.CertificatePolicies, policy: Policy) -> Iterator[str]:
    identifiers = policy.identifiers
    known = {identifiers.sm_pki.value: "the SM-PKI's", identifiers.sub_ca.value: "our Sub-CAs' own"}
    for each in value:
        oid = each.policy_identifier.dotted_string
        yield f"issued under policy {oid}, {known.get(oid, 'the own one of another operator')}"
        for qualifier in each.policy_qualifiers or ():
            if isinstance(qualifier, str):
                yield f"its practice statement (CPS) is at {qualifier}"
            else:
                yield f"its notice to users: {qualifier.explicit_text or 'none'}"


def _general_names(value: Iterable[x509.GeneralName], policy: Policy) -> Iterator[str]:
    return (general_name_words(name) for name in value)


def _basic_constraints(value: x509.BasicConstraints, policy: Policy) -> Iterator[str]:
    if not value.ca:
        yield "no CA: it issues no certificates"
    elif value.path_length == 0:
        yield "a CA that issues to holders who are no CA themselves (path length 0)"
    else:
        length = "of any number" if value.path_length is None else f"of at most {value.path_length}"
        yield f"a CA with CAs below it, {length}"


def _crl_distribution_points(value: x509.CRLDistributionPoints, policy: Policy) -> Iterator[str]:
    for point in value:
        yield from (f"the CRL (Sperrliste) is at {_address(name)}" for name in point.full_name or ())
        yield from (f"its signer is {general_name_words(name)} (indirect CRL)" for name in point.crl_issuer or ())


def _authority_information_access(value: x509.AuthorityInformationAccess, policy: Policy) -> Iterator[str]:
    return (f"{each.access_method.dotted_string}: {_address(each.access_location)}" for each in value)


def _crl_number(value: x509.CRLNumber, policy: Policy) -> Iterator[str]:
    yield str(value.crl_number)


def _delta_crl_indicator(value: x509.DeltaCRLIndicator, policy: Policy) -> Iterator[str]:
    yield f"only what changed since CRL number {value.crl_number}, which the SM-PKI does not use"


def _issuing_distribution_point(value: x509.IssuingDistributionPoint, policy: Policy) -> Iterator[str]:
    yield from (f"this CRL is at {_address(name)}" for name in value.full_name or ())
    if value.indirect_crl:
        yield "it also holds certificates of other issuers than its own (indirect CRL)"
    if value.only_contains_user_certs:
        yield "it holds only certificates of end users"
    if value.only_contains_ca_certs:
        yield "it holds only certificates of CAs"
    if value.only_some_reasons:
        yield "it holds only certificates revoked for some reasons"


def _address(name: x509.GeneralName) -> str:
    return name.value if isinstance(name, x509.UniformResourceIdentifier) else general_name_words(name)


_WORDS: Mapping[str, Callable[[Any, Policy], Iterator[str]]] = MappingProxyType(
    {
        "authority_key_identifier": _authority_key_identifier,
        "subject_key_identifier": _subject_key_identifier,
        "key_usage": _key_usage,
        "private_key_usage_period": _private_key_usage_period,
        "certificate_policies": _certificate_policies,
        "subject_alternative_name": _general_names,
        "issuer_alternative_name": _general_names,
        "basic_constraints": _basic_constraints,
        "extended_key_usage": _extended_key_usage,
        "crl_distribution_points": _crl_distribution_points,
        "authority_information_access": _authority_information_access,
        "crl_number": _crl_number,
        "delta_crl_indicator": _delta_crl_indicator,
        "issuing_distribution_point": _issuing_distribution_point,
    }
)
