"""Who may be at the other end: checks of the peer's certificate that run during the handshake."""

import enum
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

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


def describe(number: int) -> str:
    """An alert for a message: its name where it has one."""
    try:
        return Alert(number).name.lower()
    except ValueError:
        return str(number)


CERTIFICATE_ALERTS = frozenset(
    {
        *(Alert.HANDSHAKE_FAILURE, Alert.BAD_CERTIFICATE, Alert.UNSUPPORTED_CERTIFICATE, Alert.CERTIFICATE_REVOKED),
        *(Alert.CERTIFICATE_EXPIRED, Alert.CERTIFICATE_UNKNOWN, Alert.UNKNOWN_CA, Alert.DECRYPT_ERROR),
    }
)
"""The alerts with which OpenSSL can answer a certificate."""


class PeerRefused(TlsError):
    """The peer's certificate is not accepted.

    :param alert: what the peer is told, one of :data:`CERTIFICATE_ALERTS`
    """

    def __init__(self, code: str, message: str, *, alert: Alert, where: str = "", hint: str = "") -> None:
        if alert not in CERTIFICATE_ALERTS:
            raise ValueError(f"OpenSSL can't answer a certificate with {alert!r}")
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


def fitting(check: PeerCheck, curves: Collection[str]) -> PeerCheck:
    """A check that asks another one about those certificates only that fit the link.

    :param check: asked when the certificate fits
    :param curves: names of the curves that the peer's key may be on
    """

    def whole(chain: tuple[x509.Certificate, ...]) -> None:
        if misfit := find_misfit(chain[0], curves):
            message, hint = f"the peer's certificate {misfit.what}", "the peer needs another certificate"
            raise PeerRefused(f"tls.peer.{misfit.rule}", message, alert=Alert.UNSUPPORTED_CERTIFICATE, hint=hint)
        check(chain)

    return whole


@dataclass(frozen=True)
class Misfit:
    """Why a certificate can't be used on a link.

    :param rule: ``curve``, ``key_usage`` or ``unreadable``
    :param what: the rest of a sentence that begins with the certificate
    """

    rule: str
    what: str


def find_misfit(certificate: x509.Certificate, curves: Collection[str]) -> Misfit | None:
    """Why an end entity certificate can't be used on a link; ``None`` when it can.

    :param curves: names of the curves that its key may be on
    """
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return Misfit("unreadable", "has a key that can't be read")
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else None
    if curve not in curves:
        return Misfit("curve", f"is for a key on {curve or 'no curve'}; allowed are {', '.join(curves)}")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
    except ValueError:
        return Misfit("unreadable", "has extensions that can't be read")
    return None if usage.digital_signature else Misfit("key_usage", "is not for signatures (keyUsage)")


def _in_time(certificate: x509.Certificate, now: datetime) -> None:
    """One alert is for both: expired, or not currently valid (RFC 8446 6.2)."""
    if now < certificate.not_valid_before_utc:
        message = f"the peer's certificate is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC on"
        hint = "compare the clocks of both sides"
        raise PeerRefused("tls.peer.not_yet_valid", message, alert=Alert.CERTIFICATE_EXPIRED, hint=hint)
    if now > certificate.not_valid_after_utc:
        message = f"the peer's certificate has ended {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
        hint = "the peer has to use its new certificate"
        raise PeerRefused("tls.peer.expired", message, alert=Alert.CERTIFICATE_EXPIRED, hint=hint)
