"""SignerInfo (RFC 5652 section 5.3) in the form that the BSI's guidelines allow, see :mod:`smpki.asn1.signed_data`."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1 import der
from smpki.asn1.algorithms import DIGEST_HASHES, DIGEST_IDENTIFIERS, SIGNATURE_HASHES, SIGNATURE_IDENTIFIERS
from smpki.asn1.curves import CURVES
from smpki.asn1.fields import Fields
from smpki.asn1.oids import CMS_ALGORITHM_PROTECTION, CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME
from smpki.asn1.profile_error import ProfileError

VERSION = 3
"""Of SignerInfo and of the SignedData around it: the signer is named by its key (RFC 5652 sections 5.1 and 5.3)."""

_SIGNED, _UNSIGNED = der.context(0), der.context(1)
_KEY_ID = der.context(0, constructed=False)
_ATTRIBUTES = {CONTENT_TYPE, MESSAGE_DIGEST, CMS_ALGORITHM_PROTECTION, SIGNING_TIME}


class SignedDataError(ProfileError):
    """SignedData that is well-formed, but not of our form, or whose signature does not hold.

    :param rule: what was broken, such as ``version``, ``signers``, ``attributes.missing`` or ``digest``
    """


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """What one signer says of the content.

    :param key_id: the signer's subject key identifier
    :param digest: what messageDigest says
    :param attributes: the types of the signed attributes
    :param signed: the signed attributes as the signature covers them: a DER SET OF (RFC 5652 section 5.4)
    :param hash: the hash of content and signature
    :param signature: a DER ECDSA-Sig-Value
    """

    key_id: bytes
    digest: bytes
    attributes: frozenset[str]
    signed: bytes
    hash: hashes.HashAlgorithm = field(compare=False)  # pyca can't compare it; the octets in signed tell
    signature: bytes


def read_signer_info(encoded: bytes, content_type: str) -> SignerInfo:
    """Read a SignerInfo and its attributes.

    :param content_type: what the signed contentType has to say
    :raises DerError: when it is no SignerInfo
    :raises SignedDataError: see :func:`smpki.asn1.signed_data.read_signed_data`
    """
    fields = Fields(encoded, "SignerInfo")
    version = der.integer(fields.next(der.INTEGER, "version"), "SignerInfo.version")
    key_id = fields.optional(_KEY_ID)
    if key_id is None:
        fields.next(der.SEQUENCE, "sid")
    digest_algorithm = fields.next(der.SEQUENCE, "digestAlgorithm").encoded
    signed = fields.optional(_SIGNED)
    signature_algorithm = fields.next(der.SEQUENCE, "signatureAlgorithm").encoded
    signature = fields.next(der.OCTET_STRING, "signature").content
    unsigned = fields.optional(_UNSIGNED)
    fields.end()
    attributes = der.elements(signed.content, "signedAttrs") if signed else []
    values = _read_attributes(attributes)

    if key_id is None:
        raise SignedDataError("signer_identifier", "the signer is named by issuer and serial number, not by its key")
    check_version(version, "SignerInfo")
    if unsigned is not None:
        raise SignedDataError("attributes.unsigned", "there are unsigned attributes")
    if missing := [oid for oid in (CONTENT_TYPE, MESSAGE_DIGEST) if oid not in values]:
        raise SignedDataError("attributes.missing", f"the signed attribute {missing[0]} is missing")
    attested = der.object_identifier(values[CONTENT_TYPE], "contentType")
    if attested != content_type:
        raise SignedDataError("content_type", f"the signed contentType is {attested}, the content's is {content_type}")
    hash = digest_hash(digest_algorithm)
    if signature_algorithm not in SIGNATURE_HASHES:
        raise SignedDataError("algorithm", "the signature algorithm is none that may be used")
    if SIGNATURE_HASHES[signature_algorithm] is not hash:
        raise SignedDataError("algorithm_differs", "content and signature are not hashed by the same algorithm")
    if (protection := values.get(CMS_ALGORITHM_PROTECTION)) is not None:
        _check_protection(protection, hash, signature_algorithm)
    return SignerInfo(
        key_id=key_id.content,
        digest=der.expect(values[MESSAGE_DIGEST], der.OCTET_STRING, "messageDigest").content,
        attributes=frozenset(values),
        signed=der.encode(der.SET, *sorted(attribute.encoded for attribute in attributes)),
        hash=hash,
        signature=signature,
    )


def verify_signature(key: object, signature: bytes, data: bytes, hash: hashes.HashAlgorithm) -> None:
    """Verify an ECDSA signature (BSI TR-03111 section 4.2.2) on the curves of TR-03116-3 table 4.

    :param key: a public key as a certificate gives it, of whatever kind
    :param signature: a DER ECDSA-Sig-Value (TR-03111 section 5.2.2)
    :raises SignedDataError: ``key`` for one that the infrastructure does not use, ``invalid``
    """
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise SignedDataError("key", "the signer's key is on none of the curves of TR-03116-3 table 4")
    try:
        key.verify(signature, data, ec.ECDSA(hash))
    except InvalidSignature:
        raise SignedDataError("invalid", "the signature does not hold under the signer's key") from None


def signed_attributes(content_type: str, digest: bytes) -> bytes:
    """The signed attributes contentType and messageDigest, as the signature covers them: a DER SET OF.

    :param digest: the hash of the content
    """
    kind = attribute(CONTENT_TYPE, der.encode_object_identifier(content_type))
    return der.encode(der.SET, *sorted((kind, attribute(MESSAGE_DIGEST, der.encode(der.OCTET_STRING, digest)))))


def build_signer_info(attributes: bytes, signature: bytes, key_id: bytes, hash: hashes.HashAlgorithm) -> bytes:
    """A DER SignerInfo.

    :param attributes: see :func:`signed_attributes`
    :param signature: of these, a DER ECDSA-Sig-Value
    :param key_id: the signer's subject key identifier
    :param hash: SHA-256, SHA-384 or SHA-512
    """
    return der.encode(
        der.SEQUENCE,
        der.encode_integer(VERSION),
        der.encode(_KEY_ID, key_id),
        DIGEST_IDENTIFIERS[hash.name],
        der.implicit(0, attributes),
        SIGNATURE_IDENTIFIERS[hash.name],
        der.encode(der.OCTET_STRING, signature),
    )


def attribute(oid: str, value: bytes) -> bytes:
    """A DER Attribute with one encoded value (RFC 5652 section 5.3)."""
    return der.encode(der.SEQUENCE, der.encode_object_identifier(oid), der.encode(der.SET, value))


def read_attribute(encoded: bytes, of: str) -> tuple[str, list[der.Element]]:
    """The type and the values of an Attribute (RFC 5652 section 5.3).

    :param of: where it stands, for messages
    :raises DerError: when it is none
    """
    fields = Fields(encoded, of)
    oid = der.object_identifier(fields.next(der.OBJECT_IDENTIFIER, "attrType"), f"{of}.attrType")
    values = der.elements(fields.next(der.SET, "attrValues").content, f"{of}.attrValues")
    fields.end()
    return oid, values


def check_version(version: int, of: str) -> None:
    """See that a version is :data:`VERSION`.

    :raises SignedDataError: ``version``
    """
    if version != VERSION:
        raise SignedDataError("version", f"{of} has version {version} where {VERSION} is due")


def digest_hash(identifier: bytes) -> hashes.HashAlgorithm:
    """The hash that an encoded AlgorithmIdentifier names.

    :raises SignedDataError: ``algorithm``
    """
    hash = DIGEST_HASHES.get(identifier)
    if hash is None:
        raise SignedDataError("algorithm", "the hash of the content is none that may be used")
    return hash


def _read_attributes(attributes: Iterable[der.Element]) -> dict[str, der.Element]:
    """The single value of each attribute (RFC 5652 section 11)."""
    found: dict[str, der.Element] = {}
    for each in attributes:
        oid, values = read_attribute(each.encoded, "signedAttrs")
        if oid not in _ATTRIBUTES:
            raise SignedDataError("attributes.unknown", f"the signed attribute {oid} is none of the profile's")
        if oid in found or len(values) != 1:
            raise SignedDataError("attributes.repeated", f"the signed attribute {oid} has not exactly one value")
        found[oid] = values[0]
    return found


def _check_protection(protection: der.Element, hash: hashes.HashAlgorithm, signature_algorithm: bytes) -> None:
    """RFC 6211 section 2: the protected identifiers are those in use."""
    fields = Fields(protection.encoded, "cmsAlgorithmProtection")
    digest = fields.next(der.SEQUENCE, "digestAlgorithm").encoded
    signature = fields.next(der.context(1), "signatureAlgorithm").encoded
    fields.end()
    if DIGEST_HASHES.get(digest) is not hash or bytes((der.SEQUENCE,)) + signature[1:] != signature_algorithm:
        raise SignedDataError("algorithm_differs", "cmsAlgorithmProtection names other algorithms than the signer")
