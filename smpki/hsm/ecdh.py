"""ECDH in a token."""

from typing import Any

from pkcs11 import Attribute, KeyType
from pkcs11.mechanisms import KDF, Mechanism


def shared_secret(private: Any, point: bytes) -> bytes:
    """The x-coordinate of a shared point (ECKA, BSI TR-03111 4.3.1), of the field's length.

    :param private: a private key that may derive, as python-pkcs11 gives it
    :param point: the other side's, uncompressed, on the same curve
    """
    # a short-lived object of the session, readable because the key-derivation functions are ours
    secret = private.derive_key(
        KeyType.GENERIC_SECRET,
        len(point) // 2 * 8,
        capabilities=0,
        mechanism=Mechanism.ECDH1_DERIVE,
        mechanism_param=(KDF.NULL, None, point),
        template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
    )
    try:
        value: bytes = secret[Attribute.VALUE]
        return value
    finally:
        secret.destroy()
