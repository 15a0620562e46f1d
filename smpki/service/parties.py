"""Who makes gateways and who gets them, from the folders of their triples."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.gateway.certificate_names import common_name
from smpki.gateway.delivery_record import Administrator
from smpki.participant.signers import read_file_certificates, signer_of
from smpki.requests.keys import Signer


def read_manufacturer(folder: Path, key: ec.EllipticCurvePrivateKey) -> Signer:
    """The manufacturer (GWH) with the SIG certificate of a folder.

    :param key: its private key
    :raises SmpkiError: as :func:`smpki.participant.signers.read_file_certificates`
    """
    file = folder / "sig.pem"
    return signer_of(read_file_certificates(file)[0], file, _Given(key))


def read_administrator(folder: Path) -> Administrator:
    """The administrator (GWA) with the certificates ``tls.pem``, ``sig.pem`` and ``enc.pem`` of a folder.

    :raises SmpkiError: as :func:`smpki.participant.signers.read_file_certificates`
    """
    tls, sig, enc = (read_file_certificates(folder / f"{use}.pem")[0] for use in ("tls", "sig", "enc"))
    return Administrator(name=common_name(sig) or "", tls=tls, sig=sig, enc=enc)


def read_chain(folder: Path) -> tuple[x509.Certificate, ...]:
    """The CAs in the ``chain.pem`` of a folder, if it has one.

    :raises SmpkiError: as :func:`smpki.participant.signers.read_file_certificates`
    """
    file = folder / "chain.pem"
    return read_file_certificates(file) if file.exists() else ()


class _Given:
    """A :class:`smpki.participant.key_places.KeySource` with one key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def key_of(self, certificate: x509.Certificate, file: Path) -> ec.EllipticCurvePrivateKey:
        """Whatever certificate it is for; who uses them compares."""
        return self._key
