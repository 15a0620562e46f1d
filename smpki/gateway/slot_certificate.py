"""Does a certificate belong into a slot of the security module?"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import GatewayError
from smpki.gateway.slots import Group, Slot
from smpki.policy.names import same_name
from smpki.trust.holder import check_holder

T = TypeVar("T")


def check_slot_certificate(slot: Slot, certificate: x509.Certificate, key: ec.EllipticCurvePublicKey) -> None:
    """Refuse a certificate that is not for the slot's key, or not for what the slot is for.

    Chain, dates and names are looked at elsewhere: the security module knows neither time nor revocation.

    :param key: the slot's
    :raises GatewayError: ``module.certificate.unreadable``, ``module.certificate.key``, ``module.certificate.usage``
    """
    if _readable(slot, certificate.public_key) != key:
        raise _refused(slot, "key", "the certificate is for another key", "install it where its request was made")
    _readable(slot, lambda: certificate.subject)
    if reasons := _readable(slot, lambda: _reasons(slot, certificate)):
        hint = f"the slot takes a certificate for {slot.purpose.value.upper()}"
        raise _refused(slot, "usage", "; ".join(reasons), hint)


def check_one_holder(certificates: Mapping[Slot, x509.Certificate]) -> None:
    """Refuse a triple of several holders: the names of a triple are alike, its number included (RFC 5280 7.1).

    :raises GatewayError: ``module.certificate.holder``
    """
    (first, one), *others = certificates.items()
    for slot, other in others:
        if not same_name(one.subject, other.subject):
            message = f"its certificate is for {_text(other)}, that of {first.value} for {_text(one)}"
            raise _refused(slot, "holder", message, "install the three certificates of one package")


def _reasons(slot: Slot, certificate: x509.Certificate) -> list[str]:
    if slot.group is Group.WAN:
        return [reason.message for reason in check_holder(certificate, None, slot.purpose.value)]
    # HAN and LMN: recommended, and where it is there it says digitalSignature (Detailspezifikationen 3.3.5, 4.3.5)
    usages = [extension.value for extension in certificate.extensions if isinstance(extension.value, x509.KeyUsage)]
    return [] if all(usage.digital_signature for usage in usages) else ["its key usage lacks digital_signature"]


def _readable(slot: Slot, read: Callable[[], T]) -> T:
    try:
        return read()
    except Exception:  # pyca: ValueError, UnsupportedAlgorithm, DuplicateExtension and more
        raise _refused(slot, "unreadable", "the certificate has parts that can't be read", "ask its issuer") from None


def _text(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _refused(slot: Slot, rule: str, message: str, hint: str) -> GatewayError:
    return GatewayError(f"module.certificate.{rule}", message, where=slot.value, hint=hint)
