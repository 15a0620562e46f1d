"""The certificates of LMN and HAN where they are for: in TLS."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.curves import CURVES
from smpki.gateway.han_authority import make_technician_ca
from smpki.gateway.han_certificate import make_ca_signed, make_self_signed
from smpki.gateway.han_names import HanRole, gateway_name, participant_name
from smpki.gateway.lmn_certificate import make_lmn_certificate
from smpki.policy.device_id import DeviceId
from smpki.policy.names import DistinguishedName
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import Alert, pinned
from smpki.tls.profile import HAN_CLIENT, HAN_SERVER, LMN_CLIENT, LMN_SERVER
from smpki.trust.tls_peer import TrustMaterial, trusted

GATEWAY, METER = DeviceId.parse("eabc0012345678"), DeviceId.parse("1abc0012345678")
MADE_AT = datetime(2026, 2, 2, 8, 30, tzinfo=UTC)
VALUES = {"serial": 2**100, "made_at": MADE_AT}


def now():
    return MADE_AT + timedelta(days=30)


def lmn(device, curve="brainpoolP256r1", **options):
    key = ec.generate_private_key(CURVES[curve])
    return Identity((make_lmn_certificate(device, key, **(VALUES | options)).certificate,), key)


def han(role, subject):
    key = ec.generate_private_key(ec.BrainpoolP256R1())
    return Identity((make_self_signed(role, subject, key, **VALUES),), key)


def fingerprint(identity):
    return identity.certificates[0].fingerprint(hashes.SHA256())


def expects(identity):
    return pinned([fingerprint(identity)])


@pytest.mark.requirement("REQ.ZertifikateLMN.Allgemein.10", "REQ.TA.TLS.Handshake.170")
@pytest.mark.parametrize("curve", CURVES)
def test_gateway_and_meter_meet_by_fingerprint(curve, shake_hands):
    gateway, meter = lmn(GATEWAY), lmn(METER, curve)
    ends = (
        Endpoint(LMN_CLIENT, gateway, expects(meter), clock=now),
        Endpoint(LMN_SERVER, meter, expects(gateway), clock=now),
    )
    assert shake_hands(*ends) == (None, None)


@pytest.mark.requirement("REQ.TA.TLS.Handshake.170")
def test_dates_of_self_signed_certificates_need_not_hold(shake_hands):
    gateway, meter = lmn(GATEWAY), lmn(METER, not_after=MADE_AT + timedelta(days=1))
    ends = (
        Endpoint(LMN_CLIENT, gateway, expects(meter), clock=now),
        Endpoint(LMN_SERVER, meter, expects(gateway), clock=now),
    )
    assert shake_hands(*ends) == (None, None)


@pytest.mark.requirement("REQ.TA.TLS.Handshake.170")
def test_another_certificate_of_the_same_name_is_refused(shake_hands):
    gateway, meter, other = lmn(GATEWAY), lmn(METER), lmn(METER)
    ends = (
        Endpoint(LMN_CLIENT, gateway, expects(meter), clock=now),
        Endpoint(LMN_SERVER, other, expects(gateway), clock=now),
    )
    refused, told = shake_hands(*ends)
    assert (refused.code, told.code, told.alert) == ("tls.peer.unknown", "tls.alert", Alert.BAD_CERTIFICATE)


@pytest.mark.requirement("REQ.ZertifikateHAN.Allgemein.10", "REQ.TA.TLS.Handshake.170")
def test_a_cls_and_the_gateway_meet_by_fingerprint(shake_hands):
    gateway = han(HanRole.GATEWAY, gateway_name(GATEWAY))
    cls = han(HanRole.CLS, participant_name(HanRole.CLS, METER.dns))
    for client, server in ((cls, gateway), (gateway, cls)):
        ends = (
            Endpoint(HAN_CLIENT, client, expects(server), clock=now),
            Endpoint(HAN_SERVER, server, expects(client), clock=now),
        )
        assert shake_hands(*ends) == (None, None)


@pytest.fixture(scope="module")
def technicians():
    """Two CAs for technicians, and a technician of each."""
    found = []
    for name in ("Messwerk", "Zaehlerbau"):
        ca_key, key = ec.generate_private_key(ec.BrainpoolP384R1()), ec.generate_private_key(ec.BrainpoolP256R1())
        end = MADE_AT + timedelta(days=700)
        ca = make_technician_ca(DistinguishedName.parse(f"CN={name}.CA"), ca_key, **VALUES, not_after=end)
        subject = participant_name(HanRole.TECHNICIAN, "4711")
        own = make_ca_signed(subject, key.public_key(), ca, ca_key, **VALUES, not_after=end)
        found.append((ca, ca_key, Identity((own, ca), key)))
    return found


def revocation_list(ca, key, *revoked):
    entries = [
        x509.RevokedCertificateBuilder(certificate.serial_number, MADE_AT + timedelta(days=1)).build()
        for certificate in revoked
    ]
    builder = x509.CertificateRevocationListBuilder(
        ca.subject, now() - timedelta(days=1), now() + timedelta(days=1), [], entries
    )
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
    return builder.add_extension(x509.CRLNumber(1), False).sign(key, hashes.SHA384())


@pytest.mark.requirement("REQ.ZertifikateHAN.Allgemein.10", "REQ.TA.TLS.Handshake.20")
def test_technicians_come_in_by_their_ca(technicians, shake_hands):
    (ca, ca_key, technician), (_, _, stranger) = technicians
    gateway = han(HanRole.GATEWAY, gateway_name(GATEWAY))
    own = technician.certificates[0]
    for who, revoked, alert in (
        (technician, (), None),
        (technician, (own,), Alert.CERTIFICATE_REVOKED),
        (stranger, (), Alert.UNKNOWN_CA),
    ):
        material = TrustMaterial((ca,), crls=(revocation_list(ca, ca_key, *revoked),))
        check = trusted(lambda material=material: material, now=now, use=None)
        ends = (
            Endpoint(HAN_CLIENT, who, expects(gateway), clock=now),
            Endpoint(HAN_SERVER, gateway, check, clock=now),
        )
        told, _ = shake_hands(*ends)
        assert (told and told.alert) == alert
