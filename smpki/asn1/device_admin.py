"""UpdateDeviceAdmin: gateways, and the administrator who takes them over.

TR-03129-4 v1.3.1 says what such a request tells, the CNs of one or more gateways and the new administrator, and
TR-03109-4 has content types for it. Their ASN.1 was not at hand. This form is inferred, and stands here only::

    UpdateDeviceAdmin ::= SEQUENCE {
        devices   SEQUENCE SIZE (1..MAX) OF UTF8String,  -- CN of each gateway
        newAdmin  UTF8String }                           -- CN of the new administrator

PrintableString is read as well.
"""

from collections.abc import Iterable

from smpki.asn1 import der

_UTF8_STRING, _PRINTABLE_STRING = 0x0C, 0x13


def read_device_admin(data: bytes) -> tuple[tuple[str, ...], str]:
    """The CNs of the gateways, and that of the new administrator.

    :raises DerError: when it is no UpdateDeviceAdmin
    """
    fields = der.elements(der.single(data, der.SEQUENCE, "UpdateDeviceAdmin").content, "UpdateDeviceAdmin")
    if len(fields) != 2:
        raise der.DerError("tag", f"UpdateDeviceAdmin has {len(fields)} fields where devices and newAdmin are due")
    devices = der.elements(der.expect(fields[0], der.SEQUENCE, "devices").content, "devices")
    return tuple(_text(device, "devices") for device in devices), _text(fields[1], "newAdmin")


def build_device_admin(devices: Iterable[str], new_admin: str) -> bytes:
    """Build UpdateDeviceAdmin in DER.

    :param devices: the CN of each gateway
    :param new_admin: the CN of the new administrator
    """
    names = (der.encode(_UTF8_STRING, device.encode()) for device in devices)
    return der.encode(der.SEQUENCE, der.encode(der.SEQUENCE, *names), der.encode(_UTF8_STRING, new_admin.encode()))


def _text(element: der.Element, of: str) -> str:
    if element.tag not in (_UTF8_STRING, _PRINTABLE_STRING):
        raise der.DerError("tag", f"{of} holds an element of tag 0x{element.tag:02x} where a string is due")
    try:
        return element.content.decode("ascii" if element.tag == _PRINTABLE_STRING else "utf-8")
    except UnicodeDecodeError:
        raise der.DerError("tag", f"{of} holds a string with octets that its type does not allow") from None
