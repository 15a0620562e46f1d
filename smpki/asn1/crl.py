"""Write the body of a CRL, entry by entry (RFC 5280 5.1.2).

pyca's builder wants an object for each entry; for a million of them that takes five times as long and twice the memory.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from cryptography import x509

from smpki.asn1 import der
from smpki.asn1.signed import encode_time

_VERSION_2 = der.encode_integer(1)


class Entry(NamedTuple):
    """A certificate on a CRL (RFC 5280 5.1.2.6).

    :param serial: its serial number
    :param since: revocationDate, timezone-aware
    :param extensions: encoded, one after the other
    """

    serial: int
    since: datetime
    extensions: bytes


def encode_tbs(
    algorithm: bytes,
    issuer: x509.Name,
    this_update: datetime,
    next_update: datetime,
    entries: Iterable[Entry],
    extensions: bytes,
) -> bytes:
    """A DER TBSCertList of version 2.

    :param algorithm: the AlgorithmIdentifier of the signature to come
    :param extensions: encoded, one after the other; at least one
    """
    revoked = bytearray()
    for serial, since, own in entries:
        end = der.encode(der.SEQUENCE, own) if own else b""
        revoked += der.encode(der.SEQUENCE, der.encode_integer(serial), encode_time(since), end)
    return der.encode(
        der.SEQUENCE,
        _VERSION_2,
        algorithm,
        issuer.public_bytes(),
        encode_time(this_update),
        encode_time(next_update),
        der.encode(der.SEQUENCE, bytes(revoked)) if revoked else b"",  # absent where there is none: RFC 5280 5.1.2.6
        der.encode(der.context(0), der.encode(der.SEQUENCE, extensions)),
    )
