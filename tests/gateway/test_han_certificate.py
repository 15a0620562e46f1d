"""HAN certificates made and read; what the lint finds stands in ``test_certificate_cases.py``."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.asn1.curves import CURVES
from smpki.errors import GatewayError, PolicyError
from smpki.gateway.han_authority import lint_technician_ca, make_technician_ca
from smpki.gateway.han_certificate import (
    HanType,
    lint_han_certificate,
    make_ca_signed,
    make_self_signed,
    parse_han_certificate,
)
from smpki.gateway.han_names import HanRole, gateway_name, participant_name
from smpki.hsm.key import KeyUse
from smpki.policy.device_id import DeviceId
from smpki.policy.lint.certificate import Linter
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.names import DistinguishedName

GATEWAY, CLS = DeviceId.parse("eabc0012345678"), DeviceId.parse("1abc0012345678")
MADE_AT = datetime(2026, 2, 2, 8, 30, tzinfo=UTC)
TWO_YEARS = datetime(2028, 2, 2, 8, 30, tzinfo=UTC)
SERIAL = 0x5C1F3A9D00E1B2C3D4E5F60718293A4B
NAMES = {
    HanRole.GATEWAY: gateway_name(GATEWAY, administrator="Messwerk.GWA", organization="Messwerk"),
    HanRole.TECHNICIAN: participant_name(HanRole.TECHNICIAN, "4711", country="DE"),
    HanRole.CONSUMER: participant_name(HanRole.CONSUMER, "mustermann"),
    HanRole.CLS: participant_name(HanRole.CLS, CLS.dns, number=2),
}
VALUES = {"serial": SERIAL, "made_at": MADE_AT}


@pytest.fixture(scope="module")
def key():
    return ec.generate_private_key(ec.BrainpoolP256R1())


@pytest.fixture(scope="module")
def ca_key():
    return ec.generate_private_key(ec.BrainpoolP384R1())


@pytest.fixture(scope="module")
def ca(ca_key):
    name = DistinguishedName.parse("CN=Messwerk.CA, O=Messwerk, C=DE")
    return make_technician_ca(name, ca_key, **VALUES, not_after=MADE_AT + timedelta(days=3650))


@pytest.fixture
def openssl(tmp_path):
    def openssl(*arguments):
        """Run it; certificates among the arguments become files."""
        texts = []
        for number, argument in enumerate(arguments):
            if isinstance(argument, x509.Certificate):
                file = tmp_path / f"{number}.pem"
                file.write_bytes(argument.public_bytes(Encoding.PEM))
                argument = file
            texts.append(str(argument))
        return subprocess.run(["openssl", *texts], capture_output=True, check=True, text=True).stdout

    return openssl


@pytest.mark.requirement("REQ.ZertifikateHAN.Allgemein.10")
@pytest.mark.parametrize("hosts", [(), ("eabc0012345678.sm", "smgw.local")], ids=["bare", "with host names"])
@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("role", HanRole, ids=lambda role: role.value)
def test_what_is_made_of_type_a_keeps_to_the_profile(role, curve, hosts, openssl):
    own = ec.generate_private_key(CURVES[curve])
    made = make_self_signed(role, NAMES[role], own, **VALUES, host_names=hosts)
    found = parse_han_certificate(made.public_bytes(Encoding.DER))
    assert (found.certificate, found.type, found.role) == (made, HanType.SELF_SIGNED, role)
    findings = [finding.code for finding in lint_han_certificate(made, role, found.type)]
    assert findings == ([] if curve.startswith("brainpool") else ["tr-03116-3.5_1_1.public_key.not_brainpool"])
    text = openssl("x509", "-in", made, "-noout", "-text")
    assert "X509v3 Key Usage: \n                Digital Signature\n" in text
    assert "X509v3 Basic Constraints: \n                CA:FALSE\n" in text
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in text
    for purpose in ("sslserver", "sslclient"):
        at = int(MADE_AT.timestamp()) + 1
        openssl("verify", "-check_ss_sig", "-purpose", purpose, "-attime", at, "-CAfile", made, made)


@pytest.mark.requirement("REQ.ZertifikateHAN.Allgemein.10")
@pytest.mark.parametrize("curve", CURVES)
def test_what_is_made_of_type_b_keeps_to_the_profile(curve, ca, ca_key, openssl):
    public_key = ec.generate_private_key(CURVES[curve]).public_key()
    more = {"host_names": ["02005e100000.eui"], "crl_uris": ["http://crl.messwerk.example/1.crl"]}
    subject = NAMES[HanRole.TECHNICIAN]
    made = make_ca_signed(subject, public_key, ca, ca_key, **VALUES, not_after=TWO_YEARS, **more)
    found = parse_han_certificate(made.public_bytes(Encoding.DER))
    assert (found.certificate, found.type, found.role) == (made, HanType.CA_SIGNED, HanRole.TECHNICIAN)
    findings = [finding.code for finding in lint_han_certificate(made, HanRole.TECHNICIAN, found.type, issuer=ca)]
    assert findings == ([] if curve.startswith("brainpool") else ["tr-03116-3.5_1_1.public_key.not_brainpool"])
    assert lint_technician_ca(ca) == ()
    text = openssl("x509", "-in", made, "-noout", "-text")
    assert "X509v3 Key Usage: critical\n                Digital Signature\n" in text
    assert "X509v3 Basic Constraints: critical\n                CA:FALSE\n" in text
    assert "URI:http://crl.messwerk.example/1.crl" in text
    for purpose in ("sslserver", "sslclient"):
        at = int(MADE_AT.timestamp()) + 1
        openssl("verify", "-x509_strict", "-purpose", purpose, "-attime", at, "-CAfile", ca, made)


@pytest.mark.requirement("REQ.ZertifikateHAN.Allgemein.10")
def test_type_c_is_the_gateways_tls_certificate_of_the_sm_pki(workshop_of):
    workshop = workshop_of(Path(__file__).parent / "certificate_bases.yaml")
    found = parse_han_certificate(workshop.base("han-gateway-c").public_bytes(Encoding.DER))
    assert (found.type, found.role, found.device) == (HanType.SM_PKI_SIGNED, HanRole.GATEWAY, GATEWAY)
    what = found.certificate, found.role, found.type
    rules = Linter(load_policy(default_policy_text()), "test")
    assert lint_han_certificate(*what, linter=rules, issuer=workshop.base("sub-ca")) == ()
    with pytest.raises(ValueError, match="rules are missing"):
        lint_han_certificate(*what)


def test_the_fields_of_a_gateways_name_stand_in_order_and_are_printable(key):
    made = make_self_signed(HanRole.GATEWAY, NAMES[HanRole.GATEWAY], key, **VALUES)
    texts = ("CN=eabc0012345678.smgw", "O=Messwerk", "OU=Messwerk.GWA", "C=DE", "2.5.4.5=1")
    assert made.subject.rfc4514_string() == ",".join(reversed(texts))
    assert {attribute._type.name for attribute in made.subject} == {"PrintableString"}
    assert made.issuer == made.subject
    assert made.not_valid_after_utc == datetime(2033, 2, 2, 8, 30, tzinfo=UTC)


def test_keys_in_a_token_sign(token, key):
    own, of_ca = (token.generate(label, ec.BrainpoolP256R1(), KeyUse.SIGN) for label in ("han", "ca"))
    name = DistinguishedName.parse("CN=Messwerk.CA")
    ca = make_technician_ca(name, of_ca, **VALUES, not_after=TWO_YEARS)
    make_ca_signed(NAMES[HanRole.TECHNICIAN], key.public_key(), ca, of_ca, **VALUES, not_after=TWO_YEARS)
    make_self_signed(HanRole.GATEWAY, NAMES[HanRole.GATEWAY], own, **VALUES)


@pytest.mark.parametrize(
    ("role", "name", "where"),
    [
        (HanRole.GATEWAY, NAMES[HanRole.CONSUMER], "tr-03109-1-ds.4_4_2.common_name.form"),
        (HanRole.GATEWAY, gateway_name(CLS), "tr-03109-1-ds.4_4_2.common_name.sector"),
        (HanRole.GATEWAY, gateway_name(GATEWAY, number=0), "tr-03109-1-ds.4_4_2.serial_number.range"),
        (HanRole.GATEWAY, gateway_name(GATEWAY, organization="SM-PKI-DE"), "tr-03109-1-ds.4_4_2.organization.sm_pki"),
        (HanRole.CLS, participant_name(HanRole.CLS, "heatpump"), "tr-03109-1-ds.4_5_2.common_name.device_id"),
    ],
    ids=["another role", "a meter's id", "number 0", "SM-PKI", "no device id"],
)
def test_a_name_that_breaks_the_scheme_is_not_certified(key, role, name, where):
    with pytest.raises(GatewayError) as refused:
        make_self_signed(role, name, key, **VALUES)
    assert (refused.value.code, refused.value.where) == ("certificate.profile", where)


@pytest.mark.parametrize("country", ["DEU", "D", ""])
def test_a_country_that_is_none_is_not_certified(key, country):
    with pytest.raises(PolicyError) as refused:
        make_self_signed(HanRole.GATEWAY, gateway_name(GATEWAY, country=country), key, **VALUES)
    assert refused.value.code == "name.value"


@pytest.mark.parametrize("texts", [{"host_names": ["gerät.sm"]}, {"crl_uris": ["http://gerät.example/"]}], ids=str)
def test_what_is_not_ascii_is_refused(key, ca, ca_key, texts):
    with pytest.raises(GatewayError) as refused:
        make_ca_signed(NAMES[HanRole.TECHNICIAN], key.public_key(), ca, ca_key, **VALUES, not_after=TWO_YEARS, **texts)
    assert refused.value.code == "certificate.value"


def test_a_ca_signs_with_its_own_key_alone(key, ca):
    with pytest.raises(GatewayError) as refused:
        make_ca_signed(NAMES[HanRole.TECHNICIAN], key.public_key(), ca, key, **VALUES, not_after=TWO_YEARS)
    assert refused.value.where == "tr-03109-1-ds.4_3.signature.invalid"


def test_who_is_no_ca_signs_nobody(key):
    own = make_self_signed(HanRole.TECHNICIAN, NAMES[HanRole.TECHNICIAN], key, **VALUES)
    with pytest.raises(GatewayError) as refused:
        make_ca_signed(NAMES[HanRole.TECHNICIAN], key.public_key(), own, key, **VALUES, not_after=TWO_YEARS)
    assert refused.value.code == "certificate.issuer"


def test_a_name_of_another_kind_is_read_all_the_same(key):
    """Nobody has to interpret the CN of a participant."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Heat pump")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), SERIAL, MADE_AT, TWO_YEARS)
    found = parse_han_certificate(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))
    assert (found.type, found.role, found.device) == (HanType.SELF_SIGNED, None, None)
    assert found.fingerprint == found.certificate.fingerprint(hashes.SHA256())


def test_the_device_may_stand_in_the_host_name(key):
    made = make_self_signed(HanRole.CONSUMER, NAMES[HanRole.CONSUMER], key, **VALUES, host_names=["1abc0012345678.sm"])
    assert parse_han_certificate(made.public_bytes(Encoding.DER)).device == CLS


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_a_change_of_any_octet_is_refused_or_found(ca, ca_key, key):
    made = make_ca_signed(NAMES[HanRole.TECHNICIAN], key.public_key(), ca, ca_key, **VALUES, not_after=TWO_YEARS)
    data = made.public_bytes(Encoding.DER)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        try:
            found = parse_han_certificate(bytes(changed))
        except GatewayError as refused:
            assert refused.code == "certificate.unreadable", place
        else:
            assert lint_han_certificate(found.certificate, HanRole.TECHNICIAN, HanType.CA_SIGNED, issuer=ca), place
