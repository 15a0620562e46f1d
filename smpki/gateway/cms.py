"""Content protection (Inhaltsdatensicherung): encrypted for the recipient, then signed by the sender.

A message is SignedData(AuthEnvelopedData([CompressedData](content))) in a ContentInfo, as the Detailspezifikationen zur
TR-03109-1 v2.0 have it in chapter 5, with the algorithms of TR-03116-3 chapter 8. What leaves is DER; what comes may be
BER with indefinite lengths. The functions that take octets hold a message in memory; those that take files need the
same small memory for messages of any size.
"""

import io
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.ber import unwrap
from smpki.asn1.ber_reader import Whole, in_file, in_memory, pieces
from smpki.asn1.compressed import frame_compressed
from smpki.asn1.content_info import read_content_info
from smpki.asn1.oids import COMPRESSED_DATA, DATA, SIGNED_DATA
from smpki.asn1.signed_data import SignedDataError, digest_of, read_detached
from smpki.gateway.cms_message import Message, check_profile, read_message, verify_sender
from smpki.gateway.cms_open import Opener
from smpki.gateway.cms_peers import check_signer
from smpki.gateway.cms_refusal import reading
from smpki.gateway.cms_seal import SOFTWARE, Randomness, Seal
from smpki.gateway.cms_sign import MessageWriter, Sender
from smpki.gateway.content_suite import GCM, HashName, KdfInfo, Suite, hash_name

LIMIT = 64 * 1024 * 1024
"""Octets that a compressed content may have, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Protection:
    """How a content is protected.

    :param suite: how it is encrypted
    :param compress: before that
    :param kdf_info: SharedInfo of the key derivation; a recipient who can't open what RFC 5753 says may want none
    :param enclose: the signer's certificate
    :param signature_hash: of the signature
    """

    suite: Suite = GCM
    compress: bool = False
    kdf_info: KdfInfo = KdfInfo.RFC5753
    enclose: bool = True
    signature_hash: HashName = "sha256"


@dataclass(frozen=True, slots=True)
class Opened:
    """A content that was opened, and how it had been protected.

    :param protection: ``enclose``: whether the signer's certificate was there
    """

    content: bytes = field(repr=False)
    protection: Protection


def protect(
    content: bytes,
    *,
    sender_certificate: x509.Certificate,
    sender_key: ec.EllipticCurvePrivateKey,
    recipient_certificate: x509.Certificate,
    protection: Protection = Protection(),
    randomness: Randomness = SOFTWARE,
) -> bytes:
    """Encrypt a content for its recipient, and sign that as the sender.

    :param sender_certificate: for signatures (SIG)
    :param sender_key: its private key, in memory or in a token
    :param recipient_certificate: for key agreement (ENC)
    :param randomness: a gateway's is its security module
    :return: the DER message
    :raises GatewayError: ``cms.certificate.*``, ``cms.key``
    :raises TokenError: what the token refuses
    """
    sender = Sender(sender_certificate, sender_key, protection.enclose, protection.signature_hash)
    scratch = io.BytesIO() if protection.compress else None
    writer = _writer(in_memory(content), sender, recipient_certificate, protection, randomness, scratch)
    target = io.BytesIO(bytes(writer.longest))  # large enough from the beginning: to grow is to copy
    writer.write(target)
    return target.getvalue()


def protect_stream(
    source: BinaryIO,
    target: BinaryIO,
    *,
    sender_certificate: x509.Certificate,
    sender_key: ec.EllipticCurvePrivateKey,
    recipient_certificate: x509.Certificate,
    protection: Protection = Protection(),
    randomness: Randomness = SOFTWARE,
    scratch: Callable[[], BinaryIO] = io.BytesIO,
) -> None:
    """As :func:`protect`, from file to file.

    :param source: the content, all of the file; seekable
    :param target: becomes the message; seekable and readable. What is in it counts only when this returns
    :param scratch: opens a file for the compressed content, whose length has to be known first; it is closed here
    """
    sender = Sender(sender_certificate, sender_key, protection.enclose, protection.signature_hash)
    with scratch() if protection.compress else nullcontext() as compressed:
        _writer(in_file(source), sender, recipient_certificate, protection, randomness, compressed).write(target)


def open(
    message: bytes,
    *,
    recipient_certificate: x509.Certificate,
    recipient_key: ec.EllipticCurvePrivateKey,
    sender_certificate: x509.Certificate,
    limit: int = LIMIT,
) -> Opened:
    """Verify who signed a message, and decrypt its content.

    The order: structure, signature and its certificate, key agreement, MAC, padding, compression. From the key
    agreement on one refusal stands for all.

    :param recipient_certificate: ours, for key agreement (ENC)
    :param recipient_key: its private key, in memory or in a token
    :param sender_certificate: the one configured for this sender (SIG); a message signed by another is refused
    :param limit: octets that a compressed content may have
    :raises GatewayError: ``cms.encoding.*``, ``cms.envelope.*``, ``cms.signature.*``, ``cms.sender``,
        ``cms.recipient``, ``cms.certificate.*``, ``cms.key``, ``cms.unopened``
    :raises TokenError: what the token refuses
    """
    opener = Opener(recipient_certificate, recipient_key)
    read = _read(in_memory(message), opener, sender_certificate)
    target = io.BytesIO(bytes(0 if read.compressed else read.octets))  # large enough: to grow is to copy
    kdf_info = opener.open(read.envelope, read.algorithms, read.ciphertext, target, limit)
    return Opened(target.getvalue(), _protection(read, kdf_info))


def open_stream(
    source: BinaryIO,
    target: BinaryIO,
    *,
    recipient_certificate: x509.Certificate,
    recipient_key: ec.EllipticCurvePrivateKey,
    sender_certificate: x509.Certificate,
    limit: int = LIMIT,
) -> Protection:
    """As :func:`open`, from file to file.

    :param source: the message, all of the file; seekable, read several times
    :param target: becomes the content; seekable, and nobody else's to read: it counts only when this returns
    :return: how the content had been protected
    """
    opener = Opener(recipient_certificate, recipient_key)
    read = _read(in_file(source), opener, sender_certificate)
    return _protection(read, opener.open(read.envelope, read.algorithms, read.ciphertext, target, limit))


def sign_detached(
    content: bytes,
    *,
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    enclose: bool = True,
    signature_hash: HashName = "sha256",
) -> bytes:
    """Sign a content that stays outside (CMS_ECDSA_SHA256_Detached, table 5.2), such as what a HAN interface exports.

    :param certificate: for signatures (SIG)
    :param key: its private key, in memory or in a token
    :param enclose: the certificate
    :return: a DER message without the content
    :raises GatewayError: ``cms.certificate.*``, ``cms.key``
    :raises TokenError: what the token refuses
    """
    return Sender(certificate, key, enclose, signature_hash).sign_detached(content)


def verify_detached(content: bytes, signature: bytes, certificate: x509.Certificate) -> None:
    """Verify a signature of :func:`sign_detached`.

    :param signature: the message
    :param certificate: the one configured for this sender (SIG)
    :raises GatewayError: ``cms.encoding.*``, ``cms.signature.*``, ``cms.sender``, ``cms.certificate.*``
    """
    check_signer(certificate)
    with reading():
        kind, encoded = read_content_info(unwrap(signature))
        if kind != SIGNED_DATA:
            raise SignedDataError("content_type", f"the message has type {kind} where SignedData is due")
        signed = read_detached(encoded)
        if signed.content_type != DATA:
            raise SignedDataError("content_type", f"what is signed has type {signed.content_type}, not id-data")
        check_profile(signed)
    verify_sender(signed, digest_of(content, signed.signer.hash), certificate)


def _writer(
    content: Whole,
    sender: Sender,
    recipient: x509.Certificate,
    protection: Protection,
    randomness: Randomness,
    scratch: BinaryIO | None,
) -> MessageWriter:
    """What writes a content that is compressed where there is a scratch file for it."""
    content_type, before = DATA, b""
    if scratch is not None:
        content = _compressed(content, scratch)
        content_type, before = COMPRESSED_DATA, frame_compressed(content.size)
    length = len(before) + content.size
    seal = Seal(length, content_type, recipient, protection.suite, protection.kdf_info, randomness)
    return MessageWriter(sender, seal, chain((before,), pieces(content)))


def _compressed(content: Whole, target: BinaryIO) -> Whole:
    compressor = zlib.compressobj()
    for piece in pieces(content):
        target.write(compressor.compress(piece))
    target.write(compressor.flush())
    return in_file(target)


def _read(source: Whole, opener: Opener, sender: x509.Certificate) -> Message:
    """A message that is by the sender and for the opener."""
    check_signer(sender)
    message = read_message(source)
    verify_sender(message.signed, message.digest, sender)
    opener.check(message.envelope)
    return message


def _protection(message: Message, kdf_info: KdfInfo) -> Protection:
    return Protection(
        suite=message.algorithms.suite,
        compress=message.compressed,
        kdf_info=kdf_info,
        enclose=bool(message.signed.certificates),
        signature_hash=hash_name(message.signed.signer.hash),
    )
