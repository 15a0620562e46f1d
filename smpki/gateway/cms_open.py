"""Open AuthEnvelopedData with the recipient's key."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1 import der
from smpki.asn1.auth_enveloped import AuthEnveloped
from smpki.asn1.ber_reader import PIECE, BerReader, Joined, Octets
from smpki.asn1.compressed import CompressedStream
from smpki.asn1.curves import CURVE_OIDS
from smpki.asn1.oids import COMPRESSED_DATA
from smpki.errors import GatewayError
from smpki.gateway.agreement import agree
from smpki.gateway.cms_peers import check_pair, check_recipient, key_identifier
from smpki.gateway.cms_refusal import unopened
from smpki.gateway.content_algorithms import Algorithms
from smpki.gateway.content_cipher import CbcCmacCipher, ContentCipher, GcmCipher, UnopenedError
from smpki.gateway.content_key import unwrap
from smpki.gateway.content_suite import KdfInfo, Mode


class Opener:
    """Who opens contents: an ENC certificate and its key.

    :param key: in memory or in a token
    :raises GatewayError: ``cms.certificate.*``, ``cms.key``
    """

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._public = check_recipient(certificate)
        check_pair(key, self._public, "recipient")
        self._key_id = key_identifier(certificate)
        self._key = key

    def check(self, envelope: AuthEnveloped) -> None:
        """See that an envelope is for us.

        :raises GatewayError: ``cms.recipient``
        """
        curve = der.encode_object_identifier(CURVE_OIDS[self._public.curve.name])
        octets = 1 + 2 * ((self._public.key_size + 7) // 8)
        recipient = envelope.recipient
        if recipient.key_id != self._key_id:
            message = f"the message is for the key {recipient.key_id.hex()}, not for {self._key_id.hex()}"
        elif recipient.curve not in (b"", curve) or len(recipient.point) != octets:
            message = "the ephemeral key is not on the curve of the recipient's key"
        else:
            return
        raise GatewayError("cms.recipient", message, where="recipient", hint="give the certificate it was made for")

    def open(
        self,
        envelope: AuthEnveloped,
        algorithms: Algorithms,
        ciphertext: Callable[[], Iterator[Octets]],
        target: BinaryIO,
        limit: int,
    ) -> KdfInfo:
        """Write the content.

        :param ciphertext: reads it, each time from its beginning
        :param target: becomes the content; what is in it counts only when this returns
        :param limit: octets that a compressed content may have
        :return: by what SharedInfo the key was found
        :raises GatewayError: ``cms.unopened``, whatever it was that failed
        :raises TokenError: what the token refuses
        """
        try:
            point = ec.EllipticCurvePublicKey.from_encoded_point(self._public.curve, envelope.recipient.point)
            found = unwrap(agree(self._key, point), envelope.recipient.encrypted_key, algorithms.suite)
            # where there is no key, all the work is done all the same, so that the time doesn't tell
            key, kdf_info = found or (bytes(algorithms.suite.key_octets), None)

            def content() -> Iterator[Octets]:
                yield from _cipher(algorithms, key, envelope.authenticated).decrypt(ciphertext(), envelope.mac)
                if kdf_info is None:
                    raise UnopenedError

            if envelope.content_type == COMPRESSED_DATA:
                for _ in content():
                    pass  # nothing is unpacked before the MAC was right
                _inflate(content(), target, limit)
            else:
                for piece in content():
                    target.write(piece)
            target.truncate()
        except (UnopenedError, ValueError, zlib.error):  # of ASN.1, of curve and point, of what was compressed
            raise unopened() from None
        if kdf_info is None:
            raise unopened()
        return kdf_info


def _cipher(algorithms: Algorithms, key: bytes, authenticated: bytes) -> ContentCipher:
    kind = GcmCipher if algorithms.suite.mode is Mode.GCM else CbcCmacCipher
    return kind(key, algorithms.iv, authenticated)


def _inflate(pieces: Iterable[Octets], target: BinaryIO, limit: int) -> None:
    """Unpack CompressedData, and stop when it gets too long."""
    reader = BerReader(Joined(iter(pieces)))
    stream = CompressedStream(reader)
    inflater = zlib.decompressobj()
    left = limit
    for piece in stream.content:
        waiting: Octets = piece
        while True:
            unpacked = inflater.decompress(waiting, PIECE)
            waiting = inflater.unconsumed_tail
            left -= len(unpacked)
            if left < 0:
                raise UnopenedError
            target.write(unpacked)
            if len(unpacked) < PIECE:
                break
        if inflater.unused_data:  # it would be copied again with every piece that follows
            raise UnopenedError
    if not inflater.eof:
        raise UnopenedError
    stream.finish()
    reader.end()
