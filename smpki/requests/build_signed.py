"""Build signed request packages: a holder's renewal, and the authorisation of a gateway's package."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from smpki.asn1.content_info import build_content_info
from smpki.asn1.oids import (
    BSI_AUTHORIZED_CERT_REQ_MSGS,
    BSI_CERT_REQ_MSGS,
    BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE,
)
from smpki.requests.build import RequestedNames, build_messages
from smpki.requests.envelope import open_envelope
from smpki.requests.keys import KeyTriple, Signer
from smpki.requests.read import MAX_SIZE
from smpki.requests.signature import Layer, sign
from smpki.requests.submission import read_submission_content, verify_submission

_SHA256 = hashes.SHA256()


def build_renewal_package(
    subject: x509.Name,
    keys: KeyTriple,
    names: RequestedNames,
    previous: Signer,
    *,
    hash: hashes.HashAlgorithm = _SHA256,
) -> bytes:
    """Build a renewal package (Folgeantrag): a DER ContentInfo around requests that the previous SIG key signs.

    :param subject: that of the previous certificates, whose serialNumber may stay: the CA sets the next
    :param keys: the new ones
    :param previous: the still valid SIG key
    :param hash: of proofs and signature: SHA-256, SHA-384 or SHA-512
    :raises RequestError: as :func:`smpki.requests.build.build_messages` and :func:`smpki.requests.signature.sign`
    """
    messages = build_messages(subject, keys, names, hash=hash)
    signed = sign(BSI_CERT_REQ_MSGS, messages, previous, Layer.OUTER, hash)
    return build_content_info(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE, signed)


def build_authorised_package(package: bytes, authority: Signer, *, hash: hashes.HashAlgorithm = _SHA256) -> bytes:
    """Put an authorisation around a gateway's initial or renewal package, in the form of :mod:`smpki.requests.nesting`.

    :param package: the package in whatever armour; it is read and its signatures are verified before it is authorised
    :param authority: the manufacturer (GWH) or the administrator (GWA) of the gateway
    :param hash: of the authorisation: SHA-256, SHA-384 or SHA-512
    :raises RequestError: what the package itself is refused for, and as :func:`smpki.requests.signature.sign`
    """
    kinds = BSI_CERT_REQ_MSGS, BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE
    content_type, content = open_envelope(package, MAX_SIZE, *kinds)
    verify_submission(read_submission_content(content_type, content))
    signed = sign(content_type, content, authority, Layer.AUTHORISATION, hash)
    return build_content_info(BSI_AUTHORIZED_CERT_REQ_MSGS, signed)
