"""A vault in memory: stands in for a token in tests, and where the protection of keys is not the point."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from smpki.asn1.curves import CURVES
from smpki.asn1.plain_signature import to_plain
from smpki.errors import TokenError
from smpki.hsm.claim import claimed
from smpki.hsm.key import KeyInfo, KeyUse, TokenKey
from smpki.hsm.vault import Ephemeral, StoredObject

_HASHES = {hash.digest_size: hash for hash in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())}
"""A hash by the length of its digest; which one made a digest doesn't matter to ECDSA."""


class SoftwareVault:
    """See :class:`smpki.hsm.vault.Vault`. Its content lives as long as the object.

    :param label: what the vault is called
    :param capacity: how many keys and objects it takes; ``None`` for any number
    """

    def __init__(self, label: str = "software", *, capacity: int | None = None) -> None:
        self.label = label
        self.capacity = capacity
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._claimed: set[str] = set()
        self._keys: dict[KeyInfo, ec.EllipticCurvePrivateKey] = {}
        self._objects: list[StoredObject] = []

    def claim(self, name: str) -> "SoftwareClaim":
        """See :meth:`Vault.claim`."""
        with self._alone():
            if name in self._claimed:
                raise claimed(f"{self.label}: {name}")
            self._claimed.add(name)
        return SoftwareClaim(self._claimed, name)

    def random(self, octets: int) -> bytes:
        """See :meth:`Vault.random`."""
        return os.urandom(octets)

    def generate(self, label: str, curve: ec.EllipticCurve, use: KeyUse) -> TokenKey:
        """See :meth:`Vault.generate`."""
        return self.add(label, ec.generate_private_key(curve), use)

    def add(self, label: str, key: ec.EllipticCurvePrivateKey, use: KeyUse) -> TokenKey:
        """Keep a key that was made elsewhere.

        :raises TokenError: as :meth:`generate`
        """
        info = KeyInfo(label, os.urandom(16), key.curve.name, use)
        with self._alone():
            if key.curve.name not in CURVES:
                raise self._refused("key.curve", f"no keys are made on {key.curve.name}", "choose another curve")
            if any(info.label == label for info in self._keys):
                raise self._refused("key.exists", f"there is a key with the label {label!r}", "choose another label")
            self._make_room()
            self._keys[info] = key
        return TokenKey(self, info, key.public_key())

    def keys(self) -> tuple[KeyInfo, ...]:
        """See :meth:`Vault.keys`."""
        with self._alone():
            return tuple(self._keys)

    def key(self, *, label: str | None = None, key_id: bytes | None = None) -> TokenKey:
        """See :meth:`Vault.key`."""
        for info in self.keys():
            if label in (None, info.label) and key_id in (None, info.key_id):
                return TokenKey(self, info, self._private(info).public_key())
        raise self._missing(label or (key_id or b"").hex())

    def destroy(self, key: KeyInfo) -> None:
        """See :meth:`Vault.destroy`."""
        with self._alone():
            if self._keys.pop(key, None) is None:
                raise self._missing(key.label)

    def tls_key(self, key: TokenKey) -> ec.EllipticCurvePrivateKey:
        """See :meth:`Vault.tls_key`: the key itself."""
        return self._private(key.info)

    def agree_once(self, peer: ec.EllipticCurvePublicKey) -> Ephemeral:
        """See :meth:`Vault.agree_once`."""
        private = ec.generate_private_key(peer.curve)
        return Ephemeral(private.public_key(), private.exchange(ec.ECDH(), peer))

    def objects(self) -> tuple[StoredObject, ...]:
        """See :meth:`Vault.objects`."""
        with self._alone():
            return tuple(self._objects)

    def store(self, *stored: StoredObject) -> None:
        """See :meth:`Vault.store`; all of them or none."""
        with self._alone():
            self._make_room(len(stored))
            self._objects += stored

    def drop(self, stored: StoredObject) -> None:
        """See :meth:`Vault.drop`."""
        with self._alone():
            self._objects = [other for other in self._objects if other != stored]

    def settle(self) -> None:
        """See :meth:`Vault.settle`: nothing is ever left to it."""

    def sweep(self, prefix: str) -> None:
        """See :meth:`Vault.sweep`: nothing is ever left."""

    def sign_digest(self, key: KeyInfo, digest: bytes) -> bytes:
        """For :class:`TokenKey`: the signature of a digest, as r || s."""
        private = self._private(key)
        return to_plain(private.sign(digest, ec.ECDSA(Prehashed(_HASHES[len(digest)]))), private.curve)

    def derive(self, key: KeyInfo, point: bytes) -> bytes:
        """For :class:`TokenKey`: the ECDH shared secret with an uncompressed point."""
        private = self._private(key)
        return private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(private.curve, point))

    def _private(self, info: KeyInfo) -> ec.EllipticCurvePrivateKey:
        with self._alone():
            try:
                return self._keys[info]
            except KeyError:
                raise self._missing(info.label) from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise self._refused("forked", "the vault was made in the parent process", "make one in each process")
        with self._lock:
            yield

    def _make_room(self, more: int = 1) -> None:
        if self.capacity is not None and len(self._keys) + len(self._objects) + more > self.capacity:
            raise self._refused("full", "the vault is full", "destroy keys that are no longer used")

    def _missing(self, label: str) -> TokenError:
        return self._refused("key.missing", f"there is no private key {label!r}", "look what keys there are")

    def _refused(self, rule: str, message: str, hint: str) -> TokenError:
        return TokenError(f"token.{rule}", message, where=self.label, hint=hint)


class SoftwareClaim:
    """A name in a vault's set of those that are claimed."""

    def __init__(self, claimed: set[str], name: str) -> None:
        self._claimed = claimed
        self._name = name
        self._held = True

    def release(self) -> None:
        """See :meth:`smpki.hsm.vault.Claim.release`."""
        if self._held:
            self._held = False
            self._claimed.discard(self._name)
