"""A content's key under the shared secret of ECKA-EG: X9.63 key derivation (TR-03111 4.3.3) and AES key wrap."""

from collections.abc import Iterable

from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from smpki.asn1 import der
from smpki.gateway.content_suite import HASHES, WRAP_OIDS, KdfInfo, Suite


def wrap(secret: bytes, content_key: bytes, suite: Suite, kdf_info: KdfInfo) -> bytes:
    """Encrypt the content's key with a key derived from the shared secret."""
    return wrap_key(_derive(secret, suite, kdf_info), content_key)


def unwrap(
    secret: bytes, encrypted_key: bytes, suite: Suite, kdf_infos: Iterable[KdfInfo] = KdfInfo
) -> tuple[bytes, KdfInfo] | None:
    """The content's key, and the SharedInfo by which it was found.

    :param kdf_infos: tried in this order; the key wrap's own check value tells which is right
    :return: ``None`` when there is no such key
    """
    for kdf_info in kdf_infos:
        key = unwrap_key(_derive(secret, suite, kdf_info), encrypted_key)
        if key is not None:
            return key, kdf_info
    return None


def wrap_key(wrapping_key: bytes, key: bytes) -> bytes:
    """AES key wrap (RFC 3394 2.2.1)."""
    return aes_key_wrap(wrapping_key, key)


def unwrap_key(wrapping_key: bytes, encrypted_key: bytes) -> bytes | None:
    """AES key unwrap (RFC 3394 2.2.2); ``None`` when the check value is wrong."""
    try:
        return aes_key_unwrap(wrapping_key, encrypted_key)
    except InvalidUnwrap:
        return None


def _derive(secret: bytes, suite: Suite, kdf_info: KdfInfo) -> bytes:
    shared_info = _shared_info(suite.wrap_bits) if kdf_info is KdfInfo.RFC5753 else None
    return X963KDF(HASHES[suite.kdf_hash], suite.wrap_bits // 8, shared_info).derive(secret)


def _shared_info(wrap_bits: int) -> bytes:
    """ECC-CMS-SharedInfo without entityUInfo (RFC 5753 7.2): what the key is for, and its length in bits."""
    algorithm = der.encode(der.SEQUENCE, der.encode_object_identifier(WRAP_OIDS[wrap_bits]))
    length = der.encode(der.context(2), der.encode(der.OCTET_STRING, wrap_bits.to_bytes(4)))
    return der.encode(der.SEQUENCE, algorithm, length)
