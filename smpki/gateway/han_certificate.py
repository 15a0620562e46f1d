"""HAN certificates of gateways, technicians, consumers and CLS (TR-03109-1 detail specification, chapter 4)."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from smpki.errors import GatewayError
from smpki.gateway import certificate_making as making
from smpki.gateway.certificate_lint import certificate_findings
from smpki.gateway.certificate_names import common_names, device_of, host_names
from smpki.gateway.certificate_profile import PURPOSES, SEVEN_YEARS, ExtensionRule, Presence, Profile
from smpki.gateway.han_names import HanRole, name_findings
from smpki.policy.device_id import DeviceId
from smpki.policy.lint.certificate import Linter
from smpki.policy.lint.classify import classify
from smpki.policy.lint.finding import Finding, error
from smpki.policy.lint.issuer import facts_of
from smpki.policy.names import DistinguishedName, same_name


class HanType(enum.StrEnum):
    """How a HAN certificate came to be (4.1)."""

    SELF_SIGNED = "CT_Selfsigned"
    """Type A."""
    CA_SIGNED = "CT_CA_Signed"
    """Type B, by a CA of the administrator or the maker."""
    SM_PKI_SIGNED = "CT_SMPKI_Signed"
    """Type C: the gateway's TLS certificate of the SM-PKI (GW_WAN_TLS_CRT), which the WAN knows too."""


SELF_SIGNED = Profile(
    chapter=4,
    extensions={  # table 4.5
        "authority_key_identifier": ExtensionRule(Presence.OPTIONAL),
        "subject_key_identifier": ExtensionRule(Presence.OPTIONAL),
        "key_usage": ExtensionRule(Presence.RECOMMENDED, critical=False),
        "private_key_usage_period": ExtensionRule(Presence.FORBIDDEN),
        "certificate_policies": ExtensionRule(Presence.FORBIDDEN),
        "subject_alternative_name": ExtensionRule(Presence.OPTIONAL, critical=False),
        "basic_constraints": ExtensionRule(Presence.RECOMMENDED, critical=False),
        "extended_key_usage": ExtensionRule(Presence.RECOMMENDED, critical=False),
        "crl_distribution_points": ExtensionRule(Presence.FORBIDDEN),
    },
    others=Presence.OPTIONAL,
    hashes=("sha256", "sha384", "sha512"),
    host_suffixes=("sm", "eui"),
)
"""Type A. Its dates are looked after by the administrator, who configures it."""

CA_SIGNED = replace(
    SELF_SIGNED,
    extensions={  # table 4.5
        "authority_key_identifier": ExtensionRule(Presence.MANDATORY),
        "subject_key_identifier": ExtensionRule(Presence.MANDATORY),
        "key_usage": ExtensionRule(Presence.RECOMMENDED, critical=True),
        "private_key_usage_period": ExtensionRule(Presence.FORBIDDEN),
        "certificate_policies": ExtensionRule(Presence.OPTIONAL),
        "subject_alternative_name": ExtensionRule(Presence.OPTIONAL, critical=False),
        "basic_constraints": ExtensionRule(Presence.MANDATORY, critical=True),
        "extended_key_usage": ExtensionRule(Presence.RECOMMENDED, critical=False),
        "crl_distribution_points": ExtensionRule(Presence.OPTIONAL),
    },
    others=Presence.FORBIDDEN,
    self_signed=False,
)
"""Type B."""

_ALL_USAGES = frozenset(
    (
        *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
)

PROFILES: Mapping[tuple[HanType, HanRole], Profile] = MappingProxyType(
    {
        # as long as those of the LMN (4.2)
        (HanType.SELF_SIGNED, HanRole.GATEWAY): replace(SELF_SIGNED, longest=SEVEN_YEARS),
        (HanType.SELF_SIGNED, HanRole.TECHNICIAN): SELF_SIGNED,
        (HanType.SELF_SIGNED, HanRole.CONSUMER): SELF_SIGNED,
        # footnote 3 of 4.3.5.1
        (HanType.SELF_SIGNED, HanRole.CLS): replace(SELF_SIGNED, further_usages=_ALL_USAGES),
        (HanType.CA_SIGNED, HanRole.TECHNICIAN): CA_SIGNED,
    }
)
"""Who may have which type (table 4.1); a gateway may have type C too, which is the SM-PKI's to describe (4.4.1)."""


@dataclass(frozen=True)
class HanCertificate:
    """A HAN certificate, read.

    :param role: what the CN ends with; ``None`` for another end, since nobody has to interpret it (4.5.2)
    :param device: from the CN, or from a host name; ``None`` where there is none
    """

    certificate: x509.Certificate
    type: HanType
    role: HanRole | None
    device: DeviceId | None

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the DER, by which peers on the HAN know a self-signed one."""
        return self.certificate.fingerprint(SHA256())


def make_self_signed(
    role: HanRole,
    subject: DistinguishedName,
    key: ec.EllipticCurvePrivateKey,
    *,
    serial: int,
    made_at: datetime,
    not_after: datetime | None = None,
    host_names: Iterable[str] = (),
) -> x509.Certificate:
    """Make a certificate of type A, with all that the profile recommends.

    A gateway makes its own, and that of a CLS on whose behalf it made the key.

    :param subject: see :func:`smpki.gateway.han_names.gateway_name` and ``participant_name``
    :param key: its own, on a curve of TR-03116-3 table 4; it may lie in a token
    :param serial: random, positive, of 8 to 20 octets
    :param made_at: the moment in which the key was made
    :param not_after: by default seven years later
    :param host_names: for the SubjectAltName; recommended are ``<device id>.sm`` or ``<network address>.eui``
    :raises GatewayError: ``certificate.*`` for what a certificate can't hold or the profile forbids
    :raises PolicyError: ``name.value`` when X.520 forbids a value in the subject
    """
    profile = PROFILES[HanType.SELF_SIGNED, role]
    values: dict[str, x509.ExtensionType] = {
        "key_usage": making.key_usage("digital_signature"),
        **_alternative_names(host_names),
        "basic_constraints": x509.BasicConstraints(ca=False, path_length=None),
        "extended_key_usage": x509.ExtendedKeyUsage(PURPOSES),
    }
    return making.sign_certificate(
        subject,
        key.public_key(),
        None,
        key,
        [profile.extension(value, field) for field, value in values.items()],
        serial=serial,
        validity=(made_at, not_after or SEVEN_YEARS.after(made_at)),
        allowed_hashes=profile.hashes,
        lint=lambda made: lint_han_certificate(made, role, HanType.SELF_SIGNED),
    )


def make_ca_signed(
    subject: DistinguishedName,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    serial: int,
    made_at: datetime,
    not_after: datetime,
    host_names: Iterable[str] = (),
    crl_uris: Iterable[str] = (),
) -> x509.Certificate:
    """Make a technician's certificate of type B, with all that the profile recommends.

    :param issuer: the CA's certificate: see :func:`smpki.gateway.han_authority.make_technician_ca`
    :param crl_uris: where the CA's revocation list is found
    :raises GatewayError: ``certificate.issuer`` when it is no CA's, ``certificate.*`` for what a certificate can't
        hold or the profile forbids, and when the key is not the CA's
    :raises PolicyError: ``name.value`` when X.520 forbids a value in the subject
    """
    _check_issuer(issuer)
    values: dict[str, x509.ExtensionType] = {
        "authority_key_identifier": x509.AuthorityKeyIdentifier(facts_of(issuer).key_identifier, None, None),
        "subject_key_identifier": x509.SubjectKeyIdentifier.from_public_key(public_key),
        "key_usage": making.key_usage("digital_signature"),
        **_alternative_names(host_names),
        "basic_constraints": x509.BasicConstraints(ca=False, path_length=None),
        "extended_key_usage": x509.ExtendedKeyUsage(PURPOSES),
    }
    points = making.uris(crl_uris)
    if points:
        values["crl_distribution_points"] = x509.CRLDistributionPoints(
            [x509.DistributionPoint(points, None, None, None)]
        )
    return making.sign_certificate(
        subject,
        public_key,
        issuer.subject,
        issuer_key,
        [CA_SIGNED.extension(value, field) for field, value in values.items()],
        serial=serial,
        validity=(made_at, not_after),
        allowed_hashes=CA_SIGNED.hashes,
        lint=lambda made: lint_han_certificate(made, HanRole.TECHNICIAN, HanType.CA_SIGNED, issuer=issuer),
    )


def parse_han_certificate(data: bytes) -> HanCertificate:
    """Read a HAN certificate; whether it keeps to its profile is for :func:`lint_han_certificate` to say.

    :param data: DER
    :raises GatewayError: ``certificate.unreadable``
    """
    certificate = making.load_certificate(data)
    subject, issuer = certificate.subject, certificate.issuer
    names = (*common_names(subject), *host_names(certificate))
    devices = (device_of(name.rpartition(".")[0]) for name in names)
    type = HanType.SELF_SIGNED
    if not same_name(subject, issuer):
        type = HanType.SM_PKI_SIGNED if _is_of_sm_pki(certificate) else HanType.CA_SIGNED
    return HanCertificate(certificate, type, HanRole.of(subject), next(filter(None, devices), None))


def lint_han_certificate(
    certificate: x509.Certificate,
    role: HanRole,
    type: HanType,
    *,
    issuer: x509.Certificate | None = None,
    linter: Linter | None = None,
) -> tuple[Finding, ...]:
    """Check a certificate against the profile of its type; nothing that stands in it makes this fail.

    What is mandatory or forbidden is an error, what is recommended a warning. Its dates are not compared with a clock.

    :param role: whose it should be
    :param type: what it should be
    :param issuer: the CA's certificate where it is at hand; not for type A
    :param linter: the SM-PKI's rules, which decide on type C (4.4.1) and are needed for it alone
    :raises ValueError: when ``issuer`` can't be read, or type C comes without ``linter``
    """
    if (type, role) == (HanType.SM_PKI_SIGNED, HanRole.GATEWAY):
        if linter is None:
            raise ValueError("the SM-PKI's rules are missing")
        return _sm_pki_findings(certificate, linter, issuer)
    profile = PROFILES.get((type, role))
    if profile is None:
        message = f"{role.name.lower()}s don't have certificates of type {type.value}"
        return (error("tr-03109-1-ds.4_1.type", message),)
    hosts = host_names(certificate)
    return tuple(
        certificate_findings(certificate, profile, lambda subject: name_findings(subject, role, hosts), issuer)
    )


def _sm_pki_findings(
    certificate: x509.Certificate, linter: Linter, issuer: x509.Certificate | None
) -> tuple[Finding, ...]:
    kind = classify(certificate)
    if kind is None or not _is_of_sm_pki(certificate):
        message = "its name and key usage don't make it the TLS certificate of a gateway in the SM-PKI"
        return (error("tr-03109-1-ds.4_4_1.sm_pki", message),)
    return linter.certificate(certificate, *kind, issuer=issuer)


def _is_of_sm_pki(certificate: x509.Certificate) -> bool:
    kind = classify(certificate)
    return kind is not None and kind[0].is_gateway and kind[1] == "tls"


def _alternative_names(hosts: Iterable[str]) -> dict[str, x509.ExtensionType]:
    names = making.host_names(hosts)
    return {"subject_alternative_name": x509.SubjectAlternativeName(names)} if names else {}


def _check_issuer(issuer: x509.Certificate) -> None:
    values = {type(extension.value): extension.value for extension in issuer.extensions}
    constraints, usage = values.get(x509.BasicConstraints), values.get(x509.KeyUsage)
    if not getattr(constraints, "ca", False) or not getattr(usage, "key_cert_sign", True):
        message = "the issuer may not sign certificates (BasicConstraints, KeyUsage)"
        raise GatewayError("certificate.issuer", message, where="issuer", hint="give a CA's certificate")
