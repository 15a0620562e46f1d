"""The name scheme of HAN certificates (TR-03109-1 detail specification, tables 4.6 and 4.7)."""

import enum
import re
from collections.abc import Iterator

from cryptography import x509

from smpki.errors import PolicyError
from smpki.gateway.certificate_names import common_names, device_of
from smpki.policy.device_id import DeviceId
from smpki.policy.lint.finding import Finding, error, notice, warning
from smpki.policy.names import ATTRIBUTES, CommonName, DistinguishedName
from smpki.policy.text import quoted

_DOCUMENT = "tr-03109-1-ds"
_SM_PKI = re.compile("SM-.*PKI", re.IGNORECASE)
_COUNTRY = re.compile("[A-Z]{2}")
_NUMBER = re.compile("[1-9][0-9]{0,9}")
_HIGHEST_NUMBER = 2**31 - 1


class HanRole(enum.Enum):
    """Whose a HAN certificate is (table 4.1); the value is what its CN ends with."""

    GATEWAY = "smgw"
    """GW_HAN_TLS_CRT."""
    TECHNICIAN = "srv"
    """SRV_HAN_TLS_CRT, a service technician (Servicetechniker)."""
    CONSUMER = "con"
    """CON_HAN_TLS_CRT (Letztverbraucher)."""
    CLS = "cls"
    """CLS_HAN_TLS_CRT, a controllable local system."""

    @classmethod
    def of(cls, name: x509.Name) -> "HanRole | None":
        """The role that a subject's CN ends with; ``None`` for another end, since nobody has to interpret it."""
        ends = {common_name.rpartition(".")[2].lower() for common_name in common_names(name)}
        return next((role for role in cls if role.value in ends), None)


def gateway_name(
    device: DeviceId,
    *,
    number: int = 1,
    country: str = "DE",
    administrator: str | None = None,
    organization: str | None = None,
) -> DistinguishedName:
    """The subject of a gateway's own HAN certificate (table 4.6).

    :param number: counts the gateway's certificates, from 1 on
    :param administrator: CN of the administrator's signature certificate
    :param organization: not that of the SM-PKI
    """
    common_name = f"{device.dns}.{HanRole.GATEWAY.value}"
    return DistinguishedName.of(CN=common_name, O=organization, OU=administrator, C=country, serialNumber=str(number))


def participant_name(
    role: HanRole, identity: str, *, number: int | None = None, country: str | None = None
) -> DistinguishedName:
    """The subject of a technician's, consumer's or CLS's certificate (table 4.7).

    :param identity: of a CLS its device id; of others what their issuer likes
    :param number: counts the holder's certificates, from 1 on
    """
    serial_number = None if number is None else str(number)
    return DistinguishedName.of(CN=f"{identity}.{role.value}", C=country, serialNumber=serial_number)


def name_findings(subject: x509.Name, role: HanRole, hosts: tuple[str, ...]) -> Iterator[Finding]:
    """What the name scheme has to say of a subject.

    :param hosts: host names (dNSName) of the certificate
    """
    is_gateway = role is HanRole.GATEWAY
    at = f"{_DOCUMENT}.{'4_4_2' if is_gateway else '4_5_2'}"
    values: dict[str, str] = {}
    shorts = {oid: short for short, oid in ATTRIBUTES.items()}
    known = {"CN", "O", "OU", "C", "serialNumber"} if is_gateway else {"CN", "C", "serialNumber"}
    for attribute in subject:
        short = shorts.get(attribute.oid, attribute.oid.dotted_string)
        if short not in known:
            yield notice(f"{at}.attribute.further", f"{short} is in the subject, which the name scheme does not have")
        elif short in values:
            yield error(f"{at}.attribute.repeated", f"{short} is there more than once")
        values.setdefault(short, str(attribute.value))
    for short in ("CN", "C", "serialNumber") if is_gateway else ("CN",):
        if short not in values:
            yield warning(f"{at}.{_FIELDS[short]}.missing", f"{short} is recommended, and missing")
    if "CN" in values:
        yield from _common_name_findings(values["CN"], role, f"{at}.common_name")
    elif not hosts:
        message = "the holder has no name: neither a CN nor a host name (dNSName)"
        yield error(f"{_DOCUMENT}.4_3_5.subject_alternative_name.missing", message)
    if not _COUNTRY.fullmatch(values.get("C", "DE")):
        yield error(f"{at}.country.form", f"C is {quoted(values['C'])}, due are two capital letters")
    number = values.get("serialNumber", "1")
    if not _NUMBER.fullmatch(number) or int(number) > _HIGHEST_NUMBER:
        message = f"serialNumber is {quoted(number)}, due is a number from 1 to {_HIGHEST_NUMBER}"
        yield error(f"{at}.serial_number.range", message)
    if is_gateway:
        yield from _gateway_findings(values, at)


def _common_name_findings(name: str, role: HanRole, at: str) -> Iterator[Finding]:
    label, _, end = name.rpartition(".")
    if not label or end.lower() != role.value:
        yield error(f"{at}.form", f"the CN is {quoted(name)}, due is an id and .{role.value}")
        return
    device = device_of(label)
    if role in (HanRole.GATEWAY, HanRole.CLS) and device is None:
        yield error(f"{at}.device_id", f"the CN is {quoted(name)}, in front of .{end} a device id is due (DIN 43849)")
    elif role is HanRole.GATEWAY and device is not None and not device.is_gateway:
        yield error(f"{at}.sector", f"the device id {device} is none of a gateway: it starts with E")
    if name not in (name.lower(), name.upper()) and role is not HanRole.GATEWAY:
        yield notice(f"{at}.mixed_case", f"the CN is {quoted(name)}, one case throughout is recommended")


def _gateway_findings(values: dict[str, str], at: str) -> Iterator[Finding]:
    if _SM_PKI.search(values.get("O", "")):
        yield error(f"{at}.organization.sm_pki", f"O is {quoted(values['O'])}, which is for the SM-PKI alone")
    if "OU" in values and not _is_administrator(values["OU"]):
        message = f"OU is {quoted(values['OU'])}, due is the CN of the administrator, such as Messwerk.GWA"
        yield warning(f"{at}.organizational_unit.administrator", message)


def _is_administrator(name: str) -> bool:
    try:
        return CommonName.parse(name).scheme == "GWA"
    except PolicyError:
        return False


_FIELDS = {"CN": "common_name", "C": "country", "serialNumber": "serial_number"}
