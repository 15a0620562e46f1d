import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from smpki.errors import PolicyError
from smpki.policy.device_id import DeviceId
from smpki.policy.names import CommonName, DistinguishedName, same_name

device_ids = st.builds(
    DeviceId,
    sector=st.integers(0, 15),
    manufacturer=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=3),
    block=st.integers(0, 0xFE),
    number=st.integers(0, 99_999_999),
)
# pyca counts a CN's 64 characters in octets
values = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=64).filter(
    lambda text: text == text.strip() and len(text.encode()) <= 64
)
distinguished_names = st.builds(
    DistinguishedName.of, CN=values, O=values, OU=st.none() | values, C=st.just("DE"), serialNumber=st.just("7")
)


@given(device_ids)
def test_a_device_id_survives_each_of_its_forms(device):
    assert DeviceId.parse(str(device)) == device
    assert DeviceId.parse(device.dns) == device
    assert DeviceId.from_bytes(bytes(device)) == device
    assert len(str(device)) == 14
    assert len(bytes(device)) == 9


def test_a_device_id_is_upper_case_in_names_and_lower_case_in_dns():
    device = DeviceId.parse("eabc0012345678")
    assert (str(device), device.dns, device.is_gateway) == ("EABC0012345678", "eabc0012345678", True)
    assert bytes(device).hex() == "0e4142430000bc614e"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "EABC001234567",
        "EABC00123456789",
        "eABC0012345678",
        "GABC0012345678",
        "EABC00123456X8",
        "EABCFF12345678",
        "EÄBC0012345678",
        "EABC001234567٨",
        "eſbc0012345678",  # whose upper case is ASCII
    ],
)
def test_other_texts_are_no_device_ids(text):
    with pytest.raises(PolicyError) as refused:
        DeviceId.parse(text)
    assert refused.value.code.startswith("device_id.")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(8),
        bytes(10),
        b"\x1eABC\0\0\0\0\1",
        b"\x0eabc\0\0\0\0\1",
        b"\x0eABC\xff\0\0\0\1",
        b"\x0eABC\x00\xff\xff\xff\xff",
    ],
)
def test_other_bytes_are_no_device_ids(data):
    with pytest.raises(PolicyError):
        DeviceId.from_bytes(data)


@given(distinguished_names)
def test_a_name_survives_its_text_and_its_certificate_form(name):
    assert DistinguishedName.parse(str(name)) == name
    assert DistinguishedName.from_x509(name.to_x509()) == name


@given(distinguished_names, st.integers(0, 2**31 - 1))
def test_the_serial_number_is_replaced_in_place_and_is_no_part_of_the_identity(name, number):
    other = name.with_serial_number(number)
    assert other.serial_number == number
    assert other.key() == name.key() == name.with_serial_number(None).key()
    assert [short for short, _ in other.attributes] == [short for short, _ in name.attributes]


def test_names_are_equal_by_string_rules_not_by_bytes():
    printable = DistinguishedName.of(CN="Company.EMT", O="SM-Test-PKI-DE").to_x509()
    utf8 = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, " company.EMT "),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "sm-test-pki-de"),
        ]
    )
    assert printable.public_bytes() != utf8.public_bytes()
    assert same_name(printable, utf8)
    assert not same_name(printable, DistinguishedName.of(CN="Company.EMT", O="SM-PKI-DE").to_x509())


def test_values_are_printable_where_they_fit_and_utf8_otherwise():
    encoded = DistinguishedName.of(CN="Company.EMT", street="Teststraße 1").to_x509().public_bytes()
    assert b"\x13\x0bCompany.EMT" in encoded
    assert b"\x0c\x0d" + "Teststraße 1".encode() in encoded


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Company-Test.EMT.MAK", ("Company-Test", "EMT", "MAK")),
        ("A.B.GWA", ("A.B", "GWA", None)),
        ("EABC0012345678.SMGW", ("EABC0012345678", "SMGW", None)),
        ("SM-Test-Root.CA.CRL-S", ("SM-Test-Root", "CA", "CRL-S")),
        ("Theben-AG.CA", ("Theben-AG", "CA", None)),
    ],
)
def test_common_names_are_taken_apart(text, parts):
    name = CommonName.parse(text)
    assert (name.stem, name.scheme, name.extension) == parts
    assert str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "EMT",
        ".EMT",
        "Company",
        "Company.EMT.",
        "Company.EMT.A.B",
        "Company.GWA.EMT",
        "Company.CA.XYZ",
        "eabc0012345678.SMGW",
        "1ABC0012345678.SMGW",
        "EABC0012345678.SMGW.X",
        "Company.SMGW",
        " .EMT",
    ],
)
def test_other_common_names_are_refused(text):
    with pytest.raises(PolicyError):
        CommonName.parse(text)


@given(
    st.text("ABab-.", max_size=12),
    st.sampled_from(["CA", "EMT", "GWA", "GWH", "SMGW", "X"]),
    st.none() | st.text("AT-.", max_size=4),
)
def test_a_common_name_survives_its_text(stem, scheme, extension):
    try:
        name = CommonName(stem, scheme, extension)
    except PolicyError:
        return
    assert CommonName.parse(str(name)) == name
