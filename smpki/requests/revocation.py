"""Signed requests to revoke, suspend or resume certificates (Sperrantrag), see :mod:`smpki.asn1.rev_req`."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from smpki.asn1 import der
from smpki.asn1.content_info import build_content_info
from smpki.asn1.oids import BSI_REV_REQS, BSI_SIGNED_REV_REQS
from smpki.asn1.rev_req import CRL_REASON, RevDetails, build_rev_req, read_reason, read_rev_req
from smpki.errors import RequestError, RevocationError
from smpki.policy.names import comparable
from smpki.policy.reasons import AnyReason, reason_of_number
from smpki.requests.envelope import malformed, open_envelope
from smpki.requests.keys import Signer
from smpki.requests.nesting import signed_content
from smpki.requests.signature import Layer, Signature, read_signature, sign
from smpki.requests.template import read_name

MAX_SIZE = 256 * 1024
"""Octets of a request in its armour; one certificate takes about 150."""

_SHA256 = hashes.SHA256()
_TEMPLATE = {"issuer", "serialNumber"}
_NUMBERS = {reason_of_number(number): number for number in (*range(7), *range(8, 11))}


@dataclass(frozen=True, slots=True)
class RevocationItem:
    """One certificate, and what is to become of it.

    :param issuer: the name of its issuer
    :param serial_number: the certificate's
    :param reason: why it is to be revoked; ``certificate_hold`` suspends it, ``remove_from_crl`` resumes it
    """

    issuer: x509.Name
    serial_number: int
    reason: AnyReason


@dataclass(frozen=True, slots=True)
class RevocationRequest:
    """A signed revocation request; ``signature.verify()`` says whether it holds, the CA who may ask.

    :param items: one or more certificates, each once
    :param signature: by whoever asks
    """

    items: tuple[RevocationItem, ...]
    signature: Signature


def read_revocation_request(data: bytes) -> RevocationRequest:
    """Read a signed revocation request.

    :param data: raw BER or DER, PEM with any label, or base64 text
    :raises RequestError: ``request.size``, ``request.armour.*``, ``request.encoding.*``,
        ``request.content_type.unsupported``, and all of :func:`read_revocation_content`
    """
    _, content = open_envelope(data, MAX_SIZE, BSI_SIGNED_REV_REQS)
    return read_revocation_content(content)


def read_revocation_content(content: bytes) -> RevocationRequest:
    """Read what the ContentInfo of a signed revocation request holds.

    :param content: one element with definite lengths
    :raises RequestError: ``request.encoding.*``, ``request.signature.*``, ``request.revocation.empty``,
        ``.template`` (something else than issuer and serialNumber), ``.extension`` (something else than a reason),
        ``.reason.missing``, ``.reason.unknown``, ``.duplicate``, and ``request.issuer.encoding``
    """
    signature = read_signature(content, Layer.SENDER)
    _, details = signed_content(signature, BSI_REV_REQS)
    try:
        revocations = read_rev_req(details)
    except der.DerError as error:
        raise malformed(error, "RevReqContent") from None
    items = tuple(_read_item(index, each) for index, each in enumerate(revocations))
    if not items:
        raise _refused("empty", "no certificate is named", "RevReqContent", "name the certificates to be taken back")
    _check_repetitions(items)
    return RevocationRequest(items, signature)


def build_revocation_request(
    items: Sequence[RevocationItem], signer: Signer, *, hash: hashes.HashAlgorithm = _SHA256
) -> bytes:
    """Build a signed revocation request, in DER.

    :param items: one or more certificates, each once
    :param hash: SHA-256, SHA-384 or SHA-512
    :raises RequestError: as :func:`smpki.requests.signature.sign`, and for items what
        :func:`read_revocation_content` raises
    """
    content = build_rev_req((item.issuer.public_bytes(), item.serial_number, _NUMBERS[item.reason]) for item in items)
    signed = sign(BSI_REV_REQS, content, signer, Layer.SENDER, hash)
    read_revocation_content(signed)
    return build_content_info(BSI_SIGNED_REV_REQS, signed)


def _read_item(index: int, details: RevDetails) -> RevocationItem:
    place = f"revocation {index}"
    if details.template.keys() != _TEMPLATE:
        fields = ", ".join(sorted(details.template)) or "nothing"
        hint = "name each certificate by issuer and serialNumber"
        raise _refused("template", f"certDetails holds {fields}", f"{place}: certDetails", hint)
    if other := sorted(details.extensions.keys() - {CRL_REASON}):
        hint = "crlEntryDetails holds a CRLReason and nothing else"
        raise _refused("extension", f"crlEntryDetails holds extension {other[0]}", f"{place}: crlEntryDetails", hint)
    if CRL_REASON not in details.extensions:
        hint = "give a CRLReason (RFC 5280 section 5.3.1): the reason is mandatory (TR-03129-4)"
        raise _refused("reason.missing", "there is no reason", f"{place}: crlEntryDetails", hint)
    try:
        number = read_reason(details.extensions[CRL_REASON])
        serial = der.integer(der.single(details.template["serialNumber"], der.INTEGER, "serialNumber"), "serialNumber")
    except der.DerError as error:
        raise malformed(error, place) from None
    try:
        reason = reason_of_number(number)
    except RevocationError:
        hint = "reasons are 0 to 6 and 8 to 10 (RFC 5280 section 5.3.1)"
        raise _refused("reason.unknown", f"there is no reason {number}", f"{place}: crlEntryDetails", hint) from None
    return RevocationItem(read_name(details.template["issuer"], place, "issuer"), serial, reason)


def _check_repetitions(items: Sequence[RevocationItem]) -> None:
    first: dict[object, int] = {}
    for index, item in enumerate(items):
        other = first.setdefault((comparable(item.issuer), item.serial_number), index)
        if other != index:
            message = f"the certificate is that of revocation {other} too"
            raise _refused("duplicate", message, f"revocation {index}", "name each certificate once")


def _refused(rule: str, message: str, place: str, hint: str) -> RequestError:
    return RequestError(f"request.revocation.{rule}", message, where=place, hint=hint)
