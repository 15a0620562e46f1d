"""The certificate's body: everything that is neither name nor key nor extension (RFC 5280 section 4.1)."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from typing import NamedTuple

from cryptography import x509

from smpki.asn1 import der
from smpki.policy.lint.finding import Finding, error
from smpki.policy.model import CertificateType, Policy

_AT = "tr-03109-4.a1"
_GENERALIZED_TIME = 0x18
_EXPLICIT_VERSION = 0xA0
_FIRST_YEAR_OF_GENERALIZED_TIME = 2050
_UNIQUE_IDS = {0x81: "issuerUniqueID", 0x82: "subjectUniqueID"}


class Encoded(NamedTuple):
    """Fields of a body as they are encoded, tag and length included.

    :param head: the fields before the issuer but for the serial number: version and signature algorithm
    :param others: the fields behind the key
    :param up_to_key: all fields before ``others``
    """

    head: tuple[bytes, ...]
    issuer: bytes
    validity: bytes
    subject: bytes
    public_key_info: bytes
    others: tuple[bytes, ...]
    up_to_key: bytes

    @classmethod
    def of(cls, body: bytes) -> "Encoded":
        """Take a TBSCertificate apart.

        :param body: as it stands in a certificate that pyca has read
        """
        start, _ = der.span(body, 0, "TBSCertificate")
        fields = split(body, start)
        version = fields[:1] if fields[0][0] == _EXPLICIT_VERSION else []
        _serial, algorithm, issuer, validity, subject, public_key_info, *others = fields[len(version) :]
        up_to_key = body[start : len(body) - sum(map(len, others))]
        return cls((*version, algorithm), issuer, validity, subject, public_key_info, tuple(others), up_to_key)


def split(data: bytes, at: int) -> list[bytes]:
    """The encoded elements from ``at`` to the end; ``data`` as in :meth:`Encoded.of`."""
    found = []
    while at < len(data):
        _, stop = der.span(data, at, "TBSCertificate")
        found.append(data[at:stop])
        at = stop
    return found


def serial_number_findings(certificate: x509.Certificate, at: str = _AT) -> Iterator[Finding]:
    """Is the serial number positive, and of a length between what is random enough and what RFC 5280 allows?

    :param at: document and clause that say so
    """
    serial = certificate.serial_number
    octets = serial.bit_length() // 8 + 1
    if serial <= 0:
        yield error("rfc-5280.4_1_2_2.serial.not_positive", "the serial number is zero or negative")
    elif not 8 <= octets <= 20:
        yield error(f"{at}.serial.length", f"the serial number has {octets} octets, 8 to 20 may be")


def body_findings(certificate: x509.Certificate, encoded: Encoded, at: str = _AT) -> Iterator[Finding]:
    """Version, unique identifiers, order and encoding of times.

    :param at: document and clause that speak of the first two
    """
    if certificate.version is not x509.Version.v3:
        yield error(f"{at}.version.not_v3", f"the version is {certificate.version.name}")
    for field in encoded.others:
        if field[0] in _UNIQUE_IDS:
            yield error(f"{at}.unique_id.forbidden", f"{_UNIQUE_IDS[field[0]]} is there")
    not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not_before >= not_after:
        yield error("rfc-5280.4_1_2_5.validity.empty", f"notBefore {not_before} is not before notAfter {not_after}")
    if _GENERALIZED_TIME in (encoded.validity[2], encoded.validity[4 + encoded.validity[3]]):
        yield from _early_generalized_time(encoded.validity, not_before, not_after)


def _early_generalized_time(validity: bytes, not_before: datetime, not_after: datetime) -> Iterator[Finding]:
    first, second = der.elements(validity[2:], "Validity")
    for name, moment, tag in (("notBefore", not_before, first.tag), ("notAfter", not_after, second.tag)):
        if tag == _GENERALIZED_TIME and moment.year < _FIRST_YEAR_OF_GENERALIZED_TIME:
            yield error("rfc-5280.4_1_2_5.validity.encoding", f"{name} {moment} is a GeneralizedTime before 2050")


def lifetime_findings(certificate: x509.Certificate, kind: CertificateType, policy: Policy) -> Iterator[Finding]:
    """Is it valid no longer than its type allows? The rest of the last day is given, as most issuers do."""
    not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    longest = policy.certificates[kind].validity.value
    try:
        latest = datetime.combine(longest.after(not_before), time(23, 59, 59), UTC)
    except OverflowError:  # past the year 9999, where no certificate reaches
        return
    if not_after > latest:
        yield error(
            "tr-03109-4.3.validity.too_long",
            f"valid from {not_before} to {not_after}, which is longer than the {longest} of {kind} certificates",
        )
