"""Protection of what a meter and the gateway send each other without TLS: encrypted, then authenticated.

BSI TR-03116-3 7.3 and table 19. What travels in clear, at least the counter, goes under the MAC too. The receiver looks
at the MAC first; until it is right, nothing is decrypted and no padding looked at. Whatever fails, the refusal is the
same.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.constant_time import bytes_eq

from smpki.errors import GatewayError
from smpki.gateway.lmn_keys import MessageKeys, aes, cmac, pad

CMAC_LENGTHS: Final = frozenset({8, 16})
CCM_LENGTHS: Final = frozenset({8, 12, 16})
"""The tag lengths of BSI TR-03116-3 table 19, in octets."""

_ZERO_IV = bytes(16)  # each message has keys of its own (TR-03116-3 7.3, note 2)
_BLOCK = 16


def seal_cbc_cmac(keys: MessageKeys, clear: bytes, plaintext: bytes, *, mac_length: int = 16) -> tuple[bytes, bytes]:
    """Pad, encrypt with AES-128-CBC and IV 0, authenticate with AES-CMAC.

    :param clear: what goes in clear in front of the ciphertext and is authenticated: holds the counter. The MAC can't
        tell where it ends, so its length has to be fixed, or told in itself
    :param mac_length: 16 octets, or the first 8
    :return: ciphertext and MAC
    :raises GatewayError: ``lmn.tag_length``
    """
    ciphertext = encrypt_cbc(keys.encryption, pad(plaintext), _ZERO_IV)
    return ciphertext, make_mac(keys.authentication, clear + ciphertext, mac_length)


def open_cbc_cmac(keys: MessageKeys, clear: bytes, ciphertext: bytes, mac: bytes, *, mac_length: int = 16) -> bytes:
    """Check the MAC, decrypt, take the padding off.

    :param mac_length: of the MAC as agreed; another one is refused, so that nobody can shorten it
    :raises GatewayError: ``lmn.rejected``; ``lmn.tag_length`` for a length that is none of the guideline's
    """
    check_mac(keys.authentication, clear + ciphertext, mac, mac_length)
    return _unpad(decrypt_cbc(keys.encryption, ciphertext, _ZERO_IV))


def seal_ccm(key: bytes, nonce: bytes, clear: bytes, plaintext: bytes, *, tag_length: int = 16) -> tuple[bytes, bytes]:
    """Encrypt and authenticate with AES-128-CCM (NIST SP 800-38C).

    Table 19 says that the derived MAC key is used. EN 13757-7 takes the encryption key in wireless M-Bus.

    :param nonce: 7 to 13 octets, once for a key
    :param tag_length: 16, 12 or 8 octets
    :return: ciphertext and tag
    :raises GatewayError: ``lmn.tag_length``, ``lmn.nonce_length``, ``lmn.too_long`` (for a nonce of 13: 64 kB)
    """
    sealed = _ccm(key, nonce, tag_length, len(plaintext)).encrypt(nonce, plaintext, clear)
    return sealed[:-tag_length], sealed[-tag_length:]


def open_ccm(key: bytes, nonce: bytes, clear: bytes, ciphertext: bytes, tag: bytes, *, tag_length: int = 16) -> bytes:
    """Check the tag and decrypt.

    :param tag_length: of the tag as agreed; another one is refused
    :raises GatewayError: ``lmn.rejected``; ``lmn.tag_length``, ``lmn.nonce_length``, ``lmn.too_long``
    """
    cipher = _ccm(key, nonce, tag_length, len(ciphertext))
    if len(tag) != tag_length:
        raise rejected()
    try:
        return cipher.decrypt(nonce, ciphertext + tag, clear)
    except InvalidTag:
        raise rejected() from None


def make_mac(key: bytes, data: bytes, length: int) -> bytes:
    """AES-CMAC, whole or its first 8 octets.

    :raises GatewayError: ``lmn.tag_length``
    """
    require_length(length, CMAC_LENGTHS)
    return cmac(key, data)[:length]


def check_mac(key: bytes, data: bytes, mac: bytes, length: int) -> None:
    """Compare a MAC in constant time.

    :param length: as agreed
    :raises GatewayError: ``lmn.rejected``, ``lmn.tag_length``
    """
    if not bytes_eq(make_mac(key, data, length), mac):
        raise rejected()


def encrypt_cbc(key: bytes, blocks: bytes, iv: bytes) -> bytes:
    """AES-128-CBC over whole blocks."""
    encryptor = Cipher(aes(key), CBC(iv)).encryptor()
    return encryptor.update(blocks) + encryptor.finalize()


def decrypt_cbc(key: bytes, blocks: bytes, iv: bytes) -> bytes:
    """AES-128-CBC over whole blocks; proves nothing about who made them.

    :raises GatewayError: ``lmn.rejected``: these are no whole blocks
    """
    if len(blocks) % _BLOCK:
        raise rejected()
    decryptor = Cipher(aes(key), CBC(iv)).decryptor()
    return decryptor.update(blocks) + decryptor.finalize()


def require_length(length: int, allowed: frozenset[int]) -> None:
    """Refuse a tag length that is not one of these.

    :raises GatewayError: ``lmn.tag_length``
    """
    if length not in allowed:
        hint = f"take one of {', '.join(map(str, sorted(allowed)))} (BSI TR-03116-3 table 19)"
        raise GatewayError("lmn.tag_length", f"a tag of {length} octets is not allowed", hint=hint)


def rejected() -> GatewayError:
    """The one refusal of what is not authentic, or does not hold what it should although it is."""
    hint = "a wrong key, a disturbed transmission, or somebody else's message; compare the key in the meter's profile"
    return GatewayError("lmn.rejected", "the message is not authentic", hint=hint)


def _unpad(padded: bytes) -> bytes:
    if not padded or not 1 <= padded[-1] <= _BLOCK or pad(padded[: -padded[-1]]) != padded:
        raise rejected()
    return padded[: -padded[-1]]


def _ccm(key: bytes, nonce: bytes, tag_length: int, length: int) -> AESCCM:
    require_length(tag_length, CCM_LENGTHS)
    if not 7 <= len(nonce) <= 13:
        raise GatewayError("lmn.nonce_length", f"a nonce of CCM has 7 to 13 octets, not {len(nonce)}", hint="take 13")
    if length.bit_length() > 8 * (15 - len(nonce)):
        hint = "send it in several messages"
        raise GatewayError("lmn.too_long", f"{length} octets are too many for CCM with this nonce", hint=hint)
    return AESCCM(aes(key).key, tag_length)
