import pytest
from asn1crypto import core, x509

from smpki.asn1 import der
from smpki.asn1.rev_req import CRL_REASON, RevDetails, build_rev_req, read_reason, read_rev_req

NAME = x509.Name.build({"common_name": "Beispiel.CA", "country_name": "DE"}).dump()
REASON = der.encode(0x0A, b"\x01")
TEMPLATE = der.encode(0x30, der.encode(0x81, b"\x05"), der.encode(0xA3, NAME))


def extension(value: bytes, *, oid: str = CRL_REASON, critical: bytes = b"") -> bytes:
    return der.encode(0x30, der.encode_object_identifier(oid), critical, der.encode(0x04, value))


def test_the_structure_as_another_encoder_spells_it() -> None:
    """RFC 9810 appendix F: CertTemplate is implicitly tagged, but for the Name in it."""

    class Template(core.Sequence):
        _fields = [("serial", core.Integer, {"implicit": 1}), ("issuer", x509.Name, {"explicit": 3})]  # noqa: RUF012

    class Details(core.Sequence):
        _fields = [("certDetails", Template), ("crlEntryDetails", x509.Extensions)]  # noqa: RUF012

    class Content(core.SequenceOf):
        _child_spec = Details

    encoded = core.Enumerated.load(der.encode(0x0A, b"\x06")).dump()
    reason = {"extn_id": "2.5.29.21", "extn_value": core.ParsableOctetString(encoded)}
    template = {"serial": 0x1234567890ABCDEF00, "issuer": x509.Name.load(NAME)}
    content = Content([{"certDetails": template, "crlEntryDetails": [reason]}]).dump()
    assert build_rev_req([(NAME, 0x1234567890ABCDEF00, 6)]) == content
    (details,) = read_rev_req(content)
    assert details.template == {"serialNumber": der.encode_integer(0x1234567890ABCDEF00), "issuer": NAME}
    assert read_reason(details.extensions[CRL_REASON]) == 6


def test_optional_parts() -> None:
    bare = der.encode(0x30, TEMPLATE)
    critical = der.encode(0x30, TEMPLATE, der.encode(0x30, extension(REASON, critical=b"\x01\x01\xff")))
    one, other = read_rev_req(der.encode(0x30, bare, critical))
    assert one.extensions == {}
    assert other == RevDetails(one.template, {CRL_REASON: REASON})
    assert read_rev_req(b"\x30\x00") == ()


@pytest.mark.parametrize(
    "details",
    [
        b"\x31\x00",
        b"\x30\x00",
        der.encode(0x30, TEMPLATE, b"\x30\x00", b"\x30\x00"),
        der.encode(0x30, TEMPLATE, b"\x31\x00"),
        der.encode(0x30, TEMPLATE, der.encode(0x30, b"\x31\x00")),
        der.encode(0x30, TEMPLATE, der.encode(0x30, b"\x30\x00")),
        der.encode(0x30, TEMPLATE, der.encode(0x30, extension(REASON) * 2)),
        der.encode(0x30, TEMPLATE, der.encode(0x30, extension(REASON, critical=b"\x02\x01\xff"))),
    ],
)
def test_refuses(details: bytes) -> None:
    with pytest.raises(der.DerError):
        read_rev_req(der.encode(0x30, details))


@pytest.mark.parametrize("value", [b"", b"\x02\x01\x01", b"\x0a\x00", b"\x0a\x02\x00\x01", REASON + b"\x00"])
def test_no_reason_at_all(value: bytes) -> None:
    with pytest.raises(der.DerError):
        read_reason(value)


def test_a_number_without_a_reason_is_read() -> None:
    assert read_reason(der.encode(0x0A, b"\xff")) == -1
