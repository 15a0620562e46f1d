"""Seal a content for its recipient: AuthEnvelopedData, piece by piece."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smpki.asn1 import der
from smpki.asn1.auth_enveloped import Algorithm, Recipient, build_attributes, frame_auth_enveloped
from smpki.asn1.ber_reader import Octets
from smpki.asn1.oids import AES_CBC_CMAC_PARAM, DATA
from smpki.gateway.agreement import agree
from smpki.gateway.cms_peers import check_recipient, key_identifier
from smpki.gateway.content_cipher import (
    IV_OCTETS,
    MAC_OCTETS,
    NONCE_OCTETS,
    CbcCmacCipher,
    ContentCipher,
    GcmCipher,
)
from smpki.gateway.content_key import wrap
from smpki.gateway.content_suite import AGREEMENT_OIDS, CONTENT_OIDS, WRAP_OIDS, KdfInfo, Mode, Suite
from smpki.hsm.vault import Ephemeral


def _agree_once(peer: ec.EllipticCurvePublicKey) -> Ephemeral:
    key = ec.generate_private_key(peer.curve)
    return Ephemeral(key.public_key(), agree(key, peer))


@dataclass(frozen=True)
class Randomness:
    """Where what is random comes from; in a gateway, ``random`` and ``agree_once`` of its security module (5.5).

    :param random: gives so many random octets
    :param agree_once: ECKA-EG as the sender: a fresh key pair, and its shared secret with a recipient's key
    """

    random: Callable[[int], bytes] = secrets.token_bytes
    agree_once: Callable[[ec.EllipticCurvePublicKey], Ephemeral] = _agree_once


SOFTWARE = Randomness()
"""The computer's own."""


class Seal:
    """One content under way to its recipient, with keys of its own.

    :param length: octets of the content
    :param content_type: what it is, dotted
    :param recipient: has the ENC certificate
    :raises GatewayError: ``cms.certificate.*``
    :ivar length: octets of the AuthEnvelopedData
    """

    def __init__(
        self,
        length: int,
        content_type: str,
        recipient: x509.Certificate,
        suite: Suite,
        kdf_info: KdfInfo,
        randomness: Randomness,
    ) -> None:
        public = check_recipient(recipient)
        key = randomness.random(suite.key_octets)
        ephemeral = randomness.agree_once(public)
        kari = Recipient(
            curve=b"",  # it is that of the recipient's key
            point=ephemeral.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
            agreement=AGREEMENT_OIDS[suite.kdf_hash],
            wrap=Algorithm(WRAP_OIDS[suite.wrap_bits]),
            key_id=key_identifier(recipient),
            encrypted_key=wrap(ephemeral.secret, key, suite, kdf_info),
        )
        self._cipher, parameters, authenticated = _cipher(suite, key, content_type, randomness)
        encrypted = self._cipher.length(length)
        algorithm = Algorithm(CONTENT_OIDS[suite.mode, suite.bits], parameters)
        self._before, self._after = frame_auth_enveloped(
            kari, content_type, algorithm, encrypted, authenticated, MAC_OCTETS
        )
        self.length = len(self._before) + encrypted + len(self._after) + MAC_OCTETS

    def pieces(self, content: Iterable[Octets]) -> Iterator[Octets]:
        """The AuthEnvelopedData around a content, in DER; a piece is used until the next is asked for.

        :param content: as long as was said
        """
        yield self._before
        yield from self._cipher.encrypt(content)
        yield self._after + self._cipher.mac


def _cipher(suite: Suite, key: bytes, content_type: str, randomness: Randomness) -> tuple[ContentCipher, bytes, bytes]:
    """The content's cipher, its encoded parameters, and the authenticated attributes."""
    attributes = b"" if content_type == DATA else build_attributes(content_type)
    if suite.mode is Mode.GCM:
        nonce = randomness.random(NONCE_OCTETS)
        parameters = der.encode(der.SEQUENCE, der.encode(der.OCTET_STRING, nonce), der.encode_integer(MAC_OCTETS))
        return GcmCipher(key, nonce, attributes), parameters, attributes
    if not suite.with_iv:
        return CbcCmacCipher(key, bytes(IV_OCTETS), attributes), b"", attributes
    iv = randomness.random(IV_OCTETS)
    parameters = der.encode(der.SEQUENCE, der.encode(der.OCTET_STRING, iv))
    attributes = build_attributes(content_type, ((AES_CBC_CMAC_PARAM, parameters),))
    return CbcCmacCipher(key, iv, attributes), parameters, attributes
