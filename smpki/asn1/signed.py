"""What certificates and CRLs have in common: their outer form, times, extensions (RFC 5280 4.1, 5.1)."""

from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509

from smpki.asn1 import der
from smpki.asn1.algorithms import SIGNATURE_IDENTIFIERS

_BOOLEAN, _UTC_TIME, _GENERALIZED_TIME = 0x01, 0x17, 0x18
_FIRST_YEAR_OF_GENERALIZED_TIME = 2050
_TRUE = der.encode(_BOOLEAN, b"\xff")
_TO_DIGITS = str.maketrans("", "", "-:T")


def assemble(tbs: bytes, hash_name: str, signature: bytes) -> bytes:
    """Put a certificate or a CRL together from what was signed and the signature.

    :param tbs: DER TBSCertificate or TBSCertList
    :param hash_name: the hash of the signature, such as ``sha256``
    :param signature: DER ECDSA-Sig-Value (TR-03111 5.2.2)
    """
    algorithm = SIGNATURE_IDENTIFIERS[hash_name]
    return der.encode(der.SEQUENCE, tbs, algorithm, der.encode(der.BIT_STRING, b"\x00", signature))


def encode_extension(value: x509.ExtensionType, critical: bool = False) -> bytes:
    """An Extension (RFC 5280 4.1), whose value pyca encodes."""
    content = der.encode(der.OCTET_STRING, value.public_bytes())
    return der.encode(
        der.SEQUENCE, der.encode_object_identifier(value.oid.dotted_string), _TRUE if critical else b"", content
    )


@lru_cache(maxsize=256)
def encode_time(moment: datetime) -> bytes:
    """A UTCTime until 2049, a GeneralizedTime from then on (RFC 5280 4.1.2.5, 5.1.2.4).

    :param moment: timezone-aware; seconds are the finest unit
    """
    moment = moment.astimezone(UTC)
    text = moment.isoformat()[:19].translate(_TO_DIGITS)  # strftime takes three times as long
    if moment.year < _FIRST_YEAR_OF_GENERALIZED_TIME:
        return der.encode(_UTC_TIME, f"{text[2:]}Z".encode())
    return der.encode(_GENERALIZED_TIME, f"{text}Z".encode())
