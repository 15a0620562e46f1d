import pytest

from smpki.asn1 import crmf, der
from smpki.asn1.content_info import build_content_info, read_content_info

ID = der.encode_integer(7)
NAME = der.encode(0x30)
KEY = bytes.fromhex("3003020101")
TEMPLATE = der.encode(0x30, der.encode(0xA5, NAME), der.implicit(6, KEY))
PROOF = der.encode(0xA1, der.encode(0x30), der.encode(0x03, b"\0sig"))


def message(*parts: bytes, request: bytes | None = None) -> crmf.CertReqMsg:
    first = der.encode(0x30, ID, TEMPLATE) if request is None else request
    return crmf.read_message(der.single(der.encode(0x30, first, *parts), 0x30, "it"))


def test_message() -> None:
    read = message(PROOF)
    assert read.certificate_request == der.encode(0x30, ID, TEMPLATE)
    assert read.request_id == 7
    assert read.template == {"subject": NAME, "publicKey": KEY}
    assert read.proof == "signature"
    assert read.signing_proof == crmf.SigningProof(False, der.encode(0x30), b"sig")
    assert not read.has_controls
    assert not read.has_registration_info


def test_optional_parts_are_told() -> None:
    assert message().proof is None
    assert message(der.encode(0x30)).has_registration_info
    assert message(PROOF, der.encode(0x30)).has_registration_info
    assert message(request=der.encode(0x30, ID, TEMPLATE, der.encode(0x30))).has_controls
    assert message(der.encode(0x80)).proof == "raVerified"
    assert message(der.encode(0xA2)).proof == "keyEncipherment"
    with_input = der.encode(0xA1, der.encode(0xA0), der.encode(0x30), der.encode(0x03, b"\0"))
    assert message(with_input).signing_proof == crmf.SigningProof(True, der.encode(0x30), b"")


def test_template_fields_come_out_as_outside_a_template() -> None:
    fields = [
        (0x80, b"\x02", "version", "020102"),
        (0x81, b"\x05", "serialNumber", "020105"),
        (0xA2, b"", "signingAlg", "3000"),
        (0xA3, NAME, "issuer", "3000"),
        (0xA4, b"", "validity", "3000"),
        (0xA5, NAME, "subject", "3000"),
        (0xA6, b"", "publicKey", "3000"),
        (0x87, b"\0", "issuerUID", "870100"),
        (0x88, b"\0", "subjectUID", "880100"),
        (0xA9, b"", "extensions", "3000"),
    ]
    content = b"".join(der.encode(tag, inner) for tag, inner, _, _ in fields)
    read = crmf.read_template(der.Element(0x30, content, b""))
    assert {name: encoded.hex() for name, encoded in read.items()} == {name: hex_ for _, _, name, hex_ in fields}


@pytest.mark.parametrize(
    "content",
    [
        der.encode(0xA6) + der.encode(0xA5, NAME),  # out of order
        der.encode(0xA5, NAME) * 2,
        der.encode(0xAA),
        der.encode(0x30),
        der.encode(0x85, NAME),  # primitive
        der.encode(0xA5, NAME, NAME),
        der.encode(0xA5),
        der.encode(0xA5, der.encode(0x31)),
    ],
)
def test_template_refuses(content: bytes) -> None:
    with pytest.raises(der.DerError):
        crmf.read_template(der.Element(0x30, content, b""))


@pytest.mark.parametrize(
    "encoded",
    [
        der.encode(0x31),
        der.encode(0x30),
        der.encode(0x30, ID),
        der.encode(0x30, der.encode(0x30)),
        der.encode(0x30, der.encode(0x30, ID)),
        der.encode(0x30, der.encode(0x30, TEMPLATE, ID)),
        der.encode(0x30, der.encode(0x30, ID, TEMPLATE, TEMPLATE, TEMPLATE)),
        der.encode(0x30, der.encode(0x30, ID, TEMPLATE), PROOF, PROOF),
        der.encode(0x30, der.encode(0x30, ID, TEMPLATE), PROOF, NAME, NAME),
        der.encode(0x30, der.encode(0x30, ID, TEMPLATE), NAME, PROOF),
        der.encode(0x30, der.encode(0x30, ID, TEMPLATE), der.encode(0xA1)),
        der.encode(0x30, der.encode(0x30, ID, TEMPLATE), der.encode(0xA1, der.encode(0xA0))),
        der.encode(0x30, der.encode(0x30, ID, TEMPLATE), der.encode(0xA1, NAME, der.encode(0x03))),
        der.encode(0x30, der.encode(0x30, ID, TEMPLATE), der.encode(0xA1, NAME, der.encode(0x03, b"\x01a"))),
        der.encode(0x30, der.encode(0x30, ID, TEMPLATE), der.encode(0xA1, NAME, der.encode(0x04, b"\0a"))),
    ],
)
def test_message_refuses(encoded: bytes) -> None:
    [element] = der.elements(encoded, "it")
    with pytest.raises(der.DerError):
        crmf.read_message(element)


def test_content_info() -> None:
    encoded = build_content_info("1.2.3", NAME)
    assert encoded.hex() == "300806022a03a0023000"
    assert read_content_info(encoded) == ("1.2.3", NAME)


@pytest.mark.parametrize(
    "encoded",
    [
        "3000",
        "300406022a03",
        "300606022a033000",
        "300606022a03a000",
        "300a06022a03a00430003000",
        "300702022a03a0023000",
    ],
)
def test_content_info_refuses(encoded: str) -> None:
    with pytest.raises(der.DerError):
        read_content_info(bytes.fromhex(encoded))
