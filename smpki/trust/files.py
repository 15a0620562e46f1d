"""Certificates and revocation lists from files: PEM, several in a row, or one in DER."""

from collections.abc import Callable
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from smpki.errors import TrustError

T = TypeVar("T")


def read_certificates(data: bytes, where: str) -> tuple[x509.Certificate, ...]:
    """All certificates of a file, in its order; other PEM blocks are passed over.

    :param where: the file's name, for the refusal
    :raises TrustError: ``trust.file.unreadable``
    """
    return _read(data, where, "CERTIFICATE", x509.load_pem_x509_certificate, x509.load_der_x509_certificate)


def read_crls(data: bytes, where: str) -> tuple[x509.CertificateRevocationList, ...]:
    """All revocation lists of a file, in its order; other PEM blocks are passed over.

    :param where: the file's name, for the refusal
    :raises TrustError: ``trust.file.unreadable``
    """
    return _read(data, where, "X509 CRL", x509.load_pem_x509_crl, x509.load_der_x509_crl)


def _read(
    data: bytes, where: str, label: str, load_pem: Callable[[bytes], T], load_der: Callable[[bytes], T]
) -> tuple[T, ...]:
    begin = f"-----BEGIN {label}-----".encode()
    blocks = [begin + rest for rest in data.split(begin)[1:]]
    try:
        return tuple(map(load_pem, blocks)) if blocks else (load_der(data),)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        message = f"holds nothing that can be read as {label}: {error}"
        hint = f"give DER, or PEM with -----BEGIN {label}-----"
        raise TrustError("trust.file.unreadable", message, where=where, hint=hint) from None
