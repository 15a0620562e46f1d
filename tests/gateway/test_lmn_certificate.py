"""LMN certificates made and read; what the lint finds stands in ``test_certificate_cases.py``."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import core
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from smpki.asn1 import der
from smpki.asn1.curves import CURVES
from smpki.errors import GatewayError
from smpki.gateway.lmn_certificate import (
    LmnHolder,
    lint_lmn_certificate,
    make_lmn_certificate,
    parse_lmn_certificate,
)
from smpki.hsm.key import KeyUse
from smpki.policy.device_id import DeviceId

GATEWAY, METER = DeviceId.parse("eabc0012345678"), DeviceId.parse("1abc0012345678")
MADE_AT = datetime(2026, 2, 2, 8, 30, tzinfo=UTC)
SERIAL = 0x5C1F3A9D00E1B2C3D4E5F60718293A4B


@pytest.fixture(scope="module")
def key():
    return ec.generate_private_key(ec.BrainpoolP256R1())


@pytest.fixture
def make(key):
    def make(device=METER, key=key, **options):
        return make_lmn_certificate(device, key, **({"serial": SERIAL, "made_at": MADE_AT} | options))

    return make


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=True).stdout


@pytest.mark.requirement("REQ.ZertifikateLMN.Allgemein.10")
@pytest.mark.parametrize("with_host_name", [False, True], ids=["bare", "with host name"])
@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("device", [GATEWAY, METER], ids=["gateway", "meter"])
def test_what_is_made_keeps_to_the_profile(make, device, curve, with_host_name, tmp_path):
    made = make(device, ec.generate_private_key(CURVES[curve]), with_host_name=with_host_name)
    data = made.certificate.public_bytes(Encoding.DER)
    assert len(data) <= 600
    assert parse_lmn_certificate(data) == made
    assert (made.device, made.holder) == (device, LmnHolder.GATEWAY if device is GATEWAY else LmnHolder.METER)
    findings = [finding.code for finding in lint_lmn_certificate(made.certificate, made.holder)]
    assert findings == ([] if curve.startswith("brainpool") else ["tr-03116-3.6_3.public_key.not_brainpool"])
    file = tmp_path / "lmn.pem"
    file.write_bytes(made.certificate.public_bytes(Encoding.PEM))
    text = openssl("x509", "-in", file, "-noout", "-text").decode()
    assert f"Subject: CN = {device.dns}.sm" in text
    assert "X509v3 Key Usage: critical\n                Digital Signature\n" in text
    assert ("X509v3 Subject Alternative Name: critical" in text) is with_host_name
    for purpose in ("sslserver", "sslclient"):
        verify = ("verify", "-CAfile", file, "-check_ss_sig", "-purpose", purpose)
        openssl(*verify, "-attime", int(MADE_AT.timestamp()) + 1, file)


@pytest.mark.requirement("REQ.ZertifikateLMN.Allgemein.10")
def test_every_octet_that_is_signed_is_as_the_tables_say(make, key):
    """Tables 3.3 to 3.5, put together by hand."""

    def sequence(*parts):
        return der.encode(der.SEQUENCE, *parts)

    def oid(dotted):
        return der.encode_object_identifier(dotted)

    def extension(dotted, value, *critical):
        return sequence(oid(dotted), *critical, der.encode(der.OCTET_STRING, value))

    true = der.encode(0x01, b"\xff")
    common_name = sequence(oid("2.5.4.3"), der.encode(0x13, b"1abc0012345678.sm"))
    name = sequence(der.encode(der.SET, common_name))
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    host_name = sequence(der.encode(0x82, b"1abc0012345678.sm"))
    purposes = sequence(oid("1.3.6.1.5.5.7.3.1"), oid("1.3.6.1.5.5.7.3.2"))
    expected = sequence(
        der.encode(0xA0, der.encode_integer(2)),
        der.encode_integer(SERIAL),
        sequence(oid("1.2.840.10045.4.3.2")),
        name,
        sequence(der.encode(0x17, b"260202083000Z"), der.encode(0x17, b"330202083000Z")),
        name,
        sequence(
            sequence(oid("1.2.840.10045.2.1"), oid("1.3.36.3.3.2.8.1.1.7")),
            der.encode(der.BIT_STRING, b"\x00", point),
        ),
        der.encode(
            0xA3,
            sequence(
                extension("2.5.29.15", der.encode(der.BIT_STRING, b"\x07\x80"), true),
                extension("2.5.29.17", host_name, true),
                extension("2.5.29.19", sequence()),
                extension("2.5.29.37", purposes),
            ),
        ),
    )
    made = make(with_host_name=True).certificate
    assert made.tbs_certificate_bytes == expected
    key.public_key().verify(made.signature, expected, ec.ECDSA(hashes.SHA256()))


def test_a_key_in_a_token_signs(make, token):
    handle = token.generate("lmn", ec.BrainpoolP256R1(), KeyUse.SIGN)
    made = make(GATEWAY, handle)
    assert made.certificate.public_key() == handle.public_key()
    assert lint_lmn_certificate(made.certificate, LmnHolder.GATEWAY) == ()


def test_the_fingerprint_is_over_the_whole_certificate(make):
    made = make()
    digest = hashes.Hash(hashes.SHA256())
    digest.update(made.certificate.public_bytes(Encoding.DER))
    assert made.fingerprint == digest.finalize()


def test_the_end_of_a_leap_day_and_of_an_end_given(make):
    assert make(made_at=datetime(2028, 2, 29, tzinfo=UTC)).certificate.not_valid_after_utc == datetime(
        2035, 2, 28, tzinfo=UTC
    )
    end = MADE_AT + timedelta(days=1)
    assert make(not_after=end).certificate.not_valid_after_utc == end


@pytest.mark.parametrize(
    ("options", "code", "where"),
    [
        ({"serial": 0}, "certificate.value", ""),
        ({"serial": 2**159}, "certificate.value", ""),
        ({"serial": 2**55 - 1}, "certificate.profile", "tr-03109-1-ds.3_3.serial.length"),
        ({"not_after": MADE_AT - timedelta(seconds=1)}, "certificate.value", ""),
        (
            {"not_after": datetime(2033, 2, 2, 8, 30, 1, tzinfo=UTC)},
            "certificate.profile",
            "tr-03116-3.table_17.validity.too_long",
        ),
        ({"device": replace(METER, sector=2)}, "certificate.profile", "tr-03109-1-ds.3_4_2.common_name.sector"),
        (
            {"key": ec.generate_private_key(ec.SECP521R1())},
            "certificate.profile",
            "tr-03116-3.table_4.public_key.curve",
        ),
    ],
    ids=["serial zero", "serial long", "serial short", "end first", "eight years", "sector", "curve"],
)
def test_what_breaks_the_profile_is_not_made(make, options, code, where):
    with pytest.raises(GatewayError) as refused:
        make(**options)
    assert (refused.value.code, refused.value.where) == (code, where)


@pytest.mark.parametrize(
    ("name", "device"),
    [("EABC0012345678.SM", GATEWAY), ("eAbC0012345678.Sm", GATEWAY), ("1abc0012345678.sm", METER)],
)
def test_names_are_read_in_any_case(key, name, device):
    found = parse_lmn_certificate(named(key, name).public_bytes(Encoding.DER))
    assert found.device == device


def test_a_device_may_be_named_by_its_host_name_alone(key):
    made = named(key, None, x509.SubjectAlternativeName([x509.DNSName("1abc0012345678.sm")]))
    assert parse_lmn_certificate(made.public_bytes(Encoding.DER)).device == METER


@pytest.mark.parametrize("name", ["1abc0012345678.smgw", "2abc0012345678.sm", "meter.sm", ".sm", "sm", None])
def test_a_certificate_that_names_no_device_of_the_lmn_is_refused(key, name):
    with pytest.raises(GatewayError) as refused:
        parse_lmn_certificate(named(key, name).public_bytes(Encoding.DER))
    assert refused.value.code == "certificate.lmn.device"


def named(key, common_name, *extensions):
    attributes = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    name = x509.Name(attributes)
    builder = x509.CertificateBuilder(name, name, key.public_key(), SERIAL, MADE_AT, MADE_AT + timedelta(days=1))
    for value in extensions:
        builder = builder.add_extension(value, critical=True)
    return builder.sign(key, hashes.SHA256())


def with_parameters(data):
    """The signature algorithm with NULL for parameters, where none may be (3.3.1)."""
    whole = asn1.Certificate.load(data)
    for place in (whole, whole["tbs_certificate"]):
        place["signature_algorithm" if place is whole else "signature"]["parameters"] = core.Null()
    return whole.dump(force=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"\x00",
        lambda data: b"\x30\x80" + data[4:] + b"\x00\x00",
        with_parameters,
    ],
    ids=["empty", "truncated", "more behind it", "indefinite length", "algorithm with parameters"],
)
def test_what_is_no_certificate_is_refused(make, spoil):
    with pytest.raises(GatewayError) as refused:
        parse_lmn_certificate(spoil(make().certificate.public_bytes(Encoding.DER)))
    assert refused.value.code == "certificate.unreadable"


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_a_change_of_any_octet_is_refused_or_found(make):
    data = make(with_host_name=True).certificate.public_bytes(Encoding.DER)
    unread = 0
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        try:
            certificate = parse_lmn_certificate(bytes(changed)).certificate
        except GatewayError as refused:
            assert refused.code.startswith("certificate."), place
            unread += 1
        else:
            assert lint_lmn_certificate(certificate, LmnHolder.METER), place
    assert 0 < unread < len(data)


def test_a_signature_that_leaves_a_bit_out_is_found(make):
    signature = b"\x01"
    while signature[-1] % 2:
        made = make().certificate
        signature = made.signature
    data = made.public_bytes(Encoding.DER)
    changed = data.replace(b"\x00" + signature, b"\x01" + signature)
    certificate = parse_lmn_certificate(changed).certificate
    assert certificate != made
    assert [finding.code for finding in lint_lmn_certificate(certificate, LmnHolder.METER)] == [
        "tr-03109-1-ds.3_3.signature.encoding"
    ]
