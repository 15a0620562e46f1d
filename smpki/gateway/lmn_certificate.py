"""LMN certificates: self-signed, of gateways and meters (TR-03109-1 detail specification, chapter 3).

Extension 2.5.29.27, which section 3.3.5.3 prints for the SubjectAltName, is taken for a misprint of 2.5.29.17.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from smpki.errors import GatewayError
from smpki.gateway.certificate_lint import certificate_findings
from smpki.gateway.certificate_making import key_usage, load_certificate, sign_certificate
from smpki.gateway.certificate_names import common_names, device_of, host_names
from smpki.gateway.certificate_profile import PURPOSES, SEVEN_YEARS, ExtensionRule, Presence, Profile
from smpki.policy.device_id import DeviceId
from smpki.policy.lint.finding import Finding, error
from smpki.policy.names import DistinguishedName
from smpki.policy.text import quoted

_SUFFIX = "sm"

PROFILE = Profile(
    chapter=3,
    extensions={  # table 3.5
        "authority_key_identifier": ExtensionRule(Presence.FORBIDDEN),
        "subject_key_identifier": ExtensionRule(Presence.OPTIONAL),
        "key_usage": ExtensionRule(Presence.RECOMMENDED, critical=True),
        "private_key_usage_period": ExtensionRule(Presence.FORBIDDEN),
        "certificate_policies": ExtensionRule(Presence.FORBIDDEN),
        "subject_alternative_name": ExtensionRule(Presence.OPTIONAL, critical=True),
        "issuer_alternative_name": ExtensionRule(Presence.FORBIDDEN),
        "basic_constraints": ExtensionRule(Presence.RECOMMENDED, critical=False),
        "extended_key_usage": ExtensionRule(Presence.RECOMMENDED),
        "crl_distribution_points": ExtensionRule(Presence.FORBIDDEN),
    },
    others=Presence.FORBIDDEN,
    hashes=("sha256", "sha384"),
    host_suffixes=(_SUFFIX,),
    longest=SEVEN_YEARS,
    largest=600,
)
"""Type A, the only one on the LMN."""


class LmnHolder(enum.Enum):
    """Whose an LMN certificate is (table 3.1); the value is what its device id may start with."""

    GATEWAY = "e"
    """GW_LMN_TLS_CRT."""
    METER = "156789"
    """MTR_LMN_TLS_CRT: electricity, cold, heat, gas, cold and warm water."""

    @classmethod
    def of(cls, device: DeviceId) -> "LmnHolder | None":
        """The kind of holder that a device is; ``None`` for one that has no business on the LMN."""
        return next((holder for holder in cls if device.dns[0] in holder.value), None)

    @property
    def section(self) -> str:
        """Where its name scheme stands, behind the chapter."""
        return "5_2" if self is LmnHolder.GATEWAY else "4_2"


@dataclass(frozen=True)
class LmnCertificate:
    """An LMN certificate, read.

    :param holder: what the device is
    :param device: from the CN, or from a host name where there is no CN
    """

    certificate: x509.Certificate
    holder: LmnHolder
    device: DeviceId

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the DER, by which peers on the LMN know each other."""
        return self.certificate.fingerprint(SHA256())


def make_lmn_certificate(
    device: DeviceId,
    key: ec.EllipticCurvePrivateKey,
    *,
    serial: int,
    made_at: datetime,
    not_after: datetime | None = None,
    with_host_name: bool = False,
) -> LmnCertificate:
    """Make a gateway's or meter's certificate, with all that the profile recommends and at most 600 octets.

    :param device: tells which of both it is
    :param key: its own, on a curve of TR-03116-3 table 4; it may lie in a token
    :param serial: random, positive, of 8 to 20 octets
    :param made_at: the moment in which the key was made
    :param not_after: at most seven years later, which is the default
    :param with_host_name: whether to name the device in the SubjectAltName too
    :raises GatewayError: ``certificate.*`` for what a certificate can't hold or the profile forbids
    """
    name = f"{device.dns}.{_SUFFIX}"
    values: dict[str, x509.ExtensionType] = {"key_usage": key_usage("digital_signature")}
    if with_host_name:
        values["subject_alternative_name"] = x509.SubjectAlternativeName([x509.DNSName(name)])
    values["basic_constraints"] = x509.BasicConstraints(ca=False, path_length=None)
    values["extended_key_usage"] = x509.ExtendedKeyUsage(PURPOSES)
    holder = LmnHolder.of(device) or LmnHolder.METER
    certificate = sign_certificate(
        DistinguishedName.of(CN=name),
        key.public_key(),
        None,
        key,
        [PROFILE.extension(value, field) for field, value in values.items()],
        serial=serial,
        validity=(made_at, not_after or SEVEN_YEARS.after(made_at)),
        allowed_hashes=PROFILE.hashes,
        lint=lambda made: lint_lmn_certificate(made, holder),
    )
    return LmnCertificate(certificate, holder, device)


def parse_lmn_certificate(data: bytes) -> LmnCertificate:
    """Read an LMN certificate; whether it keeps to the profile is for :func:`lint_lmn_certificate` to say.

    :param data: DER
    :raises GatewayError: ``certificate.unreadable``, or ``certificate.lmn.device`` when it names no device of the LMN
    """
    certificate = load_certificate(data)
    names = common_names(certificate.subject) or host_names(certificate)
    for name in names:
        device = _device_in(name)
        holder = None if device is None else LmnHolder.of(device)
        if device is not None and holder is not None:
            return LmnCertificate(certificate, holder, device)
    message = f"no gateway and no meter is named: {', '.join(map(quoted, names)) or 'there is no name'}"
    hint = "the CN has to be a device id (DIN 43849) and .sm, such as ebsi0012345678.sm"
    raise GatewayError("certificate.lmn.device", message, where="subject", hint=hint)


def lint_lmn_certificate(certificate: x509.Certificate, holder: LmnHolder) -> tuple[Finding, ...]:
    """Check a certificate against the profile; nothing that stands in it makes this fail.

    What is mandatory or forbidden is an error, what is recommended a warning. Its dates are not compared with a clock.

    :param holder: whose it should be
    """
    hosts = host_names(certificate)
    return tuple(certificate_findings(certificate, PROFILE, lambda name: _name_findings(name, hosts, holder)))


def _name_findings(subject: x509.Name, hosts: tuple[str, ...], holder: LmnHolder) -> Iterator[Finding]:
    """3.4.2 and 3.5.2: ``<device id>.sm``, in any case."""
    names = common_names(subject)
    at = f"{PROFILE.at(holder.section)}.common_name"
    if len(names) > 1:
        yield error(f"{at}.repeated", f"the subject has {len(names)} common names")
    if not names and not hosts:
        message = "the device has no name: neither a CN nor a host name (dNSName)"
        yield error(f"{PROFILE.at('3_5')}.subject_alternative_name.missing", message)
    named = [device for device in map(_device_in, hosts) if device is not None]
    if not names and named and not any(LmnHolder.of(device) is holder for device in named):
        message = f"the host names (dNSName) name no {holder.name.lower()}: {', '.join(map(str, named))}"
        yield error(f"{PROFILE.at('3_5')}.subject_alternative_name.sector", message)
    for name in names:
        device = _device_in(name)
        if device is None:
            yield error(f"{at}.form", f"the CN is {quoted(name)}, due is a device id (DIN 43849) and .sm")
        elif LmnHolder.of(device) is not holder:
            message = f"the device id {device} is none of a {holder.name.lower()}: it starts with {holder.value}"
            yield error(f"{at}.sector", message)


def _device_in(name: str) -> DeviceId | None:
    label, _, suffix = name.rpartition(".")
    return device_of(label) if suffix.lower() == _SUFFIX else None
