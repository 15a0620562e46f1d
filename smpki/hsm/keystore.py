"""Where the CA's keys are kept, seen from the CA: a token, or memory where tests and benchmarks want no token."""

import hashlib
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import TokenError
from smpki.hsm.key import KeyUse


class KeyStore(Protocol):
    """A keeper of private keys; a key from it goes wherever pyca takes an ``EllipticCurvePrivateKey``."""

    def generate(self, label: str, curve: ec.EllipticCurve, use: KeyUse) -> ec.EllipticCurvePrivateKey:
        """Make a key under an unused label.

        :raises TokenError: ``token.key.exists`` when the label is in use
        """

    def key(self, *, label: str | None = None, key_id: bytes | None = None) -> ec.EllipticCurvePrivateKey:
        """The key with that label or id.

        :raises TokenError: ``token.key.missing`` when there is none
        """

    def key_id(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        """The id (CKA_ID) under which the store keeps a key of its own."""

    def destroy(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Forget a key for good."""


class SoftwareKeys:
    """Keys in memory: for tests, and for benchmarks that measure the pipeline without a token."""

    def __init__(self) -> None:
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}

    def generate(self, label: str, curve: ec.EllipticCurve, use: KeyUse) -> ec.EllipticCurvePrivateKey:
        """See :meth:`KeyStore.generate`."""
        if label in self._keys:
            raise TokenError("token.key.exists", "the label is in use", where=label, hint="choose another label")
        return self._keys.setdefault(label, ec.generate_private_key(curve))

    def key(self, *, label: str | None = None, key_id: bytes | None = None) -> ec.EllipticCurvePrivateKey:
        """See :meth:`KeyStore.key`."""
        for name, key in self._keys.items():
            if name == label or self.key_id(key) == key_id:
                return key
        raise TokenError("token.key.missing", "there is no such key", where=label or (key_id or b"").hex())

    def key_id(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        """See :meth:`KeyStore.key_id`: SHA-1 over the public point, as RFC 5280 4.2.1.2 method 1 names keys."""
        point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        return hashlib.sha1(point).digest()  # noqa: S324 - a name, not a protection

    def destroy(self, key: ec.EllipticCurvePrivateKey) -> None:
        """See :meth:`KeyStore.destroy`."""
        self._keys = {label: kept for label, kept in self._keys.items() if kept is not key}

    def add(self, label: str, key: ec.EllipticCurvePrivateKey) -> None:
        """Keep a key that was made elsewhere, such as in another process."""
        self._keys[label] = key
