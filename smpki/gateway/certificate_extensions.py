"""Lint the extensions of LMN and HAN certificates (TR-03109-1 detail specification, 3.3.5 and 4.3.5)."""

import re
from collections.abc import Iterable, Iterator, Sequence

from cryptography import x509

from smpki.gateway.certificate_names import device_of
from smpki.gateway.certificate_profile import PURPOSES, ExtensionRule, Presence, Profile
from smpki.policy.lint.contents import key_usage_bits
from smpki.policy.lint.extensions import FIELDS
from smpki.policy.lint.finding import Finding, error, warning
from smpki.policy.lint.issuer import facts_of
from smpki.policy.text import quoted

_NETWORK_ADDRESS = re.compile("(?:[0-9a-f]{2}-?){5}(?:(?:[0-9a-f]{2}-?){2})?[0-9a-f]{2}")  # EUI-48 or EUI-64
_HOST_FORMS = {"sm": "<device id>.sm", "eui": "<network address>.eui"}


def extensions_findings(
    extensions: x509.Extensions, profile: Profile, issuer: x509.Certificate | None
) -> Iterator[Finding]:
    """Which extensions there are, whether they are critical, and what is in them.

    :param issuer: the issuer's certificate, the same one where it is self-signed; ``None`` where it is not at hand
    """
    at = profile.at(profile.section)
    found: dict[str, x509.Extension[x509.ExtensionType]] = {}
    for extension in extensions:
        name, field = extension.oid.dotted_string, FIELDS.get(extension.oid)
        if field in profile.extensions:
            found[str(field)] = extension
        elif profile.others is Presence.FORBIDDEN:
            yield error(f"{at}.unknown_extension", f"extension {name} is not in the profile")
        elif extension.critical:
            message = f"extension {name} is critical, and who does not know it refuses the certificate"
            yield warning("rfc-5280.4_2.critical_extension", message)
    for field, rule in profile.extensions.items():
        yield from _extension_findings(found.get(field), rule, f"{at}.{field}")
        if field in found:
            yield from _content_findings(found[field].value, f"{at}.{field}", profile, issuer)


def _extension_findings(
    found: x509.Extension[x509.ExtensionType] | None, rule: ExtensionRule, at: str
) -> Iterator[Finding]:
    if found is None:
        if rule.presence is Presence.MANDATORY:
            yield error(f"{at}.missing", "the extension is missing")
        elif rule.presence is Presence.RECOMMENDED:
            yield warning(f"{at}.missing", "the extension is recommended, and missing")
    elif rule.presence is Presence.FORBIDDEN:
        yield error(f"{at}.forbidden", "the extension is there, the profile forbids it")
    elif rule.critical not in (None, found.critical):
        state, due = ("critical", "not critical") if found.critical else ("not_critical", "critical")
        yield error(f"{at}.{state}", f"the extension has to be {due}")


def _content_findings(
    value: x509.ExtensionType, at: str, profile: Profile, issuer: x509.Certificate | None
) -> Iterator[Finding]:
    match value:
        case x509.AuthorityKeyIdentifier():
            yield from _authority_key_findings(value, at, issuer)
        case x509.KeyUsage():
            bits = set(key_usage_bits(value))
            if not profile.usages <= bits <= profile.usages | profile.further_usages:
                yield error(f"{at}.bits", f"the bits are {_list(bits)}, due are {_list(profile.usages)}")
        case x509.SubjectAlternativeName():
            yield from _host_findings(value.get_values_for_type(x509.DNSName), at, profile)
        case x509.BasicConstraints() if value.ca != profile.ca:
            yield error(f"{at}.ca", f"cA is {value.ca}, due is {profile.ca}")
        case x509.ExtendedKeyUsage() if set(value) != set(PURPOSES):
            names = _list(purpose._name for purpose in value)
            yield warning(f"{at}.purposes", f"the purposes are {names}, recommended are clientAuth and serverAuth")


def _authority_key_findings(
    value: x509.AuthorityKeyIdentifier, at: str, issuer: x509.Certificate | None
) -> Iterator[Finding]:
    due = None if issuer is None else facts_of(issuer).key_identifier
    serial = value.authority_cert_serial_number
    if value.key_identifier is None:
        yield error("rfc-5280.4_2_1_1.authority_key_identifier.key_identifier", "keyIdentifier is missing")
    elif due is not None and value.key_identifier != due:
        yield error(f"{at}.value", f"keyIdentifier is {value.key_identifier.hex()}, the issuer's key has {due.hex()}")
    if issuer is not None and serial not in (None, issuer.serial_number):
        yield error(f"{at}.serial", f"authorityCertSerialNumber is {serial}, the issuer has {issuer.serial_number}")


def _host_findings(hosts: Sequence[str], at: str, profile: Profile) -> Iterator[Finding]:
    if profile.host_suffixes and not any(_is_recommended(host.lower(), profile) for host in hosts):
        forms = " or ".join(_HOST_FORMS[suffix] for suffix in profile.host_suffixes)
        message = f"the host names (dNSName) are {_list(map(quoted, hosts))}, recommended is one of the form {forms}"
        yield warning(f"{at}.dns", message)


def _is_recommended(host: str, profile: Profile) -> bool:
    label, _, suffix = host.rpartition(".")
    if suffix not in profile.host_suffixes:
        return False
    return (_NETWORK_ADDRESS.fullmatch(label) if suffix == "eui" else device_of(label)) is not None


def _list(values: Iterable[str]) -> str:
    return ", ".join(sorted(values)) or "none"
