"""The body of a CRL, beside pyca's."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.algorithms import SIGNATURE_IDENTIFIERS
from smpki.asn1.crl import Entry, encode_tbs
from smpki.asn1.signed import assemble, encode_extension, encode_time

KEY = ec.derive_private_key(1234567, ec.BrainpoolP256R1())
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Beispiel.CA")])
AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
UNTIL = datetime(2051, 1, 1, tzinfo=UTC)
IDENTIFIER = x509.AuthorityKeyIdentifier(b"\x01" * 20, None, None)
REASON = x509.CRLReason(x509.ReasonFlags.key_compromise)
ISSUER = x509.CertificateIssuer([x509.DirectoryName(NAME)])
ENTRIES: list[tuple[int, datetime, list[tuple[x509.ExtensionType, bool]]]] = [
    (0x7F, AT, []),
    (0x80, AT - timedelta(days=1), [(REASON, False)]),
    (2**127 + 1, AT, [(REASON, False), (ISSUER, True)]),
]


def by_pyca(count: int) -> x509.CertificateRevocationList:
    builder = x509.CertificateRevocationListBuilder(NAME, AT, UNTIL)
    builder = builder.add_extension(IDENTIFIER, False).add_extension(x509.CRLNumber(300), False)
    for serial, since, extensions in ENTRIES[:count]:
        entry = x509.RevokedCertificateBuilder(serial, since)
        for value, critical in extensions:
            entry = entry.add_extension(value, critical)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(KEY, hashes.SHA256())


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_same_octets_as_pyca(count: int) -> None:
    entries = [
        Entry(serial, since, b"".join(encode_extension(*each) for each in extensions))
        for serial, since, extensions in ENTRIES[:count]
    ]
    extensions = encode_extension(IDENTIFIER) + encode_extension(x509.CRLNumber(300))
    tbs = encode_tbs(SIGNATURE_IDENTIFIERS["sha256"], NAME, AT, UNTIL, iter(entries), extensions)
    assert tbs == by_pyca(count).tbs_certlist_bytes
    signature = KEY.sign(tbs, ec.ECDSA(hashes.SHA256()))
    crl = x509.load_der_x509_crl(assemble(tbs, "sha256", signature))
    assert crl.is_signature_valid(KEY.public_key())
    assert len(crl) == count


WEST = timezone(timedelta(hours=-1))


@pytest.mark.parametrize(
    ("moment", "encoded"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC), b"\x17\x0d260102030405Z"),
        (datetime(1950, 1, 1, tzinfo=UTC), b"\x17\x0d500101000000Z"),
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x17\x0d491231235959Z"),
        (datetime(2050, 1, 1, tzinfo=UTC), b"\x18\x0f20500101000000Z"),
        (datetime(2049, 12, 31, 23, 30, tzinfo=WEST), b"\x18\x0f20500101003000Z"),
    ],
)
def test_times(moment: datetime, encoded: bytes) -> None:
    assert encode_time(moment) == encoded
