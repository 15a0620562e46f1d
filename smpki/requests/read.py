"""Read a request package and verify what it proves."""

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1 import crmf, der
from smpki.asn1.algorithms import SIGNATURE_HASHES
from smpki.asn1.oids import BSI_CERT_REQ_MSGS
from smpki.errors import RequestError
from smpki.policy.names import same_name
from smpki.requests.envelope import malformed, open_envelope
from smpki.requests.model import CertificateRequest, Purpose, RequestPackage, place_of
from smpki.requests.public_key import read_public_key
from smpki.requests.template import purpose_of, read_extensions, read_name

MAX_SIZE = 64 * 1024
"""Octets of a package in its armour; a real one has under 5,000."""

_TEMPLATE = {"subject", "publicKey", "extensions"}


def read_package(data: bytes) -> RequestPackage:
    """Read an initial request package (TR-03109-4 annex C); :func:`verify_package` is the other half.

    :param data: raw BER or DER, PEM with any label, or base64 text
    :raises RequestError: ``request.size``, ``request.armour.*``, ``request.encoding.*``,
        ``request.content_type.unsupported``, and all of :func:`read_messages`
    """
    _, content = open_envelope(data, MAX_SIZE, BSI_CERT_REQ_MSGS)
    return read_messages(content)


def read_messages(data: bytes) -> RequestPackage:
    """Read bare CertReqMessages (RFC 4211 section 3), the heart of every kind of request package.

    :param data: DER
    :raises RequestError: ``request.encoding.*``, ``request.count``, ``request.id.duplicate``,
        ``request.template.forbidden``, ``request.template.missing``, ``request.controls.forbidden``,
        ``request.registration_info.forbidden``, ``request.extensions.*``, ``request.key_usage.*``,
        ``request.purpose.duplicate``, ``request.subject.encoding``, ``request.subject.differs``,
        ``request.public_key.*``, ``request.proof_of_possession.missing``, ``.kind``, ``.input`` or ``.algorithm``
    """
    try:
        messages = crmf.split_messages(data)
    except der.DerError as error:
        raise malformed(error) from None
    if len(messages) != len(Purpose):
        raise RequestError(
            "request.count",
            f"the package holds {len(messages)} requests",
            where="package",
            hint="a package holds three: TLS, SIG and ENC (TR-03109-4 annex C)",
        )
    names: dict[bytes, x509.Name] = {}  # most packages spell one name three times
    requests: dict[Purpose, CertificateRequest] = {}
    for index, message in enumerate(messages):
        request = _read_request(index, message, names)
        _check_against(requests, request)
        requests[request.purpose] = request
    tls, sig, enc = (requests[purpose] for purpose in Purpose)
    return RequestPackage(tls, sig, enc, tls.subject, hashlib.sha256(data).digest())


def verify_package(package: RequestPackage) -> None:
    """Verify that each proof of possession holds (RFC 4211 section 4.1); that the keys differ was seen on reading.

    :raises RequestError: ``request.proof_of_possession.invalid``
    """
    for request in package.requests:
        try:
            request.public_key.verify(request.signature, request.signed, ec.ECDSA(request.hash))
        except InvalidSignature:
            raise _proof_refused(
                request.place, "invalid", "the signature over certReq does not hold under the requested key"
            ) from None


def _read_request(index: int, element: der.Element, names: dict[bytes, x509.Name]) -> CertificateRequest:
    place = place_of(index)
    try:
        message = crmf.read_message(element)
    except der.DerError as error:
        raise malformed(error, place) from None
    _check_fields(message, place)
    template = message.template
    extensions = read_extensions(template["extensions"], place)
    purpose = purpose_of(extensions, place)
    place = place_of(index, purpose)
    if template["subject"] not in names:
        names[template["subject"]] = read_name(template["subject"], place)
    proof, hash = _read_proof(message, place)
    return CertificateRequest(
        index=index,
        request_id=message.request_id,
        purpose=purpose,
        subject=names[template["subject"]],
        public_key=read_public_key(template["publicKey"], place),
        public_key_info=template["publicKey"],
        extensions=extensions,
        signed=message.certificate_request,
        signature=proof.signature,
        hash=hash,
    )


def _check_fields(message: crmf.CertReqMsg, place: str) -> None:
    """Only what the guideline's package carries may be there: nothing is ignored that its sender may have meant."""
    present = message.template.keys()
    if forbidden := sorted(present - _TEMPLATE):
        raise RequestError(
            "request.template.forbidden",
            f"the template asks for {', '.join(forbidden)}, which the CA decides",
            where=f"{place}: certTemplate",
            hint="a template holds subject, publicKey and extensions only (TR-03109-4 annex C)",
        )
    if missing := sorted(_TEMPLATE - present):
        raise RequestError(
            "request.template.missing",
            f"the template lacks {', '.join(missing)}",
            where=f"{place}: certTemplate",
            hint="a template holds subject, publicKey and extensions (TR-03109-4 annex C)",
        )
    if message.has_controls:
        raise RequestError(
            "request.controls.forbidden",
            "the request carries controls",
            where=f"{place}: certReq.controls",
            hint="leave controls out (TR-03109-4 annex C)",
        )
    if message.has_registration_info:
        raise RequestError(
            "request.registration_info.forbidden",
            "the request carries regInfo, which nothing protects",
            where=f"{place}: regInfo",
            hint="leave regInfo out (TR-03109-4 annex C)",
        )


def _read_proof(message: crmf.CertReqMsg, place: str) -> tuple[crmf.SigningProof, hashes.HashAlgorithm]:
    proof = message.signing_proof
    if message.proof is None:
        raise _proof_refused(place, "missing", "there is no proof of possession")
    if proof is None:
        raise _proof_refused(place, "kind", f"the proof of possession is {message.proof}, not a signature")
    if proof.has_input:
        raise _proof_refused(place, "input", "poposkInput is there although the template is complete")
    hash = SIGNATURE_HASHES.get(proof.algorithm)
    if hash is None:
        raise _proof_refused(place, "algorithm", "the signature algorithm is none that may be used")
    return proof, hash


def _check_against(earlier: dict[Purpose, CertificateRequest], request: CertificateRequest) -> None:
    """Refuse a request that does not go with the earlier ones of its package."""
    if other := earlier.get(request.purpose):
        raise RequestError(
            "request.purpose.duplicate",
            f"{other.place} is for the same purpose",
            where=f"{request.place}: extensions",
            hint="request one certificate each for TLS, SIG and ENC; key usage and extended key usage tell them apart",
        )
    for other in earlier.values():
        # before certReqId, since a repeated key is the cause where clients derive the one from the other
        if other.public_key_info == request.public_key_info:
            raise RequestError(
                "request.public_key.duplicate",
                f"the key is that of {other.place} too",
                where=f"{request.place}: publicKey",
                hint="make a new key pair for each certificate",
            )
        if other.request_id == request.request_id:
            raise RequestError(
                "request.id.duplicate",
                f"certReqId is that of {other.place} too",
                where=f"{request.place}: certReqId",
                hint="give each request of a package another certReqId",
            )
        if other.subject is not request.subject and not same_name(other.subject, request.subject):
            raise RequestError(
                "request.subject.differs",
                f"the subject is not that of {other.place}",
                where=f"{request.place}: subject",
                hint="request all three certificates for one name (compared as RFC 5280 section 7.1 says)",
            )


def _proof_refused(place: str, rule: str, message: str) -> RequestError:
    return RequestError(
        f"request.proof_of_possession.{rule}",
        message,
        where=f"{place}: popo",
        hint="sign the DER of certReq with the requested key: ECDSA with SHA-256, SHA-384 or SHA-512, no poposkInput "
        "(RFC 4211 section 4.1)",
    )
