"""Key pairs, certificates and small records in one place: what a security module is built on."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from smpki.hsm.key import KeyInfo, KeyUse, TokenKey


class ObjectKind(enum.Enum):
    """What a stored object is."""

    CERTIFICATE = "certificate"
    """A DER certificate (CKO_CERTIFICATE)."""
    RECORD = "record"
    """Octets that only their writer understands (CKO_DATA)."""


@dataclass(frozen=True)
class StoredObject:
    """An object beside the keys; it is written and destroyed as a whole, never changed.

    :param label: need not be unique
    :param value: at least one octet
    :param key_id: of a certificate: the CKA_ID of its key, or what else it is to be known by
    """

    kind: ObjectKind
    label: str
    value: bytes
    key_id: bytes = b""


@dataclass(frozen=True)
class Ephemeral:
    """One side of an ECKA-EG key agreement (BSI TR-03111 4.3.2.2); its private key is gone.

    :param public_key: for the other side
    :param secret: the x-coordinate of the shared point, of the field's length
    """

    public_key: ec.EllipticCurvePublicKey
    secret: bytes

    def __repr__(self) -> str:
        return "Ephemeral(***)"


class Claim(Protocol):
    """The right to be the only one who works under a name."""

    def release(self) -> None:
        """Give it back; a second time does nothing."""


class Vault(Protocol):
    """A token, or memory that stands in for one: :class:`smpki.hsm.token_vault.TokenVault`,
    :class:`smpki.hsm.software_vault.SoftwareVault`.

    Threads may share it. What was changed is on disk when the call returns, as far as that is the computer's affair,
    unless the vault was told to leave that to :meth:`settle`.
    All of it raises TokenError: ``token.full``, ``token.closed``, ``token.forked``, or the vendor's.
    """

    @property
    def label(self) -> str:
        """What the vault is called."""

    def claim(self, name: str) -> Claim:
        """Be the only one, in any process, who works under this name.

        :raises TokenError: ``token.claimed``
        """

    def random(self, octets: int) -> bytes:
        """So many random octets of the vault's own generator.

        :raises TokenError: ``token.random``: it gave another number
        """

    def generate(self, label: str, curve: ec.EllipticCurve, use: KeyUse) -> TokenKey:
        """Make a key pair under an unused label.

        :raises TokenError: ``token.key.exists``, ``token.key.curve``
        """

    def keys(self) -> Sequence[KeyInfo]:
        """What private keys there are."""

    def key(self, *, label: str | None = None, key_id: bytes | None = None) -> TokenKey:
        """The key with that label and id.

        :raises TokenError: ``token.key.missing``
        """

    def destroy(self, key: KeyInfo) -> None:
        """Destroy both halves of a key pair.

        :raises TokenError: ``token.key.missing``
        """

    def tls_key(self, key: TokenKey) -> ec.EllipticCurvePrivateKey | None:
        """The key as TLS can use it where it is in memory; ``None`` for a key that TLS has to find in a token."""

    def agree_once(self, peer: ec.EllipticCurvePublicKey) -> Ephemeral:
        """Agree on a secret with a new key pair on the same curve, which is never stored."""

    def objects(self) -> Sequence[StoredObject]:
        """What is stored beside the keys. Half-written objects are left out."""

    def store(self, *stored: StoredObject) -> None:
        """Store objects in this order, each whole or not at all, however the process ends."""

    def drop(self, stored: StoredObject) -> None:
        """Destroy an object, and all that equal it."""

    def settle(self) -> None:
        """Have on disk what was changed up to now."""

    def sweep(self, prefix: str) -> None:
        """Destroy what interrupted operations left of key pairs whose labels begin so."""
