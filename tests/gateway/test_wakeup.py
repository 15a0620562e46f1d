"""Wake-up messages: made, read, and every way in which one can be wrong."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.asn1.curves import CURVES
from smpki.asn1.plain_signature import to_plain
from smpki.errors import GatewayError
from smpki.gateway.wakeup import Accepted, Claim, Reason, Refused, WakeUpReader, Window, build_wake_up
from smpki.hsm.key import KeyUse
from smpki.hsm.token import Token
from smpki.policy.device_id import DeviceId

VECTORS = Path(__file__).parent / "vectors"
KNOWN = {
    name: bytes.fromhex(value)
    for name, value in json.loads((VECTORS / "wake_up.json").read_text()).items()
    if name != "note"
}
KNOWN_CERTIFICATE = x509.load_pem_x509_certificate((VECTORS / "wake_up_sig.crt.pem").read_bytes())
KNOWN_TIME = datetime(2012, 7, 13, 11, 1, 20, tzinfo=UTC)

GATEWAY = DeviceId.parse("ETST0000000001")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEYS = {name: ec.generate_private_key(curve) for name, curve in CURVES.items()}
KEY = KEYS["brainpoolP256r1"]
HASHES: dict[str, hashes.HashAlgorithm] = {
    hash.name: hash for hash in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
}
MESSAGE = build_wake_up(GATEWAY, NOW, KEY)

Certificates = Callable[..., x509.Certificate]


@pytest.fixture(scope="module")
def reader(make_certificate: Certificates) -> WakeUpReader:
    return WakeUpReader(GATEWAY, [make_certificate(KEY.public_key())])


def check(reader: WakeUpReader, message: bytes, now: datetime | None = NOW) -> Accepted | Refused:
    claim = reader.read(message, now)
    return claim.verify() if isinstance(claim, Claim) else claim


def signed(head: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    """A message with these first 32 octets and a signature that holds."""
    tail = build_wake_up(GATEWAY, NOW, key)[32:44]
    signature = key.sign(head, ec.ECDSA(hashes.SHA256()))
    return head + tail + to_plain(signature, key.curve)


@pytest.mark.requirement("REQ.WakeUp.Datenstruktur.10")
def test_a_message_has_the_structure_of_table_2_1() -> None:
    assert len(MESSAGE) == 108
    assert MESSAGE[:12] == b"WU\x01" + b"\x0eTST\x00" + bytes.fromhex("00000001")
    assert MESSAGE[12:20] == int(NOW.timestamp()).to_bytes(8, "little")
    assert MESSAGE[20:32] == b"\x0b" * 12
    assert MESSAGE[32:44] == bytes.fromhex("010a04007f00070101040103")


@pytest.mark.requirement("REQ.WakeUp.Datenstruktur.10", "REQ.WakeUp.Datenstruktur.20")
@pytest.mark.parametrize("name", ["wakeup_le", "wakeup_be"])
def test_known_answers_in_both_byte_orders(name: str, make_certificate: Certificates) -> None:
    key = KNOWN_CERTIFICATE.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    of_that_time = make_certificate(key)
    reader = WakeUpReader(GATEWAY, [of_that_time])
    assert check(reader, KNOWN[name], KNOWN_TIME) == Accepted(KNOWN_TIME, of_that_time)


def test_the_known_answer_is_what_would_be_built_but_for_its_signature() -> None:
    assert build_wake_up(GATEWAY, KNOWN_TIME, KEY)[:44] == KNOWN["wakeup_le"][:44]


@pytest.mark.requirement("REQ.WakeUp.Datenstruktur.20", "REQ.WakeUp.Datenstruktur.30")
@pytest.mark.parametrize("hash", HASHES)
@pytest.mark.parametrize("curve", KEYS)
def test_the_certificate_says_the_curve_and_the_message_the_hash(
    curve: str, hash: str, make_certificate: Certificates
) -> None:
    key = KEYS[curve]
    message = build_wake_up(GATEWAY, NOW, key, HASHES[hash])
    assert len(message) == 44 + 2 * (key.key_size // 8)
    reader = WakeUpReader(GATEWAY, [make_certificate(key.public_key())])
    assert isinstance(check(reader, message), Accepted)
    for other in set(range(3, 6)) - {message[43]}:
        assert check(reader, message[:43] + bytes([other]) + message[44:]) == Refused(Reason.SIGNATURE)


def test_the_hash_is_as_long_as_the_curves_order_by_default() -> None:
    last_arcs = {name: build_wake_up(GATEWAY, NOW, key)[43] for name, key in KEYS.items()}
    assert last_arcs == {
        "brainpoolP256r1": 3, "brainpoolP384r1": 4, "brainpoolP512r1": 5, "secp256r1": 3, "secp384r1": 4
    }  # fmt: skip


@pytest.mark.requirement("REQ.WakeUp.Datenstruktur.20")
@pytest.mark.parametrize("curve", KEYS)
def test_openssl_verifies_the_signature(curve: str, tmp_path: Path) -> None:
    key = KEYS[curve]
    message = build_wake_up(GATEWAY, NOW, key)
    half = (len(message) - 44) // 2
    r, s = int.from_bytes(message[44 : 44 + half]), int.from_bytes(message[44 + half :])
    (tmp_path / "signature").write_bytes(encode_dss_signature(r, s))
    (tmp_path / "key.pem").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    digest = {3: "-sha256", 4: "-sha384", 5: "-sha512"}[message[43]]
    done = subprocess.run(
        ["openssl", "dgst", digest, "-verify", tmp_path / "key.pem", "-signature", tmp_path / "signature"],
        input=message[:32],
        capture_output=True,
    )
    assert done.stdout == b"Verified OK\n"


def test_a_token_signs(token: Token, make_certificate: Certificates) -> None:
    key = token.generate("gwa-sig", ec.BrainpoolP256R1(), KeyUse.SIGN)
    reader = WakeUpReader(GATEWAY, [make_certificate(key.public_key())])
    assert isinstance(check(reader, build_wake_up(GATEWAY, NOW, key)), Accepted)


def test_any_of_several_administrators_and_two_certificates_of_one(make_certificate: Certificates) -> None:
    certificates = [make_certificate(key.public_key()) for key in KEYS.values()]
    reader = WakeUpReader(GATEWAY, certificates)
    for certificate, key in zip(certificates, KEYS.values(), strict=True):
        assert check(reader, build_wake_up(GATEWAY, NOW, key)) == Accepted(NOW, certificate)


@pytest.mark.requirement("REQ.WakeUp.Datenstruktur.10", "REQ.WakeUp.Datenstruktur.20")
def test_a_changed_byte_at_every_offset(reader: WakeUpReader) -> None:
    assert isinstance(check(reader, MESSAGE), Accepted)
    reasons = []
    for offset in range(len(MESSAGE)):
        changed = bytearray(MESSAGE)
        changed[offset] ^= 0x01
        result = check(reader, bytes(changed))
        assert isinstance(result, Refused), offset
        reasons.append(result.reason)
    expected = {Reason.HEADER: 2, Reason.VERSION: 1, Reason.RECIPIENT: 9}
    for reason, number in expected.items():
        assert reasons.count(reason) == number
    assert reasons[12] is Reason.SIGNATURE  # another second of the window
    assert set(reasons[13:20]) <= {Reason.EARLY, Reason.LATE}
    assert set(reasons[20:32]) == {Reason.PADDING}
    assert reasons[32:34] == [Reason.FORMAT, Reason.ALGORITHM]
    assert set(reasons[34:43]) == {Reason.ALGORITHM}
    assert set(reasons[44:]) == {Reason.SIGNATURE}


def test_truncated_at_every_length_and_lengthened(reader: WakeUpReader) -> None:
    for length in range(len(MESSAGE)):
        result = check(reader, MESSAGE[:length])
        assert isinstance(result, Refused), length
        assert result.reason in {Reason.LENGTH, Reason.ALGORITHM, Reason.SIGNATURE_LENGTH}
    assert check(reader, MESSAGE + b"\0") == Refused(Reason.SIGNATURE_LENGTH)
    assert check(reader, MESSAGE * 600) == Refused(Reason.SIGNATURE_LENGTH)


@pytest.mark.parametrize(
    ("position", "octets", "reason"),
    [
        (0, b"wu", Reason.HEADER),
        (2, b"\x02", Reason.VERSION),
        (3, bytes(DeviceId.parse("ETST0000000002")), Reason.RECIPIENT),
        (3, b"\x01", Reason.RECIPIENT),
        (20, b"\0" * 12, Reason.PADDING),
    ],
)
def test_a_signature_that_holds_does_not_cure_what_is_signed(
    reader: WakeUpReader, position: int, octets: bytes, reason: Reason
) -> None:
    head = MESSAGE[:position] + octets + MESSAGE[position + len(octets) : 32]
    assert isinstance(check(reader, signed(MESSAGE[:32])), Accepted)
    assert check(reader, signed(head)) == Refused(reason)


@pytest.mark.parametrize(
    ("oid", "why"),
    [
        ("04007f00070101040101", "SHA-1"),
        ("04007f00070101040102", "SHA-224"),
        ("04007f00070101040203", "another scheme"),
        ("2a8648ce3d040302", "ecdsa-with-SHA256, whose signatures are DER"),
        ("", "none"),
        ("04007f0007010104010300000000", "14 octets"),
        ("04007f000701010401030000000000", "15 octets"),
    ],
)
def test_other_algorithms_and_formats(reader: WakeUpReader, oid: str, why: str) -> None:
    octets = bytes.fromhex(oid)
    message = MESSAGE[:33] + bytes([len(octets)]) + octets + MESSAGE[44:]
    assert check(reader, message) == Refused(Reason.ALGORITHM), why
    assert check(reader, MESSAGE[:32] + b"\x02" + MESSAGE[33:]) == Refused(Reason.FORMAT)


def test_signatures_of_zeros_and_of_the_order(reader: WakeUpReader) -> None:
    # BSI TR-03111 4.2.1.2: r and s are between 1 and n - 1
    order = 0xA9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7
    parts = [number.to_bytes(32) for number in (0, 1, order, order + 1, 2**256 - 1)]
    for r, s in product(parts, parts):
        assert check(reader, MESSAGE[:44] + r + s) == Refused(Reason.SIGNATURE)


def test_a_foreign_signer_and_another_curve(reader: WakeUpReader) -> None:
    foreign = ec.generate_private_key(ec.BrainpoolP256R1())
    assert check(reader, build_wake_up(GATEWAY, NOW, foreign)) == Refused(Reason.SIGNATURE)
    assert check(reader, build_wake_up(GATEWAY, NOW, KEYS["secp256r1"])) == Refused(Reason.SIGNATURE)
    assert check(reader, build_wake_up(GATEWAY, NOW, KEYS["secp384r1"])) == Refused(Reason.SIGNATURE_LENGTH)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(
    ("ahead", "reason"), [(-61, Reason.LATE), (-60, None), (0, None), (30, None), (31, Reason.EARLY)]
)
def test_the_window(ahead: int, reason: Reason | None, order: str, make_certificate: Certificates) -> None:
    window = Window(past=SECOND * 60, future=SECOND * 30)
    reader = WakeUpReader(GATEWAY, [make_certificate(KEY.public_key())], window)
    seconds = int(NOW.timestamp()) + ahead
    octets = seconds.to_bytes(8, "little" if order == "little" else "big")
    result = check(reader, signed(MESSAGE[:12] + octets + MESSAGE[20:32]))
    if reason is None:
        assert isinstance(result, Accepted)
        assert result.sent_at == NOW + ahead * SECOND
    elif order == "little":
        assert result == Refused(reason)
    else:
        assert isinstance(result, Refused)
        assert result.reason in {Reason.EARLY, Reason.LATE}


@pytest.mark.parametrize("octets", [b"\0" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\0" * 7 + b"\x80"])
def test_times_at_the_ends_of_the_number(reader: WakeUpReader, octets: bytes) -> None:
    result = check(reader, signed(MESSAGE[:12] + octets + MESSAGE[20:32]))
    assert isinstance(result, Refused)
    assert result.reason in {Reason.EARLY, Reason.LATE}


def test_a_gateway_that_does_not_know_the_time_is_not_woken(reader: WakeUpReader) -> None:
    assert check(reader, MESSAGE, None) == Refused(Reason.OWN_TIME)


def test_a_certificate_that_is_not_valid_now(make_certificate: Certificates) -> None:
    old = make_certificate(KEY.public_key(), not_after=NOW)
    assert isinstance(check(WakeUpReader(GATEWAY, [old]), MESSAGE, NOW), Accepted)
    assert check(WakeUpReader(GATEWAY, [old]), MESSAGE, NOW + SECOND) == Refused(Reason.CERTIFICATE)
    new = make_certificate(KEY.public_key(), not_before=NOW + SECOND)
    assert check(WakeUpReader(GATEWAY, [new]), MESSAGE, NOW) == Refused(Reason.CERTIFICATE)
    result = check(WakeUpReader(GATEWAY, [old, new]), MESSAGE, NOW + SECOND)
    assert result == Accepted(NOW, new)


def test_junk_never_reaches_the_signature(reader: WakeUpReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with a message besides its signature is found before any work with keys."""

    def never(*_: object) -> None:
        raise AssertionError("a signature was looked at")

    monkeypatch.setattr(Claim, "verify", never)
    junk = [MESSAGE[:offset] + bytes([MESSAGE[offset] ^ 0x80]) + MESSAGE[offset + 1 :] for offset in range(43)]
    for message in (*junk, b"", b"WU", bytes(108), MESSAGE + b"\0"):
        assert isinstance(reader.read(message, NOW), Refused)
    assert isinstance(reader.read(MESSAGE, NOW), Claim)


@pytest.mark.parametrize(
    ("code", "uses", "extended"),
    [
        ("wakeup.certificate.usage", ("key_agreement",), None),
        ("wakeup.certificate.usage", ("digital_signature", "key_agreement"), None),
        ("wakeup.certificate.usage", (), None),
        (
            "wakeup.certificate.usage",
            ("digital_signature",),
            x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]),
        ),
    ],
)
def test_only_sig_certificates_are_configured(
    code: str, uses: tuple[str, ...], extended: x509.ExtendedKeyUsage | None, make_certificate: Certificates
) -> None:
    with pytest.raises(GatewayError) as refused:
        WakeUpReader(GATEWAY, [make_certificate(KEY.public_key(), uses, extended)])
    assert refused.value.code == code


def test_what_can_not_be_configured_or_made(make_certificate: Certificates) -> None:
    meter = DeviceId.parse("1TST0000000001")
    other_curve = ec.generate_private_key(ec.SECP521R1())
    certificate = make_certificate(KEY.public_key())
    attempts: dict[str, Callable[[], object]] = {
        "wakeup.recipient": lambda: build_wake_up(meter, NOW, KEY),
        "wakeup.curve": lambda: build_wake_up(GATEWAY, NOW, other_curve),
        "wakeup.hash": lambda: build_wake_up(GATEWAY, NOW, KEY, hashes.SHA224()),
        "wakeup.certificate.missing": lambda: WakeUpReader(GATEWAY, []),
        "wakeup.certificate.curve": lambda: WakeUpReader(GATEWAY, [make_certificate(other_curve.public_key())]),
    }
    for code, attempt in attempts.items():
        with pytest.raises(GatewayError) as refused:
            attempt()
        assert refused.value.code == code
        assert refused.value.hint
    with pytest.raises(GatewayError, match="no gateway"):
        WakeUpReader(meter, [certificate])


def mix(octets: bytes, start: int, stop: int) -> bytes:
    """The message with something else between two offsets."""
    return MESSAGE[:start] + octets + MESSAGE[stop:]


ANYTHING = st.builds(mix, st.binary(max_size=200), st.integers(0, len(MESSAGE)), st.integers(0, len(MESSAGE)))


@settings(max_examples=200, deadline=None)
@given(ANYTHING)
def test_of_all_messages_one_is_accepted(reader: WakeUpReader, message: bytes) -> None:
    assert isinstance(check(reader, message), Accepted if message == MESSAGE else Refused)


@pytest.mark.slow
@settings(max_examples=50_000, deadline=None)
@given(ANYTHING)
def test_of_very_many_messages_one_is_accepted(reader: WakeUpReader, message: bytes) -> None:
    assert isinstance(check(reader, message), Accepted if message == MESSAGE else Refused)
