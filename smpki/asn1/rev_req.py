"""RevReqContent (RFC 9810 section 5.3.9, formerly RFC 4210): which certificates are to be taken back, and why.

TR-03109-4 names a content type for signed revocation requests; that their content is this structure of CMP is
inferred, no real one was seen. Were it another one, this module and :mod:`smpki.requests.revocation` would change,
and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from smpki.asn1 import crmf, der

CRL_REASON = "2.5.29.21"
"""CRLReason (RFC 5280 section 5.3.1)."""

_BOOLEAN, _ENUMERATED = 0x01, 0x0A


@dataclass(frozen=True, slots=True)
class RevDetails:
    """One certificate to be taken back.

    :param template: the fields of ``certDetails`` that are there, see :func:`smpki.asn1.crmf.read_template`
    :param extensions: ``crlEntryDetails``: the content of each extension's value by its dotted identifier
    """

    template: dict[str, bytes]
    extensions: dict[str, bytes]


def read_rev_req(data: bytes) -> tuple[RevDetails, ...]:
    """Read RevReqContent.

    :raises DerError: when it is none
    """
    details = der.elements(der.single(data, der.SEQUENCE, "RevReqContent").content, "RevReqContent")
    return tuple(_read_details(each) for each in details)


def build_rev_req(revocations: Iterable[tuple[bytes, int, int]]) -> bytes:
    """Build RevReqContent.

    :param revocations: the issuer's DER Name, the serial number, and the number of the CRLReason
    """
    return der.encode(der.SEQUENCE, *(_build_details(*each) for each in revocations))


def read_reason(value: bytes) -> int:
    """The number in an encoded CRLReason, whether there is such a reason or not.

    :raises DerError: when it is no ENUMERATED
    """
    element = der.single(value, _ENUMERATED, "CRLReason")
    return der.integer(element._replace(tag=der.INTEGER), "CRLReason")


def _read_details(element: der.Element) -> RevDetails:
    fields = der.elements(der.expect(element, der.SEQUENCE, "RevDetails").content, "RevDetails")
    if len(fields) not in (1, 2):
        raise der.DerError("tag", f"RevDetails has {len(fields)} fields where certDetails and crlEntryDetails are due")
    template = crmf.read_template(der.expect(fields[0], der.SEQUENCE, "certDetails"))
    extensions: dict[str, bytes] = {}
    for field in fields[1:]:
        for each in der.elements(der.expect(field, der.SEQUENCE, "crlEntryDetails").content, "crlEntryDetails"):
            oid, value = _read_extension(each)
            if oid in extensions:
                raise der.DerError("tag", f"crlEntryDetails holds extension {oid} twice")
            extensions[oid] = value
    return RevDetails(template, extensions)


def _read_extension(element: der.Element) -> tuple[str, bytes]:
    """An Extension (RFC 5280 section 4.1); whether it is critical says nothing here."""
    fields = der.elements(der.expect(element, der.SEQUENCE, "Extension").content, "Extension")
    if len(fields) == 3 and fields[1].tag == _BOOLEAN:
        del fields[1]
    if len(fields) != 2:
        raise der.DerError("tag", "an Extension of crlEntryDetails is not an identifier and a value")
    return der.object_identifier(fields[0], "extnID"), der.expect(fields[1], der.OCTET_STRING, "extnValue").content


def _build_details(issuer: bytes, serial: int, reason: int) -> bytes:
    number = der.encode_integer(serial)
    template = der.encode(
        der.SEQUENCE,
        bytes((der.context(1, constructed=False),)) + number[1:],
        der.encode(der.context(3), issuer),
    )
    value = der.encode(der.OCTET_STRING, der.encode(_ENUMERATED, bytes((reason,))))
    extension = der.encode(der.SEQUENCE, der.encode_object_identifier(CRL_REASON), value)
    return der.encode(der.SEQUENCE, template, der.encode(der.SEQUENCE, extension))
