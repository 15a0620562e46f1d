"""The CA of an administrator or maker, which signs technicians' certificates (TR-03109-1 detail specification, 4.6).

GWACA_SIG_CRT and GWHCA_SIG_CRT have to keep to what section 4.3 says of self-signed certificates. That can't be meant
of KeyUsage and BasicConstraints: a CA that says cA=FALSE and may only sign handshakes has certified nobody (RFC 5280
6.1.4). So these two are those of a CA here.
"""

from collections.abc import Iterator
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.gateway.certificate_lint import certificate_findings
from smpki.gateway.certificate_making import key_usage, sign_certificate
from smpki.gateway.certificate_names import common_names
from smpki.gateway.certificate_profile import ExtensionRule, Presence, Profile
from smpki.gateway.han_certificate import SELF_SIGNED
from smpki.policy.lint.finding import Finding, warning
from smpki.policy.names import DistinguishedName

PROFILE = Profile(
    chapter=4,
    section="6_1",
    extensions={
        **SELF_SIGNED.extensions,
        "subject_key_identifier": ExtensionRule(Presence.MANDATORY, critical=False),  # RFC 5280 4.2.1.2
        "key_usage": ExtensionRule(Presence.MANDATORY, critical=True),  # RFC 5280 4.2.1.3
        "basic_constraints": ExtensionRule(Presence.MANDATORY, critical=True),  # RFC 5280 4.2.1.9
        "extended_key_usage": ExtensionRule(Presence.OPTIONAL, critical=False),
    },
    others=Presence.OPTIONAL,
    hashes=SELF_SIGNED.hashes,
    ca=True,
    usages=frozenset({"key_cert_sign"}),
    further_usages=frozenset({"crl_sign", "digital_signature"}),
)
"""A CA that signs itself."""


def make_technician_ca(
    subject: DistinguishedName,
    key: ec.EllipticCurvePrivateKey,
    *,
    serial: int,
    made_at: datetime,
    not_after: datetime,
) -> x509.Certificate:
    """Make the certificate of such a CA, below which stand no further CAs.

    :param subject: much like a CA's in the SM-PKI, such as ``CN=Messwerk.CA, O=Messwerk, C=DE`` (4.6.2)
    :param key: its own, on a curve of TR-03116-3 table 4; it may lie in a token
    :param serial: random, positive, of 8 to 20 octets
    :raises GatewayError: ``certificate.*`` for what a certificate can't hold or the profile forbids
    :raises PolicyError: ``name.value`` when X.520 forbids a value in the subject
    """
    values: dict[str, x509.ExtensionType] = {
        "subject_key_identifier": x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        "key_usage": key_usage("key_cert_sign", "crl_sign"),
        "basic_constraints": x509.BasicConstraints(ca=True, path_length=0),
    }
    return sign_certificate(
        subject,
        key.public_key(),
        None,
        key,
        [PROFILE.extension(value, field) for field, value in values.items()],
        serial=serial,
        validity=(made_at, not_after),
        allowed_hashes=PROFILE.hashes,
        lint=lint_technician_ca,
    )


def lint_technician_ca(certificate: x509.Certificate) -> tuple[Finding, ...]:
    """Check the certificate of such a CA; nothing that stands in it makes this fail."""
    return tuple(certificate_findings(certificate, PROFILE, _name_findings))


def _name_findings(subject: x509.Name) -> Iterator[Finding]:
    if not common_names(subject):
        yield warning("tr-03109-1-ds.4_6_2.common_name.missing", "CN is recommended, and missing")
