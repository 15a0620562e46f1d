"""Is this the certificate of whom it should be: name scheme, key usage, and who may issue to whom."""

from collections.abc import Mapping
from types import MappingProxyType

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.policy.lint.classify import classify
from smpki.policy.model import CertificateType
from smpki.trust.question import Path, Reason, Use, reason

_USAGE = "TR-03109-4 annex A.2"
_NAMES = "SM-PKI Certificate Policy annex A"

_USAGE_BITS: Mapping[Use, tuple[str, ...]] = MappingProxyType(
    {"tls": ("digital_signature",), "sig": ("digital_signature",), "enc": ("key_agreement",)}
)
_TLS_PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}

_ROOTS = (CertificateType.ROOT, CertificateType.LINK)
_ISSUERS: Mapping[CertificateType, tuple[CertificateType, ...]] = MappingProxyType(
    {
        CertificateType.LINK: _ROOTS,
        CertificateType.CRL_SIGNER: _ROOTS,
        CertificateType.TLS_SIGNER: _ROOTS,
        CertificateType.SUB_CA: _ROOTS,
        CertificateType.ROOT_TLS: (CertificateType.TLS_SIGNER,),
        CertificateType.SUB_CA_TLS_ROOT: (CertificateType.TLS_SIGNER,),
    }
)
"""Who issues to whom (TR-03109-4 chapter 2); all others get theirs from a Sub-CA."""


def check_holder(certificate: x509.Certificate, role: CertificateType | None, use: Use | None) -> list[Reason]:
    """What speaks against a certificate for a role and a use; nothing is asked where they are ``None``."""
    found = []
    if role is not None:
        kind = classify(certificate)
        if kind is None or kind[0] is not role:
            what = "of nobody in the SM-PKI" if kind is None else f"of type {kind[0].value}"
            message = f"its name and key usage make it a certificate {what}, not of type {role.value}"
            found.append(reason(certificate, "trust.role.name", _NAMES, message))
    if use is not None:
        found += _check_use(certificate, use)
    return found


def check_issuer(path: Path, role: CertificateType | None) -> list[Reason]:
    """What speaks against the last CA of a chain as the issuer of a certificate in that role."""
    if role is None or len(path) == 1:
        return []
    allowed = _ISSUERS.get(role, (CertificateType.SUB_CA,))
    kind = classify(path[-2])
    if kind is not None and kind[0] in allowed:
        return []
    message = f"it is no issuer of certificates of type {role.value}"
    return [reason(path[-2], "trust.role.issuer", "TR-03109-4 chapter 2", message)]


def _check_use(certificate: x509.Certificate, use: Use) -> list[Reason]:
    found = []
    values = {type(extension.value): extension.value for extension in certificate.extensions}
    usage, extended = values.get(x509.KeyUsage), values.get(x509.ExtendedKeyUsage)
    for bit in _USAGE_BITS[use]:
        if usage is None or not getattr(usage, bit):
            message = f"its key usage lacks {bit}, which {use} needs"
            found.append(reason(certificate, "trust.use.key_usage", _USAGE, message))
    purposes = set(extended) if isinstance(extended, x509.ExtendedKeyUsage) else set()
    if use == "tls" and not purposes >= _TLS_PURPOSES:
        message = "its extended key usage lacks clientAuth or serverAuth, which tls needs"
        found.append(reason(certificate, "trust.use.extended_key_usage", _USAGE, message))
    if use != "tls" and extended is not None:
        message = f"it has an extended key usage, which a certificate for {use} has not"
        found.append(reason(certificate, "trust.use.extended_key_usage", _USAGE, message))
    return found
