"""What a protected message says of itself, without any key."""

from dataclasses import dataclass
from typing import BinaryIO

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from smpki.asn1.ber_reader import Whole, in_file, in_memory
from smpki.gateway.cms_message import Message, read_message
from smpki.gateway.content_suite import HashName, Suite, hash_name


@dataclass(frozen=True, slots=True)
class Inspection:
    """What can be seen from outside. Who sent it is not among it: that needs a certificate that is known.

    :param signer_key_id: subject key identifier of the signer
    :param certificate: the enclosed one, if it can be read
    :param signature_holds: under the enclosed certificate, which anybody could have made; ``None``: none is enclosed
    :param signature_hash: of the signature
    :param recipient_key_id: subject key identifier of the recipient
    :param suite: how the content is encrypted
    :param compressed: before that
    :param octets: of the ciphertext
    """

    signer_key_id: bytes
    certificate: x509.Certificate | None
    signature_holds: bool | None
    signature_hash: HashName
    recipient_key_id: bytes
    suite: Suite
    compressed: bool
    octets: int


def inspect(message: bytes) -> Inspection:
    """Look at a message; it is refused where it is not of the profile.

    :raises GatewayError: ``cms.encoding.*``, ``cms.envelope.*``, ``cms.signature.*``
    """
    return _inspect(in_memory(message))


def inspect_stream(source: BinaryIO) -> Inspection:
    """As :func:`inspect`, of a seekable file."""
    return _inspect(in_file(source))


def _inspect(source: Whole) -> Inspection:
    message = read_message(source)
    signer, enclosed = message.signed.signer, message.signed.certificates
    certificate = _certificate(enclosed[0]) if enclosed else None
    return Inspection(
        signer_key_id=signer.key_id,
        certificate=certificate,
        signature_holds=_holds(message, certificate) if enclosed else None,
        signature_hash=hash_name(signer.hash),
        recipient_key_id=message.envelope.recipient.key_id,
        suite=message.algorithms.suite,
        compressed=message.compressed,
        octets=message.octets,
    )


def _certificate(encoded: bytes) -> x509.Certificate | None:
    """A certificate whose subject can be read as well."""
    try:
        certificate = x509.load_der_x509_certificate(encoded)
        _ = certificate.subject
    except Exception:  # pyca: ValueError, InvalidVersion and more
        return None
    return certificate


def _holds(message: Message, certificate: x509.Certificate | None) -> bool:
    if certificate is None:
        return False
    try:
        message.signed.verify_digest(certificate.public_key(), message.digest)
    except (ValueError, UnsupportedAlgorithm):  # SignedDataError, or a key that can't be read
        return False
    return True
