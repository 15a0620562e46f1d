"""Where a participant makes and keeps its private keys: in files or in a token; one argument stands for either."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import SmpkiError, TokenError
from smpki.hsm.key import KeyInfo, KeyUse
from smpki.participant.key_files import read_key, write_keys
from smpki.participant.password import Password
from smpki.requests.keys import KeyTriple


class KeyPlace(Protocol):
    """Where new keys go."""

    def make(self, curve: ec.EllipticCurve) -> KeyTriple:
        """Three new keys.

        :raises SmpkiError: the place refuses; no key is left behind
        """

    def keep(self, keys: KeyTriple) -> tuple[str, ...]:
        """Keep the keys for good.

        :return: what to call them: files or labels
        :raises SmpkiError: the place refuses
        """

    def drop(self, keys: KeyTriple) -> None:
        """Forget keys that nobody has seen."""


class KeySource(Protocol):
    """Where the keys of certificates are found."""

    def key_of(self, certificate: x509.Certificate, file: Path) -> ec.EllipticCurvePrivateKey:
        """The private key of a certificate.

        :param file: the certificate's
        :raises SmpkiError: ``keys.missing``, or whatever is wrong with the key or its place
        """


class KeyToken(Protocol):
    """A token, as :class:`smpki.hsm.token.Token` is one."""

    def generate(self, label: str, curve: ec.EllipticCurve, use: KeyUse) -> ec.EllipticCurvePrivateKey:
        """Make a key under an unused label."""

    def keys(self) -> Sequence[KeyInfo]:
        """What keys there are."""

    def key(self, *, label: str | None = None, key_id: bytes | None = None) -> ec.EllipticCurvePrivateKey:
        """The key with that label and id."""

    def destroy(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Forget a key for good."""


@dataclass(frozen=True)
class FilePlace:
    """New keys in files of a folder.

    :param password: encrypts them; ``None``: they are not encrypted
    """

    folder: Path
    password: Password | None = None

    def make(self, curve: ec.EllipticCurve) -> KeyTriple:
        """See :meth:`KeyPlace.make`; in memory until they are kept."""
        return make_keys(curve)

    def keep(self, keys: KeyTriple) -> tuple[str, ...]:
        """See :meth:`KeyPlace.keep`."""
        return tuple(str(file) for file in write_keys(self.folder, keys, self.password))

    def drop(self, keys: KeyTriple) -> None:
        """See :meth:`KeyPlace.drop`."""


@dataclass(frozen=True)
class TokenPlace:
    """New keys in a token.

    :param label: begins their labels, which end in ``tls``, ``sig`` and ``enc``
    """

    token: KeyToken
    label: str

    def make(self, curve: ec.EllipticCurve) -> KeyTriple:
        """See :meth:`KeyPlace.make`."""
        # the ENC key signs the proof of its possession, and nothing else ever
        uses = (KeyUse.SIGN, KeyUse.SIGN, KeyUse.SIGN | KeyUse.DERIVE)
        made: list[ec.EllipticCurvePrivateKey] = []
        try:
            for label, use in zip(self._labels, uses, strict=True):
                made.append(self.token.generate(label, curve, use))
        except SmpkiError:
            self._destroy(made)
            raise
        return KeyTriple(*made)

    def keep(self, keys: KeyTriple) -> tuple[str, ...]:
        """See :meth:`KeyPlace.keep`; they are in the token already."""
        return self._labels

    def drop(self, keys: KeyTriple) -> None:
        """See :meth:`KeyPlace.drop`."""
        self._destroy((keys.tls, keys.sig, keys.enc))

    @property
    def _labels(self) -> tuple[str, ...]:
        return tuple(f"{self.label} {purpose}" for purpose in ("tls", "sig", "enc"))

    def _destroy(self, keys: Sequence[ec.EllipticCurvePrivateKey]) -> None:
        for key in keys:
            with suppress(TokenError):  # what made us give up counts, and is on its way
                self.token.destroy(key)


@dataclass(frozen=True)
class FileSource:
    """Keys in files.

    :param password: asked for when a file is encrypted
    :param file: the key's; ``None``: beside the certificate's file, ``sig.key`` for ``sig.pem``
    """

    password: Callable[[], Password | None]
    file: Path | None = None

    def key_of(self, certificate: x509.Certificate, file: Path) -> ec.EllipticCurvePrivateKey:
        """See :meth:`KeySource.key_of`."""
        return read_key(self.file or file.with_suffix(".key"), self.password)


@dataclass(frozen=True)
class TokenSource:
    """Keys in a token; a certificate's is the one whose public half the certificate has."""

    token: KeyToken

    def key_of(self, certificate: x509.Certificate, file: Path) -> ec.EllipticCurvePrivateKey:
        """See :meth:`KeySource.key_of`."""
        for info in tuple(self.token.keys()):
            try:
                key = self.token.key(label=info.label, key_id=info.key_id)
            except TokenError as error:
                if error.code != "token.key.public_half":  # somebody else's key without one
                    raise
            else:
                if key.public_key() == certificate.public_key():
                    return key
        hint = "`smpki hsm info` shows what a token holds"
        raise SmpkiError("keys.missing", "the token has no key of this certificate", where=str(file), hint=hint)


def make_keys(curve: ec.EllipticCurve) -> KeyTriple:
    """Three new keys in memory."""
    return KeyTriple(*(ec.generate_private_key(curve) for _ in range(3)))
