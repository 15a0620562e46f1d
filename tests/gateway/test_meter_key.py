"""A meter's certificate and key as one octet string."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.asn1 import der
from smpki.asn1.curves import CURVE_OIDS, CURVES
from smpki.errors import GatewayError, TokenError
from smpki.gateway.lmn_certificate import make_lmn_certificate
from smpki.gateway.meter_key import MeterKey
from smpki.hsm.key import KeyUse
from smpki.policy.device_id import DeviceId

METER, GATEWAY = DeviceId.parse("1abc0012345678"), DeviceId.parse("eabc0012345678")
VALUES = {"serial": 2**100, "made_at": datetime(2026, 2, 2, 8, 30, tzinfo=UTC)}
P256 = CURVES["brainpoolP256r1"]


def certificate(key, device=METER):
    return make_lmn_certificate(device, key, **VALUES)


@pytest.fixture(scope="module")
def small():
    """A key that begins with many zeros, which have to travel."""
    return ec.derive_private_key(0x1234, P256)


@pytest.mark.parametrize("curve", CURVES)
def test_out_and_back(curve, tmp_path: Path):
    key = ec.generate_private_key(CURVES[curve])
    made = MeterKey(certificate(key), key)
    data = made.to_bytes()
    found = MeterKey.from_bytes(data)
    assert found.certificate == made.certificate
    assert found.key.private_numbers() == key.private_numbers()
    assert found.to_bytes() == data
    length = len(made.certificate.certificate.public_bytes(Encoding.DER))
    halves = {"x509": data[:length], "ec": data[length:]}
    for command, half in halves.items():
        (tmp_path / command).write_bytes(half)
        subprocess.run(
            ["openssl", command, "-inform", "DER", "-in", tmp_path / command, "-noout"], check=True, capture_output=True
        )


def test_every_octet_of_the_key_is_as_rfc_5915_says(small):
    made = MeterKey(certificate(small), small)
    first = made.certificate.certificate.public_bytes(Encoding.DER)
    assert made.to_bytes() == first + ec_private_key(small)
    found = MeterKey.from_bytes(first + ec_private_key(small, public=False))
    assert found.key.private_numbers() == small.private_numbers()


def ec_private_key(key, *, version=1, secret=None, curve="brainpoolP256r1", public=True, other_point=False):
    """ECPrivateKey (RFC 5915 3), by hand."""
    octets = key.private_numbers().private_value.to_bytes(32, "big") if secret is None else secret
    point = key.public_key().public_numbers()
    public_octets = b"\x04" + point.x.to_bytes(32, "big") + (point.y ^ other_point).to_bytes(32, "big")
    parameters = der.encode(0xA0, der.encode_object_identifier(CURVE_OIDS[curve])) if curve else b""
    return der.encode(
        der.SEQUENCE,
        der.encode_integer(version),
        der.encode(der.OCTET_STRING, octets),
        parameters,
        der.encode(0xA1, der.encode(der.BIT_STRING, b"\x00", public_octets)) if public else b"",
    )


ORDER = 0xA9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 0},
        {"version": 2},
        {"curve": None},
        {"curve": "secp256r1"},
        {"other_point": True},
        {"secret": b""},
        {"secret": b"\x12\x34"},
        {"secret": bytes(33)},
        {"secret": bytes(32)},
        {"secret": ORDER.to_bytes(32, "big")},
    ],
    ids=str,
)
def test_a_key_of_another_form_is_refused(small, wrong):
    first = certificate(small).certificate.public_bytes(Encoding.DER)
    with pytest.raises(GatewayError) as refused:
        MeterKey.from_bytes(first + ec_private_key(small, **wrong))
    assert refused.value.code == "certificate.meter_key.form"


def test_another_key_is_refused(small):
    other = ec.derive_private_key(0x4321, P256)
    with pytest.raises(GatewayError) as refused:
        MeterKey(certificate(small), other)
    assert refused.value.code == "certificate.meter_key.other_key"
    first = certificate(small).certificate.public_bytes(Encoding.DER)
    with pytest.raises(GatewayError) as refused:
        MeterKey.from_bytes(first + ec_private_key(other, public=False))
    assert refused.value.code == "certificate.meter_key.other_key"


def test_a_gateways_key_does_not_travel(small):
    with pytest.raises(GatewayError) as refused:
        MeterKey(certificate(small, GATEWAY), small)
    assert refused.value.code == "certificate.meter_key.profile"


def test_a_key_in_a_token_does_not_travel(token):
    handle = token.generate("meter", P256, KeyUse.SIGN)
    with pytest.raises(TokenError):
        MeterKey(certificate(handle), handle).to_bytes()


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_a_change_of_any_octet_is_refused_and_no_message_holds_the_key():
    key = ec.generate_private_key(P256)
    secret = key.private_numbers().private_value
    data = MeterKey(certificate(key), key).to_bytes()
    spoilt = [data[:end] for end in range(0, len(data), 7)] + [data + b"\x00"]
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        spoilt.append(bytes(changed))
    for one in spoilt:
        with pytest.raises(GatewayError) as refused:
            MeterKey.from_bytes(one)
        assert refused.value.code.startswith("certificate.")
        assert refused.value.__cause__ is None
        text = f"{refused.value!r} {refused.value.hint}"
        assert f"{secret:x}"[:16] not in text.lower()
        assert str(secret)[:16] not in text


def test_the_key_is_not_shown(small):
    assert "key=" not in repr(MeterKey(certificate(small), small))
