"""What the gateway's tests share."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

SIG_USES = ("digital_signature",)
_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@pytest.fixture(scope="session")
def make_certificate() -> Callable[..., x509.Certificate]:
    """Makes an end-entity certificate of any key: by default a SIG certificate of 2010 to 2040, signed by nobody known.

    ``make_certificate(public_key, uses=("digital_signature",), extended=None, not_before=..., not_after=...)``
    """
    issuer_key = ec.generate_private_key(ec.BrainpoolP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Aussteller.CA")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Verwalter.GWA")])

    def make(
        public_key: ec.EllipticCurvePublicKey,
        uses: tuple[str, ...] = SIG_USES,
        extended: x509.ExtendedKeyUsage | None = None,
        not_before: datetime = datetime(2010, 1, 1, tzinfo=UTC),
        not_after: datetime = datetime(2040, 1, 1, tzinfo=UTC),
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
        builder = builder.not_valid_before(not_before).not_valid_after(not_after)
        if uses:
            builder = builder.add_extension(x509.KeyUsage(**{name: name in uses for name in _USES}), critical=True)
        if extended:
            builder = builder.add_extension(extended, critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    return make
