"""CMS SignedData (RFC 5652 section 5) in the form that the BSI's guidelines allow.

The form: version 3; one signer, named by the identifier of its key; ECDSA with SHA-256, SHA-384 or SHA-512, and the
same hash for the content; the signed attributes contentType and messageDigest, which cmsAlgorithmProtection (RFC 6211)
may accompany; no unsigned attributes, no CRLs (a real renewal package of 2024; Detailspezifikationen zur TR-03109-1
v2.0, table 5.6). signingTime is tolerated: the usual libraries add it unless told otherwise, and nothing relies on it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1 import der
from smpki.asn1.algorithms import DIGEST_HASHES, DIGEST_IDENTIFIERS, SIGNATURE_HASHES, SIGNATURE_IDENTIFIERS
from smpki.asn1.curves import CURVES
from smpki.asn1.oids import CMS_ALGORITHM_PROTECTION, CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME

_VERSION = 3
_CERTIFICATES, _CRLS, _SIGNED, _UNSIGNED = der.context(0), der.context(1), der.context(0), der.context(1)
_KEY_ID = der.context(0, constructed=False)
_CHUNKS = der.OCTET_STRING | 0x20
_ATTRIBUTES = {CONTENT_TYPE, MESSAGE_DIGEST, CMS_ALGORITHM_PROTECTION, SIGNING_TIME}


class SignedDataError(ValueError):
    """SignedData that is well-formed, but not of our form, or whose signature does not hold.

    :param rule: what was broken, such as ``version``, ``signers``, ``attributes.missing`` or ``digest``
    :param message: one sentence
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(rule, message)
        self.rule = rule
        self.message = message


@dataclass(frozen=True, slots=True)
class SignedData:
    """SignedData of our form; :meth:`verify` says whether the signature holds.

    :param content_type: what the content is (eContentType), dotted
    :param content: the content's octets, its chunks joined
    :param certificates: each DER certificate that is enclosed
    :param key_id: the signer's subject key identifier
    :param digest: what messageDigest says
    :param signed: the signed attributes as the signature covers them: a DER SET OF (RFC 5652 section 5.4)
    :param hash: the hash of content and signature
    :param signature: a DER ECDSA-Sig-Value
    """

    content_type: str
    content: bytes
    certificates: tuple[bytes, ...]
    key_id: bytes
    digest: bytes
    signed: bytes
    hash: hashes.HashAlgorithm = field(compare=False)  # pyca can't compare it; the octets in signed tell
    signature: bytes

    def verify(self, key: object) -> None:
        """Verify content and signature under the signer's public key (RFC 5652 section 5.6).

        :param key: a public key as a certificate gives it, of whatever kind
        :raises SignedDataError: ``key`` for one that the infrastructure does not use, ``digest``, ``invalid``
        """
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
            raise SignedDataError("key", "the signer's key is on none of the curves of TR-03116-3 table 4")
        if _digest(self.content, self.hash) != self.digest:
            raise SignedDataError("digest", "messageDigest is not the hash of the content")
        try:
            key.verify(self.signature, self.signed, ec.ECDSA(self.hash))
        except InvalidSignature:
            message = "the signature over the attributes does not hold under the signer's key"
            raise SignedDataError("invalid", message) from None


def read_signed_data(data: bytes) -> SignedData:
    """Read SignedData of our form.

    :param data: with definite lengths, see :func:`smpki.asn1.ber.unwrap`; the content may be in chunks all the same
    :raises DerError: when it is no SignedData
    :raises SignedDataError: ``version``, ``algorithm``, ``content``, ``certificates``, ``crls``, ``signers``,
        ``signer_identifier``, ``attributes.missing``, ``.repeated``, ``.unknown`` or ``.unsigned``, ``content_type``,
        ``algorithm_differs``
    """
    fields = _Fields(data, "SignedData")
    version = der.integer(fields.next(der.INTEGER, "version"), "SignedData.version")
    digests = der.elements(fields.next(der.SET, "digestAlgorithms").content, "SignedData.digestAlgorithms")
    content_type, content = _read_content(fields.next(der.SEQUENCE, "encapContentInfo").encoded)
    certificates = fields.optional(_CERTIFICATES)
    crls = fields.optional(_CRLS)
    signers = der.elements(fields.next(der.SET, "signerInfos").content, "SignedData.signerInfos")
    fields.end()

    _check_version(version, "SignedData")
    if content is None:
        raise SignedDataError("content", "the signed content is not enclosed")
    if crls is not None:
        raise SignedDataError("crls", "CRLs are enclosed")
    if len(signers) != 1:
        raise SignedDataError("signers", f"there are {len(signers)} signers where one is due")
    signer = _read_signer(signers[0].encoded, content_type)
    if signer.hash not in [_digest_hash(each.encoded) for each in digests]:
        raise SignedDataError("algorithm_differs", "the signer's hash is not among those that SignedData announces")
    return SignedData(
        content_type=content_type,
        content=content,
        certificates=_read_certificates(certificates),
        key_id=signer.key_id,
        digest=signer.digest,
        signed=signer.signed,
        hash=signer.hash,
        signature=signer.signature,
    )


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
    digest, signature = DIGEST_IDENTIFIERS[hash.name], SIGNATURE_IDENTIFIERS[hash.name]
    kind = der.encode_object_identifier(content_type)
    octets = der.encode(der.OCTET_STRING, content)
    attributes = sorted(
        (
            _attribute(CONTENT_TYPE, kind),
            _attribute(MESSAGE_DIGEST, der.encode(der.OCTET_STRING, _digest(content, hash))),
        )
    )
    signer = der.encode(
        der.SEQUENCE,
        der.encode_integer(_VERSION),
        der.encode(_KEY_ID, key_id),
        digest,
        der.encode(_SIGNED, *attributes),
        signature,
        der.encode(der.OCTET_STRING, key.sign(der.encode(der.SET, *attributes), ec.ECDSA(hash))),
    )
    return der.encode(
        der.SEQUENCE,
        der.encode_integer(_VERSION),
        der.encode(der.SET, digest),
        der.encode(der.SEQUENCE, kind, der.encode(der.context(0), octets)),
        der.encode(_CERTIFICATES, *sorted(certificates)),
        der.encode(der.SET, signer),
    )


@dataclass(frozen=True, slots=True)
class _Signer:
    key_id: bytes
    digest: bytes
    signed: bytes
    hash: hashes.HashAlgorithm
    signature: bytes


class _Fields:
    """The fields of a SEQUENCE, taken one after another."""

    def __init__(self, data: bytes, of: str) -> None:
        self._of = of
        self._fields = deque(der.elements(der.single(data, der.SEQUENCE, of).content, of))

    def next(self, tag: int, name: str) -> der.Element:
        if not self._fields:
            raise der.DerError("truncated", f"{self._of} ends before {name}")
        return der.expect(self._fields.popleft(), tag, f"{self._of}.{name}")

    def optional(self, tag: int) -> der.Element | None:
        return self._fields.popleft() if self._fields and self._fields[0].tag == tag else None

    def end(self) -> None:
        if self._fields:
            raise der.DerError("tag", f"{self._of} has a field of tag 0x{self._fields[0].tag:02x} too many")


def _read_content(encoded: bytes) -> tuple[str, bytes | None]:
    """eContentType and eContent; an OCTET STRING may come in chunks (X.690 8.7.3)."""
    fields = _Fields(encoded, "encapContentInfo")
    content_type = der.object_identifier(fields.next(der.OBJECT_IDENTIFIER, "eContentType"), "eContentType")
    explicit = fields.optional(der.context(0))
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


def _read_signer(encoded: bytes, content_type: str) -> _Signer:
    """SignerInfo (RFC 5652 section 5.3) and its attributes."""
    fields = _Fields(encoded, "SignerInfo")
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
    _check_version(version, "SignerInfo")
    if unsigned is not None:
        raise SignedDataError("attributes.unsigned", "there are unsigned attributes")
    if missing := [oid for oid in (CONTENT_TYPE, MESSAGE_DIGEST) if oid not in values]:
        raise SignedDataError("attributes.missing", f"the signed attribute {missing[0]} is missing")
    attested = der.object_identifier(values[CONTENT_TYPE], "contentType")
    if attested != content_type:
        raise SignedDataError("content_type", f"the signed contentType is {attested}, the content's is {content_type}")
    hash = _digest_hash(digest_algorithm)
    if signature_algorithm not in SIGNATURE_HASHES:
        raise SignedDataError("algorithm", "the signature algorithm is none that may be used")
    if SIGNATURE_HASHES[signature_algorithm] is not hash:
        raise SignedDataError("algorithm_differs", "content and signature are not hashed by the same algorithm")
    if (protection := values.get(CMS_ALGORITHM_PROTECTION)) is not None:
        _check_protection(protection, hash, signature_algorithm)
    return _Signer(
        key_id=key_id.content,
        digest=der.expect(values[MESSAGE_DIGEST], der.OCTET_STRING, "messageDigest").content,
        signed=der.encode(der.SET, *sorted(attribute.encoded for attribute in attributes)),
        hash=hash,
        signature=signature,
    )


def _read_attributes(attributes: Iterable[der.Element]) -> dict[str, der.Element]:
    """The single value of each attribute (RFC 5652 section 11)."""
    found: dict[str, der.Element] = {}
    for attribute in attributes:
        fields = _Fields(attribute.encoded, "signedAttrs")
        oid = der.object_identifier(fields.next(der.OBJECT_IDENTIFIER, "attrType"), "attrType")
        values = der.elements(fields.next(der.SET, "attrValues").content, "attrValues")
        fields.end()
        if oid not in _ATTRIBUTES:
            raise SignedDataError("attributes.unknown", f"the signed attribute {oid} is none of the profile's")
        if oid in found or len(values) != 1:
            raise SignedDataError("attributes.repeated", f"the signed attribute {oid} has not exactly one value")
        found[oid] = values[0]
    return found


def _check_protection(protection: der.Element, hash: hashes.HashAlgorithm, signature_algorithm: bytes) -> None:
    """RFC 6211 section 2: the protected identifiers are those in use."""
    fields = _Fields(protection.encoded, "cmsAlgorithmProtection")
    digest = fields.next(der.SEQUENCE, "digestAlgorithm").encoded
    signature = fields.next(der.context(1), "signatureAlgorithm").encoded
    fields.end()
    if DIGEST_HASHES.get(digest) is not hash or bytes((der.SEQUENCE,)) + signature[1:] != signature_algorithm:
        raise SignedDataError("algorithm_differs", "cmsAlgorithmProtection names other algorithms than the signer")


def _check_version(version: int, of: str) -> None:
    if version != _VERSION:
        raise SignedDataError("version", f"{of} has version {version} where {_VERSION} is due")


def _digest_hash(identifier: bytes) -> hashes.HashAlgorithm:
    hash = DIGEST_HASHES.get(identifier)
    if hash is None:
        raise SignedDataError("algorithm", "the hash of the content is none that may be used")
    return hash


def _digest(content: bytes, hash: hashes.HashAlgorithm) -> bytes:
    hasher = hashes.Hash(hash)
    hasher.update(content)
    return hasher.finalize()


def _attribute(oid: str, value: bytes) -> bytes:
    return der.encode(der.SEQUENCE, der.encode_object_identifier(oid), der.encode(der.SET, value))
