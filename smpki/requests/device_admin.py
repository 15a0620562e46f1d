"""Signed notices that gateways get another administrator (UpdateDeviceAdmin), see :mod:`smpki.asn1.device_admin`."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes

from smpki.asn1 import der
from smpki.asn1.content_info import build_content_info
from smpki.asn1.device_admin import build_device_admin, read_device_admin
from smpki.asn1.oids import BSI_SIGNED_UPDATE_DEVICE_ADMIN, BSI_UPDATE_DEVICE_ADMIN
from smpki.errors import PolicyError, RequestError
from smpki.policy.names import CommonName
from smpki.requests.envelope import malformed, open_envelope
from smpki.requests.keys import Signer
from smpki.requests.nesting import signed_content
from smpki.requests.signature import Layer, Signature, read_signature, sign

MAX_SIZE = 256 * 1024
"""Octets of a notice in its armour; one gateway takes 20, so this is for 10,000 and more."""

_SHA256 = hashes.SHA256()


@dataclass(frozen=True, slots=True)
class DeviceAdminUpdate:
    """A signed UpdateDeviceAdmin; ``signature.verify()`` says whether it holds, the CA who may send it.

    :param gateways: the CN of one or more gateways, each once
    :param new_admin: the CN of their new administrator (GWA)
    :param signature: by the administrator who is in charge until now
    """

    gateways: tuple[str, ...]
    new_admin: str
    signature: Signature


def read_device_admin_update(data: bytes) -> DeviceAdminUpdate:
    """Read a signed UpdateDeviceAdmin.

    :param data: raw BER or DER, PEM with any label, or base64 text
    :raises RequestError: ``request.size``, ``request.armour.*``, ``request.encoding.*``,
        ``request.content_type.unsupported``, and all of :func:`read_device_admin_content`
    """
    _, content = open_envelope(data, MAX_SIZE, BSI_SIGNED_UPDATE_DEVICE_ADMIN)
    return read_device_admin_content(content)


def read_device_admin_content(content: bytes) -> DeviceAdminUpdate:
    """Read what the ContentInfo of a signed UpdateDeviceAdmin holds.

    :param content: one element with definite lengths
    :raises RequestError: ``request.encoding.*``, ``request.signature.*``, ``request.device_admin.empty``,
        ``.gateway`` and ``.new_admin`` (no CN of one), ``.duplicate``
    """
    signature = read_signature(content, Layer.SENDER)
    _, update = signed_content(signature, BSI_UPDATE_DEVICE_ADMIN)
    try:
        gateways, new_admin = read_device_admin(update)
    except der.DerError as error:
        raise malformed(error, "UpdateDeviceAdmin") from None
    if not gateways:
        raise _refused("empty", "no gateway is named", "devices", "name the gateways that change hands")
    for index, gateway in enumerate(gateways):
        if not _is(gateway, "SMGW"):
            raise _refused("gateway", "this is no gateway's CN", f"devices {index}", "such as EABC0012345678.SMGW")
    if len(set(gateways)) < len(gateways):
        raise _refused("duplicate", "a gateway is named twice", "devices", "name each gateway once")
    if not _is(new_admin, "GWA"):
        raise _refused("new_admin", "this is no administrator's CN", "newAdmin", "such as Company.GWA")
    return DeviceAdminUpdate(gateways, new_admin, signature)


def build_device_admin_update(
    gateways: Sequence[str], new_admin: str, signer: Signer, *, hash: hashes.HashAlgorithm = _SHA256
) -> bytes:
    """Build a signed UpdateDeviceAdmin, in DER.

    :param gateways: the CN of each gateway
    :param new_admin: the CN of their new administrator
    :param signer: the administrator who is in charge until now
    :param hash: SHA-256, SHA-384 or SHA-512
    :raises RequestError: as :func:`smpki.requests.signature.sign`, and for names what
        :func:`read_device_admin_content` raises
    """
    content = build_device_admin(gateways, new_admin)
    signed = sign(BSI_UPDATE_DEVICE_ADMIN, content, signer, Layer.SENDER, hash)
    read_device_admin_content(signed)
    return build_content_info(BSI_SIGNED_UPDATE_DEVICE_ADMIN, signed)


def _is(common_name: str, scheme: str) -> bool:
    try:
        return CommonName.parse(common_name).scheme == scheme
    except PolicyError:
        return False


def _refused(rule: str, message: str, place: str, hint: str) -> RequestError:
    return RequestError(f"request.device_admin.{rule}", message, where=place, hint=hint)
