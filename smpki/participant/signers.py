"""Find who signs: a SIG certificate in a file, its key in a file or a token, the Sub-CA's certificate beside it."""

from pathlib import Path

from cryptography import x509

from smpki.errors import SmpkiError
from smpki.participant.key_places import KeySource
from smpki.requests.keys import Signer
from smpki.trust.files import read_certificates

_TRIPLE = ("tls.pem", "sig.pem", "enc.pem")


def open_signer(place: Path, source: KeySource) -> Signer:
    """Who signs, see :func:`signer_of`.

    :param place: the SIG certificate's file, or a folder with a ``sig.pem``, as the Sub-CA gives it
    :raises SmpkiError: as :func:`read_file_certificates` and :func:`signer_of`
    """
    file = place / "sig.pem" if place.is_dir() else place
    return signer_of(read_file_certificates(file)[0], file, source)


def signer_of(certificate: x509.Certificate, file: Path, source: KeySource) -> Signer:
    """Who signs with the key of a certificate; the Sub-CA's certificate is enclosed if a ``chain.pem`` has it.

    :param file: the certificate's; the chain is beside it
    :param source: has the private key
    :raises SmpkiError: as :func:`read_file_certificates`, and what the source raises
    """
    chain = file.with_name("chain.pem")
    known = read_file_certificates(chain) if chain.exists() else ()
    issuers = tuple(each for each in known if issued(each, certificate))
    return Signer(source.key_of(certificate, file), certificate, issuers)


def tls_certificate(place: Path) -> x509.Certificate | None:
    """The TLS certificate beside a SIG certificate: ``tls.pem`` in the same folder, if there is one.

    :param place: as for :func:`open_signer`
    :raises SmpkiError: as :func:`read_file_certificates`
    """
    file = (place if place.is_dir() else place.parent) / "tls.pem"
    return read_file_certificates(file)[0] if file.exists() else None


def triple_certificates(place: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a file, or those of the triple in a folder: ``tls.pem``, ``sig.pem``, ``enc.pem``.

    :raises SmpkiError: as :func:`read_file_certificates`
    """
    files = [place / name for name in _TRIPLE] if place.is_dir() else [place]
    return tuple(certificate for file in files for certificate in read_file_certificates(file))


def read_file_certificates(file: Path) -> tuple[x509.Certificate, ...]:
    """The certificates in a file, at least one.

    :raises SmpkiError: ``file.unreadable``, ``trust.file.unreadable``
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        message = f"can't be read: {error.strerror}"
        raise SmpkiError("file.unreadable", message, where=str(file), hint="check the path") from None
    return read_certificates(data, str(file))


def issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether name and signature are that issuer's: a Sub-CA keeps its name from one key to the next."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # pyca: ValueError, TypeError, InvalidSignature
        return False
    return True
