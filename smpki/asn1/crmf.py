"""Certificate requests as RFC 4211 spells them: CertReqMessages, CertReqMsg, CertTemplate, POPOSigningKey.

Syntax only: which fields a request package may carry, and what they mean, is for the room that reads it.
"""

from dataclasses import dataclass

from smpki.asn1 import der
from smpki.asn1.der import DerError, Element

TEMPLATE_FIELDS = {
    der.context(0, constructed=False): "version",
    der.context(1, constructed=False): "serialNumber",
    der.context(2): "signingAlg",
    der.context(3): "issuer",
    der.context(4): "validity",
    der.context(5): "subject",
    der.context(6): "publicKey",
    der.context(7, constructed=False): "issuerUID",
    der.context(8, constructed=False): "subjectUID",
    der.context(9): "extensions",
}
"""Identifier octet and name of each CertTemplate field (RFC 4211 section 5; tags are implicit but for the names)."""

PROOFS = {
    der.context(0, constructed=False): "raVerified",
    der.context(1): "signature",
    der.context(2): "keyEncipherment",
    der.context(3): "keyAgreement",
}
"""Identifier octet and name of each ProofOfPossession alternative (RFC 4211 section 4)."""

_EXPLICIT = frozenset({"issuer", "subject"})  # Name is a CHOICE, so its tag is explicit
_UNIVERSAL = {
    **dict.fromkeys(("version", "serialNumber"), der.INTEGER),
    **dict.fromkeys(("signingAlg", "validity", "publicKey", "extensions"), der.SEQUENCE),
}


@dataclass(frozen=True, slots=True)
class SigningProof:
    """POPOSigningKey (RFC 4211 section 4.1).

    :param has_input: whether ``poposkInput`` is there
    :param algorithm: the encoded AlgorithmIdentifier
    :param signature: the content of the BIT STRING, an encoded ECDSA-Sig-Value
    """

    has_input: bool
    algorithm: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class CertReqMsg:
    """One certificate request with what proves possession of its key (RFC 4211 section 3).

    :param certificate_request: the encoded CertRequest, which a signing proof signs
    :param request_id: ``certReqId``
    :param template: the CertTemplate fields that are there: name and encoding, tagged as outside a template
    :param proof: the alternative of ProofOfPossession by name, ``None`` when absent
    :param signing_proof: its content when it is ``signature``
    :param has_controls: whether the request carries ``controls``
    :param has_registration_info: whether the message carries ``regInfo``
    """

    certificate_request: bytes
    request_id: int
    template: dict[str, bytes]
    proof: str | None
    signing_proof: SigningProof | None
    has_controls: bool
    has_registration_info: bool


def split_messages(data: bytes) -> list[Element]:
    """The CertReqMsg elements of an encoded CertReqMessages, each to be read by :func:`read_message`.

    :raises DerError: when it is no SEQUENCE of elements
    """
    return der.elements(der.single(data, der.SEQUENCE, "CertReqMessages").content, "CertReqMessages")


def read_message(element: Element) -> CertReqMsg:
    """Read one CertReqMsg.

    :raises DerError: when it is not one
    """
    fields = der.elements(der.expect(element, der.SEQUENCE, "CertReqMsg").content, "CertReqMsg")
    if not fields:
        raise DerError("truncated", "CertReqMsg is empty")
    request, *rest = fields
    proof = PROOFS.get(rest[0].tag) if rest else None
    signing_proof = read_signing_proof(rest[0]) if proof == "signature" else None
    registration_info = rest[1:] if proof else rest
    if len(registration_info) > 1 or any(field.tag != der.SEQUENCE for field in registration_info):
        raise DerError("tag", "CertReqMsg holds more than certReq, popo and regInfo")

    parts = der.elements(der.expect(request, der.SEQUENCE, "certReq").content, "certReq")
    if len(parts) not in (2, 3):
        raise DerError("tag", f"certReq has {len(parts)} fields where certReqId and certTemplate are due")
    return CertReqMsg(
        certificate_request=request.encoded,
        request_id=der.integer(parts[0], "certReqId"),
        template=read_template(der.expect(parts[1], der.SEQUENCE, "certTemplate")),
        proof=proof,
        signing_proof=signing_proof,
        has_controls=len(parts) == 3,
        has_registration_info=bool(registration_info),
    )


def read_template(element: Element) -> dict[str, bytes]:
    """The fields of a CertTemplate (RFC 4211 section 5): name and encoding.

    :raises DerError: for an unknown field, fields out of order or there twice, or an envelope that holds no one Name
    """
    template: dict[str, bytes] = {}
    last = -1
    for field in der.elements(element.content, "certTemplate"):
        name = TEMPLATE_FIELDS.get(field.tag)
        number = field.tag & 0x1F
        if name is None or number <= last:
            raise DerError("tag", f"certTemplate has a field of tag 0x{field.tag:02x} that is unknown or out of order")
        last = number
        if name in _EXPLICIT:
            template[name] = der.single(field.content, der.SEQUENCE, name).encoded
        elif name in _UNIVERSAL:
            template[name] = bytes((_UNIVERSAL[name],)) + field.encoded[1:]
        else:
            template[name] = field.encoded
    return template


def read_signing_proof(element: Element) -> SigningProof:
    """Read the POPOSigningKey behind tag [1] (RFC 4211 section 4.1).

    :raises DerError: when it is not one
    """
    fields = der.elements(element.content, "popo")
    has_input = bool(fields) and fields[0].tag == der.context(0)
    if len(fields) != 2 + has_input:
        raise DerError("tag", f"popo has {len(fields)} fields where an algorithm and a signature are due")
    algorithm = der.expect(fields[-2], der.SEQUENCE, "popo.algorithmIdentifier").encoded
    signature = der.expect(fields[-1], der.BIT_STRING, "popo.signature").content
    if signature[:1] != b"\x00":
        raise DerError("tag", "popo.signature is not a whole number of octets")
    return SigningProof(has_input, algorithm, signature[1:])
