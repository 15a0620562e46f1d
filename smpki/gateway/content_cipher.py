"""AES encrypts and authenticates a content, piece by piece: GCM, and CBC with CMAC (TR-03116-3 chapter 8)."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers import AEADEncryptionContext, Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.padding import PKCS7

from smpki.asn1.ber_reader import PIECE, Octets

MAC_OCTETS = 16
NONCE_OCTETS = 12
IV_OCTETS = 16
_BLOCK = 16


class UnopenedError(Exception):
    """A content can't be opened; why is told to nobody."""


class ContentCipher(Protocol):
    """One content's cipher, used once.

    What is yielded is used until the next piece is asked for. :attr:`mac` is there when :meth:`encrypt` has ended.
    """

    mac: bytes

    def length(self, plain: int) -> int:
        """Octets of the ciphertext of so many octets."""

    def encrypt(self, pieces: Iterable[Octets]) -> Iterator[Octets]:
        """The ciphertext of a content."""

    def decrypt(self, pieces: Iterable[Octets], mac: bytes) -> Iterator[Octets]:
        """The content of a ciphertext; it counts only once the last piece was there.

        :param mac: of ciphertext and authenticated attributes
        :raises UnopenedError: in the end, when MAC or padding are wrong
        """


class GcmCipher:
    """AES-GCM with a tag of 16 octets (RFC 5084); see :class:`ContentCipher`.

    :param key: 16, 24 or 32 octets
    :param nonce: 12 octets
    :param authenticated: the authenticated attributes as the MAC covers them
    """

    def __init__(self, key: bytes, nonce: bytes, authenticated: bytes) -> None:
        self._cipher = Cipher(AES(key), GCM(nonce))
        self._authenticated = authenticated
        self.mac = b""

    def length(self, plain: int) -> int:
        """See :meth:`ContentCipher.length`."""
        return plain

    def encrypt(self, pieces: Iterable[Octets]) -> Iterator[Octets]:
        """See :meth:`ContentCipher.encrypt`."""
        encryptor = self._cipher.encryptor()
        encryptor.authenticate_additional_data(self._authenticated)
        yield from _updates(encryptor, pieces)
        encryptor.finalize()
        self.mac = encryptor.tag

    def decrypt(self, pieces: Iterable[Octets], mac: bytes) -> Iterator[Octets]:
        """See :meth:`ContentCipher.decrypt`."""
        decryptor = self._cipher.decryptor()
        decryptor.authenticate_additional_data(self._authenticated)
        yield from _updates(decryptor, pieces)
        try:
            decryptor.finalize_with_tag(mac)
        except (InvalidTag, ValueError):
            raise UnopenedError from None


class CbcCmacCipher:
    """AES-CBC, then AES-CMAC of 16 octets over ciphertext and attributes (5.4); see :class:`ContentCipher`.

    :param keys: for encryption and for the MAC, one after the other: two of 16, 24 or 32 octets
    :param iv: 16 octets
    :param authenticated: the authenticated attributes as the MAC covers them
    """

    def __init__(self, keys: bytes, iv: bytes, authenticated: bytes) -> None:
        half = len(keys) // 2
        self._cipher = Cipher(AES(keys[:half]), CBC(iv))
        self._cmac = CMAC(AES(keys[half:]))
        self._authenticated = authenticated
        self.mac = b""

    def length(self, plain: int) -> int:
        """See :meth:`ContentCipher.length`."""
        return plain + _BLOCK - plain % _BLOCK

    def encrypt(self, pieces: Iterable[Octets]) -> Iterator[Octets]:
        """See :meth:`ContentCipher.encrypt`."""
        for piece in _updates(self._cipher.encryptor(), _padded(pieces)):
            self._cmac.update(bytes(piece))
            yield piece
        self._cmac.update(self._authenticated)
        self.mac = self._cmac.finalize()

    def decrypt(self, pieces: Iterable[Octets], mac: bytes) -> Iterator[Octets]:
        """See :meth:`ContentCipher.decrypt`."""
        decryptor = self._cipher.decryptor()
        last = b""  # a block is held back until the MAC is known to be right, since it may be padding
        for piece in _updates(decryptor, self._measured(pieces)):
            if piece:
                yield last
                yield piece[:-_BLOCK]
                last = bytes(piece[-_BLOCK:])
        self._cmac.update(self._authenticated)
        unpadder = PKCS7(_BLOCK * 8).unpadder()
        try:
            self._cmac.verify(mac)
            decryptor.finalize()
            yield unpadder.update(last) + unpadder.finalize()
        except (InvalidSignature, ValueError):
            raise UnopenedError from None

    def _measured(self, pieces: Iterable[Octets]) -> Iterator[Octets]:
        for piece in pieces:
            self._cmac.update(bytes(piece))
            yield piece


def _updates(context: CipherContext | AEADEncryptionContext, pieces: Iterable[Octets]) -> Iterator[Octets]:
    """What a cipher makes of pieces, in a buffer that is used again and again."""
    buffer = memoryview(bytearray())
    for piece in pieces:
        if len(piece) + _BLOCK > len(buffer):
            buffer = memoryview(bytearray(min(len(piece), PIECE) + _BLOCK))
        for at in range(0, len(piece), PIECE):
            yield buffer[: context.update_into(piece[at : at + PIECE], buffer)]


def _padded(pieces: Iterable[Octets]) -> Iterator[Octets]:
    """Pieces, and behind them padding to whole blocks (RFC 5652 section 6.3)."""
    octets = 0
    for piece in pieces:
        octets += len(piece)
        yield piece
    count = _BLOCK - octets % _BLOCK
    yield bytes((count,)) * count
