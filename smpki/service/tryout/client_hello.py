"""Read what a TLS client says first, also when nothing can come of it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from smpki.errors import ServiceError

LONGEST, MOST = 65536, 64
"""Octets and number of the records that a ClientHello may take; TLS allows more, no client needs them."""

_RECORD_HEADER = 5
_LONGEST_NAME = 253
_HANDSHAKE, _CLIENT_HELLO = 22, 1


class Extension(enum.IntEnum):
    """The extensions of a ClientHello that rules speak about (registry of IANA)."""

    SERVER_NAME = 0
    TRUNCATED_HMAC = 4
    SUPPORTED_GROUPS = 10
    EC_POINT_FORMATS = 11
    SIGNATURE_ALGORITHMS = 13
    ENCRYPT_THEN_MAC = 22
    EXTENDED_MASTER_SECRET = 23
    EARLY_DATA = 42
    SUPPORTED_VERSIONS = 43
    PSK_KEY_EXCHANGE_MODES = 45
    SIGNATURE_ALGORITHMS_CERT = 50
    RENEGOTIATION_INFO = 0xFF01


@dataclass(frozen=True)
class ClientHello:
    """A ClientHello (RFC 8446 4.1.2, RFC 5246 7.4.1.2).

    :param legacy_version: its first field; the version itself where :attr:`versions` is not sent
    :param suites: numbers of the cipher suites, in the client's order
    :param compression: numbers of the compression methods
    :param extensions: their bodies by number
    """

    legacy_version: int
    suites: tuple[int, ...]
    compression: tuple[int, ...]
    extensions: Mapping[int, bytes]

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that are offered, each by its number; those below a legacy version count as offered too."""
        if Extension.SUPPORTED_VERSIONS in self.extensions:
            return self._numbers(Extension.SUPPORTED_VERSIONS, prefix=1)
        return tuple(range(self.legacy_version, 0x0300 - 1, -1))

    @property
    def groups(self) -> tuple[int, ...]:
        """Groups for the key exchange, in the client's order."""
        return self._numbers(Extension.SUPPORTED_GROUPS)

    @property
    def signature_algorithms(self) -> tuple[int, ...]:
        """Signature schemes for the handshake."""
        return self._numbers(Extension.SIGNATURE_ALGORITHMS)

    @property
    def signature_algorithms_cert(self) -> tuple[int, ...]:
        """Signature schemes for certificates; those of the handshake where the extension is not sent."""
        if Extension.SIGNATURE_ALGORITHMS_CERT in self.extensions:
            return self._numbers(Extension.SIGNATURE_ALGORITHMS_CERT)
        return self.signature_algorithms

    @property
    def psk_modes(self) -> tuple[int, ...]:
        """Modes in which a session may be resumed in TLS 1.3."""
        return self._numbers(Extension.PSK_KEY_EXCHANGE_MODES, prefix=1, width=1)

    @property
    def server_name(self) -> str | None:
        """The name of the server that is asked for."""
        body = self.extensions.get(Extension.SERVER_NAME, b"")
        return body[5:].decode("ascii", "replace")[:_LONGEST_NAME] if len(body) > 5 else None

    def _numbers(self, extension: Extension, *, prefix: int = 2, width: int = 2) -> tuple[int, ...]:
        """The numbers of a list with its length before it."""
        body = self.extensions.get(extension, b"")[prefix:]
        return tuple(int.from_bytes(body[at : at + width]) for at in range(0, len(body) - width + 1, width))


def read_client_hello(octets: bytes) -> ClientHello | None:
    """Read the ClientHello at the beginning of what a client sends.

    :param octets: records, as they came
    :return: ``None``: more has to come first
    :raises ServiceError: ``service.tryout.no_hello``: it is no TLS, or too long
    """
    message, at = b"", 0
    for _ in range(MOST):
        if at < len(octets) and octets[at] != _HANDSHAKE:
            raise _no_hello("what came is no TLS")
        begin = at + _RECORD_HEADER
        at = begin + int.from_bytes(octets[at + 3 : begin])
        if len(octets) < max(begin, at):
            if len(octets) > LONGEST:
                break
            return None
        message += octets[begin:at]
        if message[:1] != bytes([_CLIENT_HELLO]):
            raise _no_hello("the first message is no ClientHello")
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4]):
            return _parse(message[4 : 4 + int.from_bytes(message[1:4])])
    raise _no_hello("the ClientHello does not end")


def _parse(body: bytes) -> ClientHello:
    reader = _Reader(body)
    version = int.from_bytes(reader.take(2))
    reader.take(32)  # random
    reader.vector(1)  # session
    suites = reader.vector(2)
    compression = reader.vector(1)
    extensions: dict[int, bytes] = {}
    if reader.rest:
        fields = _Reader(reader.vector(2))
        while fields.rest:
            number = int.from_bytes(fields.take(2))
            extensions[number] = fields.vector(2)
    pairs = (suites[at : at + 2] for at in range(0, len(suites), 2))
    return ClientHello(version, tuple(map(int.from_bytes, pairs)), tuple(compression), extensions)


class _Reader:
    def __init__(self, octets: bytes) -> None:
        self.rest = octets

    def take(self, count: int) -> bytes:
        taken, self.rest = self.rest[:count], self.rest[count:]
        if len(taken) < count:
            raise _no_hello("the ClientHello is cut off")
        return taken

    def vector(self, width: int) -> bytes:
        return self.take(int.from_bytes(self.take(width)))


def _no_hello(message: str) -> ServiceError:
    hint = "let a TLS client connect to this address"
    return ServiceError("service.tryout.no_hello", message, hint=hint)
