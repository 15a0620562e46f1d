"""Who may be at the other end: checks of the peer's certificate that run during the handshake."""

import enum
from collections.abc import Callable, Iterable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from smpki.errors import TlsError


class Alert(enum.IntEnum):
    """What one side tells the other when it ends a connection (RFC 8446 6)."""

    CLOSE_NOTIFY = 0
    UNEXPECTED_MESSAGE = 10
    BAD_RECORD_MAC = 20
    RECORD_OVERFLOW = 22
    HANDSHAKE_FAILURE = 40
    BAD_CERTIFICATE = 42
    UNSUPPORTED_CERTIFICATE = 43
    CERTIFICATE_REVOKED = 44
    CERTIFICATE_EXPIRED = 45
    CERTIFICATE_UNKNOWN = 46
    ILLEGAL_PARAMETER = 47
    UNKNOWN_CA = 48
    ACCESS_DENIED = 49
    DECODE_ERROR = 50
    DECRYPT_ERROR = 51
    PROTOCOL_VERSION = 70
    INSUFFICIENT_SECURITY = 71
    INTERNAL_ERROR = 80
    INAPPROPRIATE_FALLBACK = 86
    USER_CANCELED = 90
    NO_RENEGOTIATION = 100
    MISSING_EXTENSION = 109
    UNSUPPORTED_EXTENSION = 110
    UNRECOGNIZED_NAME = 112
    BAD_CERTIFICATE_STATUS_RESPONSE = 113
    UNKNOWN_PSK_IDENTITY = 115
    CERTIFICATE_REQUIRED = 116
    NO_APPLICATION_PROTOCOL = 120


class PeerRefused(TlsError):
    """The peer's certificate is not accepted; ``alert`` is what the peer is told."""

    def __init__(self, code: str, message: str, *, alert: Alert, where: str = "", hint: str = "") -> None:
        super().__init__(code, message, where=where, hint=hint)
        self.alert = alert


PeerCheck = Callable[[tuple[x509.Certificate, ...]], None]
"""Asked during the handshake with the peer's chain, end entity first; raises :class:`PeerRefused`."""


def exact_match(certificates: Iterable[x509.Certificate], *, now: Callable[[], datetime] | None) -> PeerCheck:
    """A check that accepts just these end entity certificates (REQ.TA.TLS.Handshake.160).

    :param certificates: as configured by the administrator
    :param now: the clock for their dates. ``None``, which leaves the dates out, is for the connection that
        synchronises time as long as the own time can't be trusted.
    """
    known = frozenset(certificates)

    def check(chain: tuple[x509.Certificate, ...]) -> None:
        if chain[0] not in known:
            message = "the peer's certificate is none of those configured for it"
            hint = "configure the peer's present certificate"
            raise PeerRefused("tls.peer.unknown", message, alert=Alert.BAD_CERTIFICATE, hint=hint)
        if now is not None:
            _in_time(chain[0], now())

    return check


def pinned(fingerprints: Iterable[bytes]) -> PeerCheck:
    """A check that accepts just the certificates with these SHA-256 fingerprints (REQ.TA.TLS.Handshake.170).

    For self-signed certificates in HAN and LMN, whose dates need not be checked.

    :param fingerprints: SHA-256 of the certificate's DER, 32 octets each
    """
    known = frozenset(fingerprints)

    def check(chain: tuple[x509.Certificate, ...]) -> None:
        if chain[0].fingerprint(hashes.SHA256()) not in known:
            message = "the fingerprint of the peer's certificate is none of those configured for it"
            hint = "configure the fingerprint of the peer's present certificate"
            raise PeerRefused("tls.peer.unknown", message, alert=Alert.BAD_CERTIFICATE, hint=hint)

    return check


def _in_time(certificate: x509.Certificate, now: datetime) -> None:
    if now < certificate.not_valid_before_utc:
        message = f"the peer's certificate is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC on"
        hint = "compare the clocks of both sides"
        raise PeerRefused("tls.peer.not_yet_valid", message, alert=Alert.BAD_CERTIFICATE, hint=hint)
    if now > certificate.not_valid_after_utc:
        message = f"the peer's certificate has ended {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
        hint = "the peer has to use its new certificate"
        raise PeerRefused("tls.peer.expired", message, alert=Alert.CERTIFICATE_EXPIRED, hint=hint)
