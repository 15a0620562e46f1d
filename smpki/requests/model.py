"""What a request package (Antragspaket) says, once it has been read."""

import enum
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


class Purpose(enum.StrEnum):
    """What one certificate of a triple is for, in the order a triple is listed."""

    TLS = "tls"
    SIG = "sig"
    ENC = "enc"


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """One of the three requests of a package; nothing in it is parsed later, so nothing in it can fail later.

    :param index: position in the package, from 0
    :param request_id: ``certReqId``, any number that is unique in the package
    :param purpose: what the requested certificate is for, as key usage and extended key usage tell
    :param subject: the requested name
    :param public_key: the key to be certified, on one of the curves of TR-03116-3 table 4
    :param public_key_info: its DER SubjectPublicKeyInfo: named curve, uncompressed point
    :param extensions: the requested extensions; wishes, the profile decides
    :param signed: the DER CertRequest, which the proof of possession signs
    :param signature: the proof of possession, a DER ECDSA-Sig-Value
    :param hash: the hash of that signature: SHA-256, SHA-384 or SHA-512
    """

    index: int
    request_id: int
    purpose: Purpose
    # what pyca can't compare or hash is left out of comparison; the octets in signed and signature hold all of it
    subject: x509.Name
    public_key: ec.EllipticCurvePublicKey = field(compare=False)
    public_key_info: bytes
    extensions: x509.Extensions = field(compare=False)
    signed: bytes
    signature: bytes
    hash: hashes.HashAlgorithm = field(compare=False)

    @property
    def place(self) -> str:
        """How refusals name this request, such as ``request 1 (sig)``."""
        return place_of(self.index, self.purpose)


@dataclass(frozen=True, slots=True)
class RequestPackage:
    """A triple of requests for one subject.

    :param tls: the request for the TLS certificate
    :param sig: the request for the signature certificate
    :param enc: the request for the encryption certificate
    :param subject: the name that the three requests share by the string rules of RFC 5280 section 7.1
    :param digest: SHA-256 over the DER CertReqMessages: the same package in other armour is the same package
    """

    tls: CertificateRequest
    sig: CertificateRequest
    enc: CertificateRequest
    subject: x509.Name
    digest: bytes

    @property
    def requests(self) -> tuple[CertificateRequest, CertificateRequest, CertificateRequest]:
        """The three requests in the order of :class:`Purpose`, whatever their order in the package."""
        return self.tls, self.sig, self.enc


def place_of(index: int, purpose: Purpose | None = None) -> str:
    """How refusals name the request at ``index``; with its purpose as soon as that is known."""
    return f"request {index}" if purpose is None else f"request {index} ({purpose})"
