"""A protected message as it comes: SignedData around AuthEnvelopedData, read forwards, nothing of it held."""

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.asn1 import der
from smpki.asn1.auth_enveloped import AuthEnveloped, AuthEnvelopedStream
from smpki.asn1.ber_reader import BerReader, Octets, Whole
from smpki.asn1.oids import AUTH_ENVELOPED_DATA, COMPRESSED_DATA, CONTENT_TYPE, MESSAGE_DIGEST, SIGNED_DATA
from smpki.asn1.signed_data import Signed, SignedDataError
from smpki.asn1.signed_stream import SignedStream
from smpki.errors import GatewayError
from smpki.gateway.cms_peers import check_signer, key_identifier
from smpki.gateway.cms_refusal import reading
from smpki.gateway.content_algorithms import Algorithms, read_algorithms
from smpki.gateway.content_cipher import UnopenedError

_ATTRIBUTES = {CONTENT_TYPE, MESSAGE_DIGEST}


@dataclass(frozen=True, slots=True)
class Message:
    """A protected message but for its ciphertext.

    :param source: it was read from there
    :param digest: the hash of what is signed
    :param octets: of the ciphertext
    """

    source: Whole
    signed: Signed
    digest: bytes
    envelope: AuthEnveloped
    algorithms: Algorithms
    octets: int

    @property
    def compressed(self) -> bool:
        """Whether the content was compressed before it was encrypted."""
        return self.envelope.content_type == COMPRESSED_DATA

    def ciphertext(self) -> Iterator[Octets]:
        """The ciphertext, read once more.

        :raises UnopenedError: it is another message by now
        """
        stream = _enter(BerReader(self.source), hashed=False)
        enveloped = AuthEnvelopedStream(BerReader(stream.content))
        yield from enveloped.ciphertext
        if enveloped.finish() != self.envelope:
            raise UnopenedError


def read_message(source: Whole) -> Message:
    """Read a message to its end; that is its structure, its signature is looked at by :func:`verify_sender`.

    :raises GatewayError: ``cms.encoding.*``, ``cms.signature.*``, ``cms.envelope.*``
    """
    with reading():
        reader = BerReader(source)
        stream = _enter(reader)
        envelope_reader = BerReader(stream.content)
        enveloped = AuthEnvelopedStream(envelope_reader)
        octets = sum(len(piece) for piece in enveloped.ciphertext)
        envelope = enveloped.finish()
        envelope_reader.end()
        signed, digest = stream.finish()
        reader.leave("content")
        reader.leave("ContentInfo")
        reader.end()
        check_profile(signed)
        return Message(source, signed, digest, envelope, read_algorithms(envelope), octets)


def check_profile(signed: Signed) -> None:
    """See that SignedData is as the profile has it, where that is narrower than what is read elsewhere (table 5.6).

    :raises SignedDataError: ``certificates`` when there is more than one, ``attributes.unknown``
    """
    if len(signed.certificates) > 1:
        message = f"{len(signed.certificates)} certificates are enclosed where at most the signer's is due"
        raise SignedDataError("certificates", message)
    if more := signed.signer.attributes - _ATTRIBUTES:
        raise SignedDataError("attributes.unknown", f"the signed attribute {min(more)} is none of the profile's")


def verify_sender(signed: Signed, digest: bytes, sender: x509.Certificate) -> None:
    """See that a certificate's holder signed, and that the message refers to this certificate and no other (5.2.1).

    :param digest: the hash of what is signed
    :raises GatewayError: ``cms.certificate.*``, ``cms.sender``, ``cms.signature.*``
    """
    public = check_signer(sender)
    enclosed = signed.certificates
    if signed.signer.key_id != key_identifier(sender):
        message = "the message names another signer's key than the given certificate has"
        raise _other_sender(message)
    if enclosed and enclosed != (sender.public_bytes(Encoding.DER),):
        raise _other_sender("the enclosed certificate is not the given one")
    with reading():
        signed.verify_digest(public, digest)


def _enter(reader: BerReader, *, hashed: bool = True) -> SignedStream:
    reader.enter(der.SEQUENCE, "ContentInfo")
    kind = der.object_identifier(reader.element(der.OBJECT_IDENTIFIER, "contentType"), "contentType")
    if kind != SIGNED_DATA:
        raise SignedDataError("content_type", f"the message has type {kind} where SignedData is due")
    reader.enter(der.context(0), "content")
    stream = SignedStream(reader, hashed=hashed)
    if stream.content_type != AUTH_ENVELOPED_DATA:
        raise SignedDataError("content_type", f"what is signed has type {stream.content_type}, not AuthEnvelopedData")
    return stream


def _other_sender(message: str) -> GatewayError:
    hint = "give the certificate of the one who sent it; `smpki cms inspect` shows what the message has"
    return GatewayError("cms.sender", message, where="sender", hint=hint)
