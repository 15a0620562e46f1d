"""Who a certificate names: common names, and device ids in them and in host names."""

from cryptography import x509
from cryptography.x509.oid import NameOID

from smpki.errors import PolicyError
from smpki.policy.device_id import DeviceId
from smpki.policy.names import DistinguishedName


def device_of(label: str) -> DeviceId | None:
    """The device id (DIN 43849) that a label is, whatever its case; ``None`` when it is none."""
    try:
        return DeviceId.parse(label.lower())
    except PolicyError:
        return None


def common_name(certificate: x509.Certificate) -> str | None:
    """The CN by the name scheme of the SM-PKI; ``None`` where there is none that can be read."""
    try:
        return DistinguishedName.from_x509(certificate.subject).get("CN")
    except (PolicyError, ValueError):
        return None


def common_names(name: x509.Name) -> tuple[str, ...]:
    """The common names of a certificate of the LMN or HAN; one is due."""
    return tuple(str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME))


def host_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The host names (dNSName) of the SubjectAltName; none where it is absent or can't be read."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(names.get_values_for_type(x509.DNSName))
    except Exception:  # pyca: ExtensionNotFound, ValueError, DuplicateExtension and more
        return ()
