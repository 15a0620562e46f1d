"""The AlgorithmIdentifiers of hashes and ECDSA signatures (RFC 5754 section 2, RFC 5758 section 3.2)."""

from cryptography.hazmat.primitives import hashes

from smpki.asn1 import der
from smpki.asn1.oids import ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ECDSA_WITH_SHA512, SHA256, SHA384, SHA512

_HASHES = (
    (hashes.SHA256(), SHA256, ECDSA_WITH_SHA256),
    (hashes.SHA384(), SHA384, ECDSA_WITH_SHA384),
    (hashes.SHA512(), SHA512, ECDSA_WITH_SHA512),
)
_NULL = der.encode(0x05)


def _identifier(oid: str, parameters: bytes = b"") -> bytes:
    return der.encode(der.SEQUENCE, der.encode_object_identifier(oid), parameters)


DIGEST_IDENTIFIERS = {hash.name: _identifier(digest) for hash, digest, _ in _HASHES}
"""The DER AlgorithmIdentifier of a hash by its name; without parameters."""

SIGNATURE_IDENTIFIERS = {hash.name: _identifier(signature) for hash, _, signature in _HASHES}
"""The DER AlgorithmIdentifier of an ECDSA signature by the name of its hash; without parameters."""

DIGEST_HASHES = {_identifier(digest, parameters): hash for hash, digest, _ in _HASHES for parameters in (b"", _NULL)}
"""Hash by its DER AlgorithmIdentifier; parameters absent, or NULL, which a reader has to take as well."""

SIGNATURE_HASHES = {_identifier(signature): hash for hash, _, signature in _HASHES}
"""Hash by the DER AlgorithmIdentifier of its ECDSA signature."""
