"""CMS SignedData (RFC 5652 section 5) in the form that the BSI's guidelines allow.

The form: version 3; one signer, named by the identifier of its key; ECDSA with SHA-256, SHA-384 or SHA-512, and the
same hash for the content; the signed attributes contentType and messageDigest, which cmsAlgorithmProtection (RFC 6211)
may accompany; no unsigned attributes, no CRLs (a real renewal package of 2024; Detailspezifikationen zur TR-03109-1
v2.0, table 5.6). signingTime is tolerated: the usual libraries add it unless told otherwise, and nothing relies on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1 import der
from smpki.asn1.algorithms import DIGEST_IDENTIFIERS
from smpki.asn1.fields import Fields
from smpki.asn1.signer_info import (
    VERSION,
    SignedDataError,
    SignerInfo,
    build_signer_info,
    check_version,
    digest_hash,
    read_signer_info,
    signed_attributes,
    verify_signature,
)

__all__ = ["Signed", "SignedData", "SignedDataError", "build_signed_data", "read_detached", "read_signed_data"]

CERTIFICATES, CRLS, CONTENT = der.context(0), der.context(1), der.context(0)
_CHUNKS = der.OCTET_STRING | 0x20


@dataclass(frozen=True, slots=True)
class Signed:
    """SignedData of our form but for its content, which is elsewhere or was read past.

    :param content_type: what the content is (eContentType), dotted
    :param certificates: each DER certificate that is enclosed
    :param signer: who signed, and how
    """

    content_type: str
    certificates: tuple[bytes, ...]
    signer: SignerInfo

    def verify_digest(self, key: object, digest: bytes) -> None:
        """Verify the signature over a content that somebody else has hashed (RFC 5652 section 5.6).

        :param key: a public key as a certificate gives it, of whatever kind
        :param digest: the content's
        :raises SignedDataError: ``key`` for one that the infrastructure does not use, ``digest``, ``invalid``
        """
        if digest != self.signer.digest:
            raise SignedDataError("digest", "messageDigest is not the hash of the content")
        verify_signature(key, self.signer.signature, self.signer.signed, self.signer.hash)


@dataclass(frozen=True, slots=True)
class SignedData(Signed):
    """SignedData of our form; :meth:`verify` says whether the signature holds.

    :param content: the content's octets, its chunks joined
    """

    content: bytes

    def verify(self, key: object) -> None:
        """Verify content and signature under the signer's public key, see :meth:`Signed.verify_digest`."""
        self.verify_digest(key, digest_of(self.content, self.signer.hash))


def read_signed_data(data: bytes) -> SignedData:
    """Read SignedData of our form.

    :param data: with definite lengths, see :func:`smpki.asn1.ber.unwrap`; the content may be in chunks all the same
    :raises DerError: when it is no SignedData
    :raises SignedDataError: ``version``, ``algorithm``, ``content``, ``certificates``, ``crls``, ``signers``,
        ``signer_identifier``, ``attributes.missing``, ``.repeated``, ``.unknown`` or ``.unsigned``, ``content_type``,
        ``algorithm_differs``
    """
    signed, content = _read(data)
    if content is None:
        raise SignedDataError("content", "the signed content is not enclosed")
    return SignedData(signed.content_type, signed.certificates, signed.signer, content)


def read_detached(data: bytes) -> Signed:
    """Read SignedData of our form whose content is elsewhere.

    :param data: as for :func:`read_signed_data`
    :raises DerError: when it is no SignedData
    :raises SignedDataError: as :func:`read_signed_data`; ``content`` when it is enclosed
    """
    signed, content = _read(data)
    if content is not None:
        raise SignedDataError("content", "the signed content is enclosed")
    return signed


def build_signed_data(
    content_type: str,
    content: bytes,
    key: ec.EllipticCurvePrivateKey,
    key_id: bytes,
    certificates: Iterable[bytes],
    hash: hashes.HashAlgorithm,
) -> bytes:
    """Build and sign SignedData of our form, in DER.

    :param key: the signer's
    :param key_id: its subject key identifier
    :param certificates: DER certificates to enclose
    :param hash: SHA-256, SHA-384 or SHA-512
    """
    attributes = signed_attributes(content_type, digest_of(content, hash))
    signer = build_signer_info(attributes, key.sign(attributes, ec.ECDSA(hash)), key_id, hash)
    before, after = frame_signed_data(content_type, len(content), certificates, signer, hash)
    return before + content + after


def frame_signed_data(
    content_type: str, length: int | None, certificates: Iterable[bytes], signer: bytes, hash: hashes.HashAlgorithm
) -> tuple[bytes, bytes]:
    """What stands before and behind the content in DER SignedData of our form.

    :param length: octets of the content; ``None``: it is not enclosed
    :param certificates: DER certificates to enclose
    :param signer: see :func:`smpki.asn1.signer_info.build_signer_info`
    """
    digest = DIGEST_IDENTIFIERS[hash.name]
    before = der.encode_integer(VERSION) + der.encode(der.SET, digest)
    kind = der.encode_object_identifier(content_type)
    enclosed = sorted(certificates)
    after = der.encode(CERTIFICATES, *enclosed) if enclosed else b""
    after += der.encode(der.SET, signer)
    if length is None:
        whole = before + der.encode(der.SEQUENCE, kind) + after
        return der.encode(der.SEQUENCE, whole), b""
    octets = der.header(der.OCTET_STRING, length)
    explicit = der.header(CONTENT, len(octets) + length) + octets
    before += der.header(der.SEQUENCE, len(kind) + len(explicit) + length) + kind + explicit
    return der.header(der.SEQUENCE, len(before) + length + len(after)) + before, after


def digest_of(content: bytes, hash: hashes.HashAlgorithm) -> bytes:
    """The hash of a content."""
    hasher = hashes.Hash(hash)
    hasher.update(content)
    return hasher.finalize()


def _read(data: bytes) -> tuple[Signed, bytes | None]:
    fields = Fields(data, "SignedData")
    version = der.integer(fields.next(der.INTEGER, "version"), "SignedData.version")
    digests = der.elements(fields.next(der.SET, "digestAlgorithms").content, "SignedData.digestAlgorithms")
    content_type, content = _read_content(fields.next(der.SEQUENCE, "encapContentInfo").encoded)
    certificates = fields.optional(CERTIFICATES)
    crls = fields.optional(CRLS)
    signers = fields.next(der.SET, "signerInfos")
    fields.end()
    check_version(version, "SignedData")
    announced = [digest_hash(each.encoded) for each in digests]
    return read_around(content_type, announced, certificates, crls, signers), content


def read_around(
    content_type: str,
    announced: Iterable[hashes.HashAlgorithm],
    certificates: der.Element | None,
    crls: der.Element | None,
    signers: der.Element,
) -> Signed:
    """Read what stands around the content.

    :param announced: hashes, as digestAlgorithms lists them
    :raises DerError: when it is no SignedData
    :raises SignedDataError: as :func:`read_signed_data`
    """
    found = der.elements(signers.content, "SignedData.signerInfos")
    if crls is not None:
        raise SignedDataError("crls", "CRLs are enclosed")
    if len(found) != 1:
        raise SignedDataError("signers", f"there are {len(found)} signers where one is due")
    signer = read_signer_info(found[0].encoded, content_type)
    if signer.hash not in announced:
        raise SignedDataError("algorithm_differs", "the signer's hash is not among those that SignedData announces")
    return Signed(content_type, _read_certificates(certificates), signer)


def _read_content(encoded: bytes) -> tuple[str, bytes | None]:
    """eContentType and eContent; an OCTET STRING may come in chunks (X.690 8.7.3)."""
    fields = Fields(encoded, "encapContentInfo")
    content_type = der.object_identifier(fields.next(der.OBJECT_IDENTIFIER, "eContentType"), "eContentType")
    explicit = fields.optional(CONTENT)
    fields.end()
    if explicit is None:
        return content_type, None
    octets = der.elements(explicit.content, "eContent")
    if len(octets) != 1:
        raise der.DerError("tag", f"eContent holds {len(octets)} elements where one is due")
    if octets[0].tag == _CHUNKS:
        octets = der.elements(octets[0].content, "eContent")
    return content_type, b"".join(der.expect(each, der.OCTET_STRING, "eContent").content for each in octets)


def _read_certificates(element: der.Element | None) -> tuple[bytes, ...]:
    choices = der.elements(element.content, "SignedData.certificates") if element else []
    if any(choice.tag != der.SEQUENCE for choice in choices):
        raise SignedDataError("certificates", "something else than X.509 certificates is enclosed")
    return tuple(choice.encoded for choice in choices)
