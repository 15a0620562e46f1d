"""The delivery record (Lieferschein): what a gateway's manufacturer tells its administrator, signed.

The file is ``{"record": {...}, "signature": "..."}``: a :class:`DeliveryRecord`, and the signature over its canonical
form (Detailspezifikationen zur TR-03109-1, 6.9), CMS_ECDSA_SHA256_Detached (table 5.2) in base64. No public text has
such a record; its JSON Schema is docs/delivery-record.schema.json.
"""

import json
from base64 import b64encode
from dataclasses import dataclass
from typing import Annotated

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from smpki.errors import GatewayError
from smpki.gateway.api_types import Body, Certificate, Meter, Moment
from smpki.gateway.cms import sign_detached
from smpki.gateway.json_text import write_json
from smpki.gateway.signed_json import separate

MOST_OCTETS = 256 * 1024
"""Octets of a file; a real one has about 15,000."""

_NAME = "record"

Name = Annotated[str, Field(min_length=1, max_length=200)]
Chain = Annotated[tuple[Certificate, ...], Field(min_length=1, max_length=20)]


class _Part(Body):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)


class Gateway(_Part):
    """Which gateway it is.

    :param manufacturer: CN of the manufacturer (GWH), who signs the record
    """

    id: Meter
    manufacturer: Name


class Triple(_Part):
    """Three certificates of one holder."""

    tls: Certificate
    sig: Certificate
    enc: Certificate

    @property
    def serials(self) -> tuple[str, ...]:
        """Their serial numbers, hexadecimal."""
        return tuple(f"{one.serial_number:x}" for one in (self.tls, self.sig, self.enc))


class Administrator(Triple):
    """The administrator (GWA) whose certificates the gateway trusts from the beginning.

    :param name: CN of the certificates
    """

    name: Name


class Module(_Part):
    """What the security module's token says of itself.

    :param library: version of the PKCS#11 library
    :param firmware: version of the token's firmware
    """

    label: str
    manufacturer: str
    model: str
    serial: str
    library: str
    firmware: str


class DeliveryRecord(_Part):
    """A gateway as it left the factory.

    :param certificates: the quality seal (Guetesiegel)
    :param chain: the CAs above them, from the root down
    :param trust_anchors: the roots that the gateway trusts
    :param package: SHA-256 of the request package that the certificates were issued for, hexadecimal
    """

    version: Annotated[int, Field(ge=1, le=1)]
    gateway: Gateway
    certificates: Triple
    chain: Chain
    trust_anchors: Chain
    gwa: Administrator
    module: Module
    package: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    created_at: Moment


@dataclass(frozen=True)
class Delivery:
    """A record as it was read, its signature not looked at yet; see :mod:`smpki.gateway.delivery_check`.

    :param signed: the canonical JSON that the signature is over
    :param signature: CMS SignedData, DER
    """

    record: DeliveryRecord
    signed: bytes
    signature: bytes


def sign_delivery(record: DeliveryRecord, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The file of a record.

    :param certificate: the manufacturer's, for signatures; it is enclosed
    :param key: its private key
    :raises GatewayError: ``cms.certificate.*``, ``cms.key``
    :raises TokenError: what the token refuses
    """
    value = record.model_dump(mode="json", by_alias=True)
    signature = sign_detached(write_json(value), certificate=certificate, key=key)
    return json.dumps({_NAME: value, "signature": b64encode(signature).decode()}, indent=2).encode() + b"\n"


def read_delivery(data: bytes, where: str = "") -> Delivery:
    """Read a record's file.

    :param where: the file's name, for the refusal
    :raises GatewayError: ``delivery.size``, ``delivery.json``, ``delivery.schema``
    """
    if len(data) > MOST_OCTETS:
        raise _refused("size", f"it has more than {MOST_OCTETS:,} octets", where)
    try:
        signed, signature = separate(_NAME, data)
        return Delivery(DeliveryRecord.model_validate_json(signed), signed, signature)
    except GatewayError as error:
        rule = "json" if error.code == "json.syntax" else "schema"
        raise _refused(rule, error.message, where) from None
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, (_NAME, *first["loc"])))
        raise _refused("schema", f"{path}: {first['msg']}", where) from None


def _refused(rule: str, message: str, where: str) -> GatewayError:
    hint = "see docs/provisioning.md; ask the manufacturer for the record once more"
    return GatewayError(f"delivery.{rule}", f"this is no delivery record: {message}", where=where, hint=hint)
