"""The signatures around requests: a renewal's, an authorisation's, that of whoever asks for a revocation."""

import enum
import hashlib
import warnings
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.asn1 import der
from smpki.asn1.algorithms import SIGNATURE_IDENTIFIERS
from smpki.asn1.der import DerError
from smpki.asn1.signed_data import SignedData, SignedDataError, build_signed_data, read_signed_data
from smpki.errors import RequestError
from smpki.requests.envelope import malformed
from smpki.requests.keys import Signer
from smpki.requests.model import Purpose
from smpki.requests.template import purpose_of

_FORM = (
    "sign as CMS SignedData of version 3: one signer by subjectKeyIdentifier, its certificate enclosed, the signed "
    "attributes contentType and messageDigest, ECDSA with SHA-256, SHA-384 or SHA-512 without parameters"
)
_SIGN_ANEW = "sign the very content that is sent, with the SIG key of the enclosed certificate"

# pyca warns of an attribute with more octets than X.520 allows characters; a certificate's issuer has judged that
warnings.filterwarnings("ignore", "Attribute's length", UserWarning, module=__name__.replace(".", r"\."))


class Layer(enum.StrEnum):
    """Which signature it is (TR-03129-4 tells their failures apart); refusals have it in their code."""

    OUTER = "outer_signature"
    """Around the requests of a renewal, by the holder's previous SIG key."""
    AUTHORISATION = "authorisation"
    """Around a gateway's package, by the SIG key of its manufacturer or administrator."""
    SENDER = "signature"
    """Around any other request, by the SIG key of whoever asks."""

    @property
    def place(self) -> str:
        """How refusals name it."""
        return self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as it was read; :meth:`verify` says whether it holds, the CA decides whether its signer may sign.

    :param signer: the certificate whose key is said to have signed: a SIG certificate by its key usage. Everybody can
        write one, so it has to be one that is known
    :param certificates: all certificates that were enclosed, the signer's among them, as sent; not covered by the
        signature
    :param signed_data: the signed content, and how it was signed
    """

    layer: Layer
    signer: x509.Certificate
    certificates: tuple[x509.Certificate, ...]
    signed_data: SignedData

    @property
    def digest(self) -> bytes:
        """SHA-256 over what is signed, by whom, and the random half of the signature: not over what else is enclosed.

        Of an ECDSA signature (r, s) everybody can make another one with the same r, so s does not count. An honest
        sender who asks for the same again signs anew, with another r.
        """
        signed, certificate = self.signed_data.signer, self.signer.public_bytes(Encoding.DER)
        return hashlib.sha256(signed.signed + certificate + _random_half(signed.signature)).digest()

    def verify(self) -> None:
        """Verify that the signer's key has signed the content (RFC 5652 section 5.6).

        :raises RequestError: ``request.LAYER.key``, ``.digest`` or ``.invalid``
        """
        try:
            self.signed_data.verify(self.signer.public_key())
        except SignedDataError as error:
            raise _refused(self.layer, error.rule, error.message, _SIGN_ANEW) from None


def read_signature(data: bytes, layer: Layer) -> Signature:
    """Read SignedData (RFC 5652) with a certificate for its signer.

    :param data: encoded, with definite lengths
    :raises RequestError: ``request.encoding.*``, and ``request.LAYER.``: all rules of
        :func:`smpki.asn1.signed_data.read_signed_data`, ``certificate``, ``signer.not_enclosed``,
        ``signer.ambiguous`` (two certificates claim its key identifier), ``signer.purpose``
    """
    try:
        signed_data = read_signed_data(data)
    except DerError as error:
        raise malformed(error, layer.place) from None
    except SignedDataError as error:
        raise _refused(layer, error.rule, error.message, _FORM) from None
    certificates = tuple(_read_certificate(encoded, layer) for encoded in signed_data.certificates)
    found = {each for each in certificates if _key_id(each) == signed_data.signer.key_id}
    if not found:
        message = "no enclosed certificate has the subject key identifier that the signer gives"
        raise _refused(layer, "signer.not_enclosed", message, "enclose the SIG certificate of the key that signs")
    if len(found) > 1:
        message = "several enclosed certificates have the subject key identifier that the signer gives"
        raise _refused(layer, "signer.ambiguous", message, "enclose the signer's certificate and those of its issuers")
    (signer,) = found
    if not _is_for_signatures(signer):
        hint = "sign with the SIG key of the triple: key usage digitalSignature alone, no extended key usage"
        raise _refused(layer, "signer.purpose", "the signer's certificate is no SIG certificate", hint)
    return Signature(layer, signer, certificates, signed_data)


def sign(content_type: str, content: bytes, signer: Signer, layer: Layer, hash: hashes.HashAlgorithm) -> bytes:
    """Build SignedData around a content. The result is read back and verified, as its reader will do.

    :param content_type: eContentType, dotted
    :param hash: SHA-256, SHA-384 or SHA-512
    :raises RequestError: ``request.signer.key`` when key and certificate are no pair, ``request.LAYER.algorithm``, and
        for a certificate that may not sign what :func:`read_signature` raises
    """
    certificate = signer.certificate
    if signer.key.public_key() != certificate.public_key():
        raise RequestError(
            "request.signer.key",
            "the private key is not that of the signer's certificate",
            where=layer.place,
            hint="take key and certificate of the same triple",
        )
    if hash.name not in SIGNATURE_IDENTIFIERS:
        raise _refused(layer, "algorithm", f"a request can't be signed with {hash.name}", _FORM)
    enclosed = (each.public_bytes(Encoding.DER) for each in (certificate, *signer.issuers))
    data = build_signed_data(content_type, content, signer.key, _key_id(certificate) or b"", enclosed, hash)
    read_signature(data, layer).verify()
    return data


def _random_half(signature: bytes) -> bytes:
    try:
        r, _ = decode_dss_signature(signature)
    except ValueError:
        return signature  # no ECDSA-Sig-Value, so it will not hold
    return der.encode_integer(r)


def _read_certificate(encoded: bytes, layer: Layer) -> x509.Certificate:
    """A certificate that has been parsed: nothing in it that is looked at later can fail then."""
    try:
        certificate = x509.load_der_x509_certificate(encoded)
        _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key()
        _ = certificate.serial_number, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except Exception as error:  # pyca: ValueError, TypeError, InvalidVersion and more
        message = f"an enclosed certificate can't be read: {error}"
        raise _refused(layer, "certificate", message, "enclose certificates as RFC 5280 defines them") from None
    return certificate


def _key_id(certificate: x509.Certificate) -> bytes | None:
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectKeyIdentifier):
            return extension.value.digest
    return None


def _is_for_signatures(certificate: x509.Certificate) -> bool:
    try:
        return purpose_of(certificate.extensions, "") is Purpose.SIG
    except RequestError:
        return False


def _refused(layer: Layer, rule: str, message: str, hint: str) -> RequestError:
    return RequestError(f"request.{layer}.{rule}", message, where=layer.place, hint=hint)
