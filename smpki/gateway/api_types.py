"""The types of members of JSON bodies: what is text in JSON and a value here."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from smpki.errors import SmpkiError
from smpki.gateway.readings import Obis, Reading
from smpki.policy.device_id import DeviceId


class Body(BaseModel):
    """A JSON object: unknown members are refused, members have the type that is asked for, values don't change.

    Bodies come in by ``model_validate_json`` and leave by :meth:`to_json`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)

    def to_json(self) -> bytes:
        """The body as it is sent."""
        return self.model_dump_json().encode()


def _explained(error: SmpkiError) -> ValueError:
    return ValueError(error.message)


def _certificate(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        found = x509.load_pem_x509_certificates(value.encode())
    except ValueError:
        raise ValueError("this is no certificate in PEM") from None
    if len(found) != 1:
        raise ValueError(f"{len(found)} certificates where one is due")
    return found[0]


def to_pem(certificate: x509.Certificate) -> str:
    """A certificate as bodies have it."""
    return certificate.public_bytes(Encoding.PEM).decode()


def _meter(value: object) -> object:
    try:
        device = DeviceId.parse(value) if isinstance(value, str) else value
    except SmpkiError as error:
        raise _explained(error) from None
    if isinstance(value, str) and isinstance(device, DeviceId) and value != device.dns:
        raise ValueError("device ids are written in lower case here (Detailspezifikationen 6.7)")
    return device


def _obis(value: object) -> object:
    try:
        return Obis.parse(value) if isinstance(value, str) else value
    except SmpkiError as error:
        raise _explained(error) from None


def _reading(value: object) -> object:
    try:
        return value if isinstance(value, Reading) else Reading.from_json(value)
    except SmpkiError as error:
        raise _explained(error) from None


def _octets(value: object) -> object:
    try:
        return b64decode(value, validate=True) if isinstance(value, str) else value
    except (Base64Error, ValueError):
        raise ValueError("this is not base64 (RFC 4648 4)") from None


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a moment without a zone is no moment; write it like 2026-11-22T18:15:00Z")
    return value.astimezone(UTC)


def _https(value: str) -> str:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("this is no URL") from None
    extra = parts.username or parts.password or parts.query or parts.fragment
    if parts.scheme != "https" or not parts.hostname or not port or extra or not value.isascii() or " " in value:
        raise ValueError("write it like https://host:port/path, nothing before or after that")
    if not parts.path or parts.path.endswith("/"):
        raise ValueError("the path is that of a receiver, which does not end with / (REQ.Webservice.HttpClient.60)")
    return value


def split_address(value: str) -> tuple[str, int]:
    """Host and port of ``host:port``; an IPv6 address stands in brackets.

    :raises ValueError: it is none
    """
    host, _, port = value.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    is_host = bare and (":" not in bare or host != bare) and all(33 <= ord(each) < 127 for each in bare)
    if not is_host or not (port.isascii() and port.isdigit()) or not 0 <= int(port) < 0x10000:
        raise ValueError("write it like host:port, an IPv6 address in brackets")
    return bare, int(port)


def _address(value: str) -> str:
    split_address(value)
    return value


Certificate = Annotated[x509.Certificate, BeforeValidator(_certificate), PlainSerializer(to_pem, return_type=str)]
"""One certificate; PEM in JSON."""

Meter = Annotated[DeviceId, BeforeValidator(_meter), PlainSerializer(lambda meter: meter.dns, return_type=str)]
"""A device id; 14 characters in lower case in JSON."""

Register = Annotated[Obis, BeforeValidator(_obis), PlainSerializer(str, return_type=str)]
"""An OBIS identifier; ``A-B:C.D.E*F`` in JSON, where ``*F`` may be left out."""

Measured = Annotated[Reading, BeforeValidator(_reading), PlainSerializer(lambda one: one.as_json())]
"""A reading; see :meth:`Reading.as_json`."""

Octets = Annotated[bytes, BeforeValidator(_octets), PlainSerializer(lambda octets: b64encode(octets).decode())]
"""Octets; base64 in JSON."""

Moment = Annotated[datetime, AfterValidator(_utc)]
"""A moment with its zone; RFC 3339 in JSON."""

HttpsUrl = Annotated[str, AfterValidator(_https)]
"""``https://host:port/path``."""

Address = Annotated[str, AfterValidator(_address)]
"""``host:port``; :func:`split_address` takes it apart."""
