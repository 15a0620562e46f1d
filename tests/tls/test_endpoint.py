"""What an endpoint asks for before it makes connections: the binding, a profile, an identity."""

import pickle
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.asn1.curves import CURVES
from smpki.errors import TlsError
from smpki.hsm.key import KeyUse
from smpki.tls import binding
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import CERTIFICATE_ALERTS, Alert, PeerRefused, exact_match
from smpki.tls.profile import (
    HAN_CLIENT,
    HAN_SERVER,
    LMN_CLIENT,
    LMN_SERVER,
    WAN_CLIENT,
    WAN_SERVER,
    Role,
    Version,
)

ALL = [WAN_CLIENT, WAN_SERVER, HAN_CLIENT, HAN_SERVER, LMN_CLIENT, LMN_SERVER]


class Lacking:
    """A binding of another release of cryptography, without one name."""

    def __init__(self, name):
        self.name = name

    def __getattr__(self, name):
        if name == self.name:
            raise AttributeError(name)
        return getattr(binding.lib, name)


@pytest.mark.parametrize("name", ["SSL_CTX_set1_curves_list", "SSL_CTX_set1_sigalgs_list", "X509_STORE_CTX_set_error"])
def test_a_binding_without_what_the_rules_need_is_refused(name):
    with pytest.raises(TlsError) as refused:
        binding.require(Lacking(name))
    assert refused.value.code == "tls.binding"
    assert name in refused.value.message
    assert "pyproject.toml" in refused.value.hint


def test_the_installed_binding_has_all():
    binding.require()


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
def test_profiles_by_their_links(profile):
    link, role = profile.name.split()
    assert profile.role is Role(role)
    assert profile.versions == set(Version)
    assert profile.session_limit == (timedelta(days=31) if link == "LMN" else timedelta(hours=48))
    assert profile.resumption is (link == "LMN")
    assert profile.record_limit == (2034 if link == "LMN" else None)
    of_certificates = 1 if link == "WAN" else 5
    assert len(profile.certificate_curves) == of_certificates


@pytest.mark.parametrize(
    "change",
    [
        {"suites": (*WAN_CLIENT.suites, "TLS_CHACHA20_POLY1305_SHA256")},
        {"groups": (*WAN_CLIENT.groups, "x25519")},
        {"signature_algorithms": (*WAN_CLIENT.signature_algorithms, "ed25519")},
        {"signature_algorithms_cert": ("rsa_pkcs1_sha256",)},
        {"certificate_curves": ("secp521r1",)},
        {"versions": frozenset()},
        {"suites": ("TLS_AES_128_GCM_SHA256",)},
        {"groups": ("brainpoolP256r1",)},
        {"signature_algorithms": ("ecdsa_sha512",)},
        {"groups": ("secp256r1", "brainpoolP384r1")},
        {"record_limit": 100},
    ],
    ids=str,
)
def test_a_profile_outside_the_lists_is_refused(change):
    with pytest.raises(TlsError) as refused:
        replace(WAN_CLIENT, **change)
    assert (refused.value.code, refused.value.where) == ("tls.profile", "WAN client")
    assert refused.value.hint


@pytest.fixture
def refusal(clock):
    """How an endpoint with this identity is refused."""

    def ask(identity, profile=WAN_CLIENT, check=lambda _chain: None):
        with pytest.raises(TlsError) as refused:
            Endpoint(profile, identity, check, clock=clock)
        assert binding.lib.ERR_peek_error() == 0
        assert refused.value.hint
        return refused.value

    return ask


def test_a_server_needs_an_identity_and_a_client_a_check(refusal, identity):
    assert refusal(None, WAN_SERVER).code == "tls.endpoint.identity"
    assert refusal(identity("gateway"), WAN_CLIENT, None).code == "tls.endpoint.check"


def test_a_key_that_is_not_the_certificates_is_refused_without_a_word_about_it(refusal, identity):
    other = identity("other").key
    error = refusal(Identity(identity("gateway").certificates, other))
    assert error.code == "tls.identity.mismatch"
    assert error.__cause__ is error.__context__ is None or error.__suppress_context__
    number = other.private_numbers().private_value
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    said = repr(error) + repr(error.as_dict())
    assert str(number) not in said
    assert not any(line in said for line in pem.splitlines())


@pytest.mark.parametrize("curve", ["secp256r1", "brainpoolP384r1"])
def test_in_the_wan_the_own_key_is_on_one_curve(curve, refusal, identity):
    assert refusal(identity("gateway", curve)).code == "tls.identity.curve"


def test_an_rsa_key_is_refused(refusal, certificate):
    key = rsa.generate_private_key(65537, 2048)
    assert refusal(Identity((certificate("gateway", key),), key), HAN_CLIENT).code == "tls.identity.curve"


def test_a_key_on_an_unknown_curve_is_refused(refusal, certificate):
    key = ec.generate_private_key(ec.SECP521R1())
    assert refusal(Identity((certificate("gateway", key),), key), LMN_SERVER).code == "tls.identity.curve"


def test_an_identity_without_a_certificate_is_refused(refusal, identity):
    assert refusal(Identity((), identity("gateway").key)).code == "tls.identity.empty"


def test_a_token_s_key_is_refused_with_the_way_that_works(token, refusal, certificate):
    key = token.generate("TLS", CURVES["brainpoolP256r1"], KeyUse.SIGN)
    error = refusal(Identity((certificate("gateway", key),), key))
    assert error.code == "tls.identity.token_key"
    assert "ProviderKey" in error.hint


def test_what_can_be_resumed_says_nothing_secret(ends, pump):
    client, server = (endpoint.connection() for endpoint in ends(client=LMN_CLIENT, server=LMN_SERVER))
    pump(client, server)
    assert "native" not in repr(client.session)


@pytest.mark.parametrize("alert", sorted(set(Alert) - CERTIFICATE_ALERTS), ids=lambda alert: alert.name)
def test_a_refusal_with_an_alert_that_can_not_be_sent_is_a_mistake(alert):
    with pytest.raises(ValueError, match=alert.name):
        PeerRefused("tls.peer.test", "no", alert=alert)


def test_refusals_cross_processes(clock, certificate, identity):
    check = exact_match([], now=clock)
    with pytest.raises(PeerRefused) as refused:
        check(identity("gateway").certificates)
    again = pickle.loads(pickle.dumps(refused.value))
    assert (again.as_dict(), again.alert) == (refused.value.as_dict(), Alert.BAD_CERTIFICATE)
    assert str(again) == str(refused.value)
