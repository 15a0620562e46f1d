"""Explain certificates, CRLs and requests in plain words, with the German terms."""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509

from smpki.errors import RequestError
from smpki.policy.model import Policy
from smpki.policy.templates import render
from smpki.policy.text import visible
from smpki.requests.any_request import read_request
from smpki.requests.armour import strip_armour
from smpki.requests.device_admin import DeviceAdminUpdate
from smpki.requests.explain_certificate import certificate_part
from smpki.requests.explain_crl import crl_part
from smpki.requests.explain_package import package_parts
from smpki.requests.explain_parts import Part
from smpki.requests.explain_signed import device_admin_part, revocation_part
from smpki.requests.revocation import RevocationRequest

_BEGIN, _DASHES = b"-----BEGIN ", b"-----"
_LONGEST_LABEL = 80
_OBJECT_IDENTIFIER = 0x06


@dataclass(frozen=True)
class Explanation:
    """What a file holds.

    :param parts: its certificates, CRLs and requests in their order; the requests of a package follow it
    """

    parts: tuple[Part, ...]

    def as_dict(self) -> dict[str, object]:
        """The explanation as the mapping that ``--json`` prints."""
        return {"parts": [part.as_dict() for part in self.parts]}

    def text(self) -> str:
        """The explanation for people."""
        return render("smpki.requests", "explanation.txt", parts=self.parts).rstrip("\n")


def explain(data: bytes, policy: Policy) -> Explanation:
    """Explain a certificate, a CRL, or whatever a participant may send to a CA; of several PEM blocks each.

    What strangers wrote is shown with everything escaped that a terminal would not simply print.

    :param data: PEM, DER (requests: BER too) or base64 text
    :param policy: what certificates and requests are linted against
    :raises RequestError: ``inspect.unknown`` when it is none of these, and what
        :func:`smpki.requests.any_request.read_request` raises for a broken request
    """
    return Explanation(tuple(part for place, block in _blocks(data) for part in _parts(block, place, policy)))


def _blocks(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Every encoded object in the file with its place; the place is empty when there is just one."""
    found = list(_pem_blocks(data))
    if not found:
        try:
            yield "", strip_armour(data)
        except RequestError:
            raise _unknown("this is neither DER nor PEM nor base64 text") from None
    for number, (label, text) in enumerate(found, start=1):
        place = f"block {number} ({visible(label)})" if len(found) > 1 else ""
        if "PRIVATE KEY" in label:
            raise RequestError(
                "inspect.unknown", "a private key is not explained", where=place, hint="take it out of the file"
            )
        try:
            yield place, binascii.a2b_base64(b"".join(text.split()), strict_mode=True)
        except binascii.Error:
            raise _unknown("the PEM block is not base64 inside", place) from None


def _pem_blocks(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Label and content of every PEM block (RFC 7468); text between them is ignored."""
    at = 0
    while (begin := data.find(_BEGIN, at)) >= 0:
        start = begin + len(_BEGIN)
        label, dashes, _ = data[start : start + _LONGEST_LABEL].partition(_DASHES)
        end_line = b"-----END " + label + _DASHES
        end = data.find(end_line, start)
        if not dashes or end < 0:
            raise _unknown("a PEM block has no END line that fits its BEGIN line")
        yield label.decode("ascii", "replace"), data[start + len(label) + len(_DASHES) : end]
        at = end + len(end_line)


def _parts(block: bytes, place: str, policy: Policy) -> Iterator[Part]:
    if _is_content_info(block):
        match read_request(block):
            case RevocationRequest() as request:
                yield revocation_part(request)
            case DeviceAdminUpdate() as update:
                yield device_admin_part(update)
            case submission:
                yield from package_parts(submission, policy)
        return
    # pyca raises ValueError, InvalidVersion and more; whatever it is, the block can't be read as that
    try:
        certificate = x509.load_der_x509_certificate(block)
    except Exception as error:
        complaint = str(error)
    else:
        yield certificate_part(certificate, policy)
        return
    try:
        yield crl_part(x509.load_der_x509_crl(block), policy)
    except Exception:
        message = f"this is no certificate, CRL or request; read as a certificate: {visible(complaint)}"
        raise _unknown(message, place) from None


def _is_content_info(data: bytes) -> bool:
    """Whether the first thing inside is an object identifier: the content type of a request."""
    length = data[1:2]
    inside = 2 + (length[0] & 0x7F if length and length[0] > 0x80 else 0)
    return data[inside : inside + 1] == bytes((_OBJECT_IDENTIFIER,))


def _unknown(message: str, place: str = "") -> RequestError:
    return RequestError(
        "inspect.unknown",
        message,
        where=place,
        hint="give a certificate, a CRL or a request, as PEM, DER or base64 text",
    )
