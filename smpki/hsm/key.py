"""Private keys that stay in the token and look like pyca's."""

import enum
from dataclasses import dataclass
from typing import NoReturn, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import Buffer

from smpki.errors import TokenError


class KeyUse(enum.Flag):
    """What a key may do in the token. An ENC key derives, all others sign.

    An ENC key that also has to prove its possession by a signature is made with ``SIGN | DERIVE``.
    """

    SIGN = enum.auto()
    DERIVE = enum.auto()


@dataclass(frozen=True)
class KeyInfo:
    """A private key as the token lists it.

    :param label: CKA_LABEL
    :param key_id: CKA_ID
    :param curve: name of the curve, as in :data:`smpki.asn1.curves.CURVES`
    :param use: what the token lets the key do
    """

    label: str
    key_id: bytes
    curve: str
    use: KeyUse


class KeyOwner(Protocol):
    """Who runs operations with private keys: :class:`smpki.hsm.token.Token`."""

    @property
    def label(self) -> str:
        """The token's label."""

    def sign_digest(self, key: KeyInfo, digest: bytes) -> bytes:
        """The ECDSA signature of a digest as r || s, both of the same length (BSI TR-03111 5.2.1)."""

    def derive(self, key: KeyInfo, point: bytes) -> bytes:
        """The ECDH shared secret, an x-coordinate of full length, with an uncompressed point."""


class TokenKey(ec.EllipticCurvePrivateKey):
    """A private key in a token; pyca's builders of certificates, requests and CRLs sign with it.

    :param owner: the token
    :param info: which key it is
    :param public_key: its other half
    """

    def __init__(self, owner: KeyOwner, info: KeyInfo, public_key: ec.EllipticCurvePublicKey) -> None:
        self.info = info
        self._owner = owner
        self._public_key = public_key
        self._octets = (public_key.key_size + 7) // 8

    @property
    def owner(self) -> KeyOwner:
        """The token that the key lives in."""
        return self._owner

    @property
    def curve(self) -> ec.EllipticCurve:
        """The key's curve."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """Bits of the curve's order."""
        return self._public_key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key, in memory."""
        return self._public_key

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """An ECDSA signature (BSI TR-03111 4.2.1), made in the token.

        :param data: what is signed; the digest itself with ``ec.ECDSA(Prehashed(...))``
        :param signature_algorithm: ``ec.ECDSA``; not deterministic, the token chooses the random number
        :returns: DER SEQUENCE of r and s (BSI TR-03111 5.2.2)
        :raises TokenError: ``token.key.use``, ``token.key.algorithm``, ``token.key.digest_length``,
            ``token.key.missing``, ``token.forked``, ``token.closed``, or the vendor's
        """
        if KeyUse.SIGN not in self.info.use:
            raise self._refuse("use", "the key may not sign", "take the holder's SIG or TLS key")
        digest = self._digest(bytes(data), signature_algorithm)
        # ECDSA takes the leftmost bits of a longer hash; not every token does that by itself
        raw = self._owner.sign_digest(self.info, digest[: self._octets])
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    def _digest(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        if not isinstance(signature_algorithm, ec.ECDSA) or signature_algorithm.deterministic_signing:
            raise self._refuse("algorithm", "the token makes ECDSA signatures with random numbers only", "use ec.ECDSA")
        algorithm = signature_algorithm.algorithm
        if not isinstance(algorithm, Prehashed):
            hasher = hashes.Hash(algorithm)
            hasher.update(data)
            return hasher.finalize()
        if len(data) != algorithm.digest_size:
            raise self._refuse(
                "digest_length",
                f"the digest has {len(data)} octets instead of {algorithm.digest_size}",
                "hash the data with the algorithm that is named",
            )
        return data

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """The shared secret of ECKA (BSI TR-03111 4.3.1), computed in the token.

        :returns: the x-coordinate, padded to the field's length
        :raises TokenError: ``token.key.use``, ``token.key.curve``, ``token.key.missing``, ``token.forked``,
            ``token.closed``, or the vendor's
        """
        if KeyUse.DERIVE not in self.info.use:
            raise self._refuse("use", "the key may not agree on secrets", "take the holder's ENC key")
        if peer_public_key.curve.name != self.curve.name:
            raise self._refuse(
                "curve",
                f"the other side's key is on {peer_public_key.curve.name}, this one on {self.curve.name}",
                "both keys have to be on the same curve",
            )
        point = peer_public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return self._owner.derive(self.info, point)

    def private_numbers(self) -> NoReturn:
        """Refused, the key does not leave the token."""
        raise self._stays()

    def private_bytes(self, encoding: object, format: object, encryption_algorithm: object) -> NoReturn:
        """Refused, the key does not leave the token."""
        raise self._stays()

    def __copy__(self) -> "TokenKey":
        return self

    def __deepcopy__(self, memo: object) -> "TokenKey":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise self._refuse("not_picklable", "a token key does not leave its process", "open the token in the other one")

    def __repr__(self) -> str:
        return f"<TokenKey {self.info.label!r} on {self.info.curve} in token {self._owner.label!r}>"

    def _stays(self) -> TokenError:
        return self._refuse("not_extractable", "the key does not leave the token", "sign or agree with it in place")

    def _refuse(self, rule: str, message: str, hint: str) -> TokenError:
        return TokenError(f"token.key.{rule}", message, where=f"{self._owner.label}: {self.info.label}", hint=hint)
