"""Wake-up messages (Wake-Up-Nachricht), the only thing that reaches a gateway unasked: made and read.

Detailspezifikationen zur TR-03109-1 2.1, version 1: "WU", version, recipient (9), time (8), padding (12); these 32
octets are signed. Then the signature's format, the length of its algorithm's OID, that OID, and r || s.

The text says that the time's lowest octet comes first; the example beside it shows the other order. What is sent here
follows the sentence; what is received may have either, since at most one of both lies in any sensible window.
"""

import enum
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1 import der
from smpki.asn1.curves import CURVES
from smpki.asn1.oids import ECDSA_PLAIN_WITH_SHA256, ECDSA_PLAIN_WITH_SHA384, ECDSA_PLAIN_WITH_SHA512
from smpki.asn1.plain_signature import from_plain, octets_of, to_plain
from smpki.errors import GatewayError, RequestError
from smpki.policy.device_id import DeviceId
from smpki.requests.model import Purpose
from smpki.requests.template import purpose_of

_HEADER, _VERSION, _PLAIN_FORMAT = b"WU", b"\x01", b"\x01"
_PADDING = b"\x0b" * 12
_SIGNED = 32  # octets
_OID_AT = _SIGNED + 2


def _oid(dotted: str) -> bytes:
    """An OID without tag and length."""
    return der.single(der.encode_object_identifier(dotted), der.OBJECT_IDENTIFIER, "an OID").content


_HASHES: dict[bytes, hashes.HashAlgorithm] = {
    _oid(ECDSA_PLAIN_WITH_SHA256): hashes.SHA256(),
    _oid(ECDSA_PLAIN_WITH_SHA384): hashes.SHA384(),
    _oid(ECDSA_PLAIN_WITH_SHA512): hashes.SHA512(),
}
_OIDS = {hash.name: oid for oid, hash in _HASHES.items()}
_BY_OCTETS: dict[int, hashes.HashAlgorithm] = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}


def build_wake_up(
    recipient: DeviceId, at: datetime, key: ec.EllipticCurvePrivateKey, hash: hashes.HashAlgorithm | None = None
) -> bytes:
    """Make a wake-up message, as a gateway administrator does.

    A gateway acts on it once. It takes another one only with a later second.

    :param at: the time now, timezone-aware; seconds are the finest unit
    :param key: the administrator's SIG key (of GWA_WAN_SIG_CRT), in memory or in a token
    :param hash: SHA-256, SHA-384 or SHA-512; by default as long as the curve's order
    :raises GatewayError: ``wakeup.recipient`` (this is no gateway), ``wakeup.curve``, ``wakeup.hash``
    :raises TokenError: what the token refuses
    """
    _only_gateways(recipient)
    if key.curve.name not in CURVES:
        raise _refused("curve", f"no wake-up is signed on {key.curve.name}", f"sign on one of {', '.join(CURVES)}")
    hash = hash or _BY_OCTETS[octets_of(key.curve)]
    if hash.name not in _OIDS:
        raise _refused("hash", f"no wake-up is signed with {hash.name}", "take SHA-256, SHA-384 or SHA-512")
    oid = _OIDS[hash.name]
    signed = _HEADER + _VERSION + bytes(recipient) + struct.pack("<q", int(at.timestamp())) + _PADDING
    signature = to_plain(key.sign(signed, ec.ECDSA(hash)), key.curve)
    return signed + _PLAIN_FORMAT + bytes([len(oid)]) + oid + signature


class Reason(enum.StrEnum):
    """Why a message is refused, in the order in which it is looked at: what costs least comes first."""

    LENGTH = "length"
    HEADER = "header"
    VERSION = "version"
    RECIPIENT = "recipient"
    """It is for another gateway, or for no gateway at all."""
    PADDING = "padding"
    FORMAT = "format"
    """The signature's format is not the plain one."""
    ALGORITHM = "algorithm"
    SIGNATURE_LENGTH = "signature_length"
    """It is not as long as a signature on the curve of a configured certificate."""
    OWN_TIME = "own_time"
    """The gateway does not know what time it is."""
    EARLY = "early"
    """Its time is to come: it lies behind the window's end."""
    LATE = "late"
    CERTIFICATE = "certificate"
    """The validity of the administrator's certificate has not begun, or is over."""
    REPLAY = "replay"
    """A message with this time or a later one has been accepted."""
    OVERLOAD = "overload"
    """More messages have come this far than signatures may be checked."""
    SIGNATURE = "signature"
    """No configured certificate's key has made it."""
    NOT_RECORDED = "not_recorded"
    """That it was accepted can't be written down; it would be accepted again."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The message counts for nothing; its sender hears nothing."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Accepted:
    """Open a MANAGEMENT channel to the administrator: version 1 means just that.

    :param sent_at: the message's time
    :param administrator: the configured certificate whose key signed
    """

    sent_at: datetime
    administrator: x509.Certificate


@dataclass(frozen=True, slots=True)
class Window:
    """How far a message's time may be from the receiver's.

    The detail specification has a window and no figure for it. One minute is chosen here: clocks differ by seconds,
    a packet travels less than one.

    :param past: for a message that was sent before now; not negative
    :param future: for one whose time is to come, since clocks differ; not negative
    """

    past: timedelta = timedelta(minutes=1)
    future: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Signer:
    certificate: x509.Certificate
    key: ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Claim:
    """A message of which all holds but the signature, which has not been looked at.

    :param seconds: its time, since 1970
    """

    seconds: int
    _signers: tuple[_Signer, ...]
    _signed: bytes
    _hash: hashes.HashAlgorithm
    _signature: bytes

    def verify(self) -> Accepted | Refused:
        """Look at the signature (BSI TR-03111 4.2.1.2)."""
        signature = from_plain(self._signature)
        for signer in self._signers:
            try:
                signer.key.verify(signature, self._signed, ec.ECDSA(self._hash))
            except InvalidSignature:
                continue
            return Accepted(datetime.fromtimestamp(self.seconds, UTC), signer.certificate)
        return Refused(Reason.SIGNATURE)


class WakeUpReader:
    """Reads messages for one gateway; remembers nothing.

    :param recipient: the gateway
    :param administrators: SIG certificates, one or more; each costs a signature check for a message that none signed
    :raises GatewayError: ``wakeup.recipient``, ``wakeup.certificate.missing``, ``.curve``, ``.usage``
    """

    def __init__(
        self, recipient: DeviceId, administrators: Iterable[x509.Certificate], window: Window | None = None
    ) -> None:
        _only_gateways(recipient)
        self._recipient = bytes(recipient)
        self._window = window or Window()
        self._signers: dict[int, list[_Signer]] = {}  # by the length of their signatures
        for certificate in administrators:
            key = _key_of(certificate)
            self._signers.setdefault(2 * octets_of(key.curve), []).append(_Signer(certificate, key))
        if not self._signers:
            hint = "configure the SIG certificate of the gateway's administrator"
            raise _refused("certificate.missing", "nobody may wake this gateway", hint)

    def read(self, data: bytes, now: datetime | None) -> Claim | Refused:
        """Check everything but the signature; costs a few microseconds.

        :param now: the gateway's time; ``None`` when it has none to trust: then nothing can wake it
        """
        if len(data) < _OID_AT:
            return Refused(Reason.LENGTH)
        if data[:2] != _HEADER:
            return Refused(Reason.HEADER)
        if data[2:3] != _VERSION:
            return Refused(Reason.VERSION)
        if data[3:12] != self._recipient:
            return Refused(Reason.RECIPIENT)
        if data[20:_SIGNED] != _PADDING:
            return Refused(Reason.PADDING)
        if data[32:33] != _PLAIN_FORMAT:
            return Refused(Reason.FORMAT)
        signature_at = _OID_AT + data[33]
        hash = _HASHES.get(data[_OID_AT:signature_at])
        if hash is None:
            return Refused(Reason.ALGORITHM)
        signature = data[signature_at:]
        signers = self._signers.get(len(signature))
        if signers is None:
            return Refused(Reason.SIGNATURE_LENGTH)
        if now is None:
            return Refused(Reason.OWN_TIME)
        seconds = self._in_window(data[12:20], now)
        if isinstance(seconds, Refused):
            return seconds
        valid = tuple(one for one in signers if _is_valid(one.certificate, now))
        if not valid:
            return Refused(Reason.CERTIFICATE)
        return Claim(seconds, valid, data[:_SIGNED], hash, signature)

    def _in_window(self, octets: bytes, now: datetime) -> int | Refused:
        """The reading of the time that lies in the window."""
        readings: list[int] = [*struct.unpack("<q", octets), *struct.unpack(">q", octets)]
        ahead = [seconds - now.timestamp() for seconds in readings]
        for seconds, difference in zip(readings, ahead, strict=True):
            if -self._window.past.total_seconds() <= difference <= self._window.future.total_seconds():
                return seconds
        return Refused(Reason.EARLY if ahead[0] > 0 else Reason.LATE)


def _key_of(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The key of a certificate that may sign wake-ups.

    :raises GatewayError: ``wakeup.certificate.curve``, ``wakeup.certificate.usage``
    """
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        message = "the key of the administrator's certificate is on no curve that is allowed"
        raise _refused("certificate.curve", message, f"use one of {', '.join(CURVES)}")
    try:
        purpose = purpose_of(certificate.extensions, "administrator")
    except RequestError:
        purpose = None
    if purpose is not Purpose.SIG:
        message = "the administrator's certificate is no SIG certificate"
        hint = "configure the one with key usage digitalSignature alone, without extended key usage"
        raise _refused("certificate.usage", message, hint)
    return key


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _only_gateways(recipient: DeviceId) -> None:
    if not recipient.is_gateway:
        hint = "a gateway's device id begins with E"
        raise _refused("recipient", f"{recipient} is no gateway", hint)


def _refused(rule: str, message: str, hint: str) -> GatewayError:
    return GatewayError(f"wakeup.{rule}", message, hint=hint)
