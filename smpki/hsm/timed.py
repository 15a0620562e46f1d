"""A key store whose signatures are timed."""

from collections.abc import Callable
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import Buffer

from smpki.hsm.key import KeyUse
from smpki.hsm.keystore import KeyStore


class TimedKeys:
    """A :class:`smpki.hsm.keystore.KeyStore` that tells how long its keys take to sign.

    :param keys: the key store
    :param observe: told of each signature how many seconds it took; also of one that failed
    :param clock: seconds, such as :func:`time.perf_counter`
    """

    def __init__(self, keys: KeyStore, observe: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._keys, self._observe, self._clock = keys, observe, clock

    def generate(self, label: str, curve: ec.EllipticCurve, use: KeyUse) -> ec.EllipticCurvePrivateKey:
        """See :meth:`KeyStore.generate`."""
        return _TimedKey(self._keys.generate(label, curve, use), self._observe, self._clock)

    def key(self, *, label: str | None = None, key_id: bytes | None = None) -> ec.EllipticCurvePrivateKey:
        """See :meth:`KeyStore.key`."""
        return _TimedKey(self._keys.key(label=label, key_id=key_id), self._observe, self._clock)

    def key_id(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        """See :meth:`KeyStore.key_id`."""
        return self._keys.key_id(_inner(key))

    def destroy(self, key: ec.EllipticCurvePrivateKey) -> None:
        """See :meth:`KeyStore.destroy`."""
        self._keys.destroy(_inner(key))


class _TimedKey(ec.EllipticCurvePrivateKey):
    def __init__(
        self, key: ec.EllipticCurvePrivateKey, observe: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self.inner, self._observe, self._clock = key, observe, clock

    @property
    def curve(self) -> ec.EllipticCurve:
        return self.inner.curve

    @property
    def key_size(self) -> int:
        return self.inner.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self.inner.public_key()

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        begun = self._clock()
        try:
            return self.inner.sign(data, signature_algorithm)
        finally:
            self._observe(self._clock() - begun)

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        return self.inner.exchange(algorithm, peer_public_key)

    def private_numbers(self) -> NoReturn:
        raise TypeError("a CA's key stays where it is")

    def private_bytes(self, encoding: object, format: object, encryption_algorithm: object) -> NoReturn:
        raise TypeError("a CA's key stays where it is")

    def __copy__(self) -> "_TimedKey":
        return self

    def __deepcopy__(self, memo: object) -> "_TimedKey":
        return self


def _inner(key: ec.EllipticCurvePrivateKey) -> ec.EllipticCurvePrivateKey:
    return key.inner if isinstance(key, _TimedKey) else key
