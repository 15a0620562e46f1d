"""What the certificates of one issuer for one purpose, made at one time, have in common, and what is left without it.

They differ in serial number, subject, the point of the key, and the extensions that speak of the holder.
"""

from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from smpki.asn1 import der
from smpki.policy.lint.body import Encoded, split

HOLDER_EXTENSIONS = (ExtensionOID.SUBJECT_KEY_IDENTIFIER, ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
"""The extensions that speak of the holder."""

_OF_HOLDER = tuple(der.encode_object_identifier(oid.dotted_string) for oid in HOLDER_EXTENSIONS)
_EXTENSIONS = der.context(3)
_NO_SIGNATURE = der.encode(der.BIT_STRING, b"\x00")


class Parted(NamedTuple):
    """A certificate, parted.

    :param shared: what others have too: encoded fields and extensions
    :param own_extensions: those that speak of the holder, encoded one after the other
    """

    shared: tuple[bytes, ...]
    own_extensions: bytes


def part(encoded: Encoded) -> Parted:
    """Part what a certificate shares with others from what is its own."""
    at, _ = der.span(encoded.public_key_info, 0, "SubjectPublicKeyInfo")
    _, stop = der.span(encoded.public_key_info, at, "SubjectPublicKeyInfo")
    shared = [*encoded.head, encoded.issuer, encoded.validity, encoded.public_key_info[:stop]]
    own: list[bytes] = []
    for field in encoded.others:
        if field[0] != _EXTENSIONS:
            shared.append(field)
            continue
        at, _ = der.span(field, 0, "extensions")
        at, _ = der.span(field, at, "extensions")
        for extension in split(field, at):
            oid, _ = der.span(extension, 0, "Extension")
            (own if extension.startswith(_OF_HOLDER, oid) else shared).append(extension)
    return Parted(tuple(shared), b"".join(own))


def with_extensions(encoded: Encoded, extensions: bytes) -> x509.Certificate:
    """The certificate with some of its extensions alone: pyca reads all that are there to get at one."""
    others = der.encode(_EXTENSIONS, der.encode(der.SEQUENCE, extensions)) if extensions else b""
    body = der.encode(der.SEQUENCE, encoded.up_to_key, others)
    return x509.load_der_x509_certificate(der.encode(der.SEQUENCE, body, encoded.head[-1], _NO_SIGNATURE))
