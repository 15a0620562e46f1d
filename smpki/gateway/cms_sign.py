"""Sign what was sealed: SignedData around AuthEnvelopedData, written in one go."""

from collections.abc import Iterable
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.asn1 import der
from smpki.asn1.ber_reader import PIECE, Octets
from smpki.asn1.content_info import build_content_info
from smpki.asn1.oids import AUTH_ENVELOPED_DATA, DATA, SIGNED_DATA
from smpki.asn1.signed_data import digest_of, frame_signed_data
from smpki.asn1.signer_info import build_signer_info, signed_attributes
from smpki.gateway.cms_peers import check_pair, check_signer, key_identifier
from smpki.gateway.cms_seal import Seal
from smpki.gateway.content_suite import HASHES, HashName


class Sender:
    """Who signs messages, and how.

    :param certificate: for signatures (SIG)
    :param key: its private key, in memory or in a token
    :param enclose: the certificate
    :raises GatewayError: ``cms.certificate.*``, ``cms.key``
    """

    def __init__(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, enclose: bool, hash: HashName
    ) -> None:
        public = check_signer(certificate)
        check_pair(key, public, "sender")
        self.hash = HASHES[hash]
        self._key = key
        self._key_id = key_identifier(certificate)
        self._enclosed = [certificate.public_bytes(Encoding.DER)] if enclose else []
        self._longest_signature = 2 * ((public.key_size + 7) // 8 + 3) + 3  # two integers with a sign octet each

    def sign_detached(self, content: bytes) -> bytes:
        """A message with a signature over a content that stays outside."""
        attributes = signed_attributes(DATA, digest_of(content, self.hash))
        signed, _ = frame_signed_data(DATA, None, self._enclosed, self._sign(attributes), self.hash)
        return build_content_info(SIGNED_DATA, signed)

    def frame(self, length: int, digest: bytes) -> tuple[bytes, bytes]:
        """Sign AuthEnvelopedData: what stands before and behind it in a message.

        :param length: of the AuthEnvelopedData, in octets
        :param digest: its hash
        """
        return self._frame(length, self._sign(signed_attributes(AUTH_ENVELOPED_DATA, digest)))

    def longest_frame(self, length: int) -> tuple[int, int]:
        """Octets that :meth:`frame` gives at most, before and behind: signatures differ in length by an octet or two.

        :param length: of the AuthEnvelopedData, in octets
        """
        attributes = signed_attributes(AUTH_ENVELOPED_DATA, bytes(self.hash.digest_size))
        signer = build_signer_info(attributes, bytes(self._longest_signature), self._key_id, self.hash)
        before, after = self._frame(length, signer)
        return len(before), len(after)

    def _sign(self, attributes: bytes) -> bytes:
        signature = self._key.sign(attributes, ec.ECDSA(self.hash))
        return build_signer_info(attributes, signature, self._key_id, self.hash)

    def _frame(self, length: int, signer: bytes) -> tuple[bytes, bytes]:
        before, after = frame_signed_data(AUTH_ENVELOPED_DATA, length, self._enclosed, signer, self.hash)
        signed = len(before) + length + len(after)
        info = der.encode_object_identifier(SIGNED_DATA) + der.header(der.context(0), signed)
        return der.header(der.SEQUENCE, len(info) + signed) + info + before, after


class MessageWriter:
    """A message that is about to be written, once.

    :param content: goes into the seal, in pieces
    :ivar longest: octets that the message has at most
    """

    def __init__(self, sender: Sender, seal: Seal, content: Iterable[Octets]) -> None:
        self._sender, self._seal, self._content = sender, seal, content
        self._room, behind = sender.longest_frame(seal.length)
        self.longest = self._room + seal.length + behind

    def write(self, target: BinaryIO) -> None:
        """Write the message.

        The signature stands last, and its length tells on the lengths in front, so these are written in the end.

        :param target: seekable and readable; becomes the message and nothing else
        """
        hasher = hashes.Hash(self._sender.hash)
        target.seek(self._room)
        for piece in self._seal.pieces(self._content):
            hasher.update(piece)
            target.write(piece)
        before, after = self._sender.frame(self._seal.length, hasher.finalize())
        target.write(after)
        target.truncate()
        if len(before) < self._room:
            _move_back(target, self._room, self._room - len(before))
        target.seek(0)
        target.write(before)


def _move_back(target: BinaryIO, at: int, by: int) -> None:
    """Move all from ``at`` on towards the beginning of the file, by so many octets."""
    while True:
        target.seek(at)
        piece = target.read(PIECE)
        target.seek(at - by)
        if not piece:
            break
        target.write(piece)
        at += len(piece)
    target.truncate()
