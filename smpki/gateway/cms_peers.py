"""Whose certificates a content is protected with: equal to what is configured, and fit for the purpose.

That is all there is to validate (Detailspezifikationen zur TR-03109-1 v2.0, 5.2.1): the certificate that a message
refers to is compared with the one configured; that one's chain, dates and profile were looked at before it was.
"""

from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.asn1.curves import CURVES
from smpki.errors import GatewayError

T = TypeVar("T", bound=x509.ExtensionType)
_TLS = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}


def check_signer(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """See that a certificate is for signatures (SIG), as far as its key usages say.

    :raises GatewayError: ``cms.certificate.use``, ``.curve``, ``.unreadable``
    """
    usage = _value(certificate, x509.KeyUsage)
    purposes = _value(certificate, x509.ExtendedKeyUsage)
    if (usage and not usage.digital_signature) or (purposes and _TLS & set(purposes)):
        raise _refused("use", "the sender's certificate is not for signatures", "sender", "give a SIG certificate")
    return _public_key(certificate, "sender")


def check_recipient(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """See that a certificate is for key agreement (ENC), as far as its key usage says.

    :raises GatewayError: ``cms.certificate.use``, ``.curve``, ``.unreadable``
    """
    usage = _value(certificate, x509.KeyUsage)
    if usage and not usage.key_agreement:
        hint = "give an ENC certificate"
        raise _refused("use", "the recipient's certificate is not for key agreement", "recipient", hint)
    return _public_key(certificate, "recipient")


def check_pair(key: ec.EllipticCurvePrivateKey, public: ec.EllipticCurvePublicKey, whose: str) -> None:
    """See that a private key is that of a certificate.

    :param whose: ``sender`` or ``recipient``
    :raises GatewayError: ``cms.key``
    """
    if key.public_key() != public:
        message = f"the private key is not that of the {whose}'s certificate"
        raise GatewayError("cms.key", message, where=whose, hint="give a key and its certificate")


def key_identifier(certificate: x509.Certificate) -> bytes:
    """The SubjectKeyIdentifier; where a certificate has none, the hash of its key (RFC 5280 4.2.1.2 (1))."""
    given = _value(certificate, x509.SubjectKeyIdentifier)
    return (given or x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())).digest


def _value(certificate: x509.Certificate, kind: type[T]) -> T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except Exception:  # pyca: ValueError, DuplicateExtension and more
        message = "a certificate has extensions that can't be read"
        raise _refused("unreadable", message, "certificate", "give one as RFC 5280 defines them") from None


def _public_key(certificate: x509.Certificate, whose: str) -> ec.EllipticCurvePublicKey:
    try:
        key: object = certificate.public_key()
    except Exception:  # pyca: ValueError, UnsupportedAlgorithm
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        message = f"the key of the {whose}'s certificate is on none of the curves that may be used"
        raise _refused("curve", message, whose, "see TR-03116-3 table 4")
    return key


def _refused(rule: str, message: str, where: str, hint: str) -> GatewayError:
    return GatewayError(f"cms.certificate.{rule}", message, where=where, hint=hint)
