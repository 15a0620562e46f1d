"""Who is let in by chain and revocation list, and the alert that reaches who isn't."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import Alert, PeerRefused, exact_match
from smpki.tls.profile import WAN_CLIENT, WAN_SERVER, Version
from smpki.trust.question import Revocation
from smpki.trust.tls_peer import TrustMaterial, all_of, held_by, trusted
from smpki.trust.validate import validate

GATEWAYS = (CertificateType.SMGW_G, CertificateType.SMGW_W)


@pytest.fixture
def now(pki):
    return lambda: pki.AT


@pytest.fixture
def material(pki):
    return TrustMaterial((pki.new.root.certificate,), pki.new.helpers, pki.new.crls())


@pytest.fixture
def check(material, now):
    """``check(crls=..., now=..., roles=...)``: a check with the new generation's root, Sub-CA and lists."""

    def make(**options):
        parts = {name: options.pop(name) for name in ("roots", "authorities", "crls") if name in options}
        present = replace(material, **parts)
        return trusted(lambda: present, **({"now": now} | options))

    return make


def identity(holder, *above):
    return Identity((holder.certificate, *(one.certificate for one in above)), holder.key)


def tampered(holder):
    """The certificate with another serial number than its CA signed."""
    data = bytearray(holder.certificate.public_bytes(Encoding.DER))
    place = data.find(b"\x02\x02") + 3
    data[place] ^= 1
    return replace(holder, certificate=x509.load_der_x509_certificate(bytes(data)))


class Cases:
    """For each alert a peer who gets it: who the peer is, and what the check is made with."""

    def __init__(self, pki):
        self.pki, self.new = pki, pki.new

    def gateway(self, **options):
        crl = options.pop("crl", self.new.of_sub_ca)
        name = f"CN=EABC0012345678.SMGW, {self.pki.TEST}, OU=Admin.GWA, serialNumber=1"
        return self.pki.issue(
            name, options.pop("issuer", self.new.sub_ca), options.pop("usage", "tls"), crl=crl, **options
        )

    def revoked(self):
        return self.new.gateway, {"crls": self.new.crls(self.pki.Entry(self.new.gateway.certificate))}

    def suspended(self):
        entry = self.pki.Entry(self.new.gateway.certificate, x509.ReasonFlags.certificate_hold)
        return self.new.gateway, {"crls": self.new.crls(entry)}

    def under_a_revoked_sub_ca(self):
        return self.new.gateway, {"crls": self.new.crls(self.pki.Entry(self.new.sub_ca.certificate))}

    def expired(self):
        return self.gateway(end=self.pki.AT - timedelta(seconds=1)), {}

    def not_yet_valid(self):
        return self.gateway(begin=self.pki.AT + timedelta(seconds=1)), {}

    def of_another_root(self):
        return self.pki.old.gateway, {}

    def of_an_unknown_sub_ca(self):
        return self.new.gateway, {"authorities": ()}

    def self_signed(self):
        return self.gateway(issuer=None, crl=None), {}

    def for_signatures(self):
        return self.gateway(usage="sig"), {}

    def for_clients_only(self):
        purposes = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH])
        return self.gateway(usage="sig", more=[purposes]), {}

    def of_another_role(self):
        return self.new.emt["tls"], {"roles": GATEWAYS}

    def with_a_bad_signature(self):
        return tampered(self.new.gateway), {}

    def without_a_list(self):
        return self.new.gateway, {"crls": ()}

    def with_a_stale_list(self):
        begin, end = self.pki.AT - timedelta(days=8), self.pki.AT - timedelta(days=1)
        return self.new.gateway, {"crls": self.new.crls(begin=begin, end=end)}


ALERTS = {
    "revoked": Alert.CERTIFICATE_REVOKED,
    "suspended": Alert.CERTIFICATE_REVOKED,
    "under_a_revoked_sub_ca": Alert.CERTIFICATE_REVOKED,
    "expired": Alert.CERTIFICATE_EXPIRED,
    "not_yet_valid": Alert.CERTIFICATE_EXPIRED,
    "of_another_root": Alert.UNKNOWN_CA,
    "of_an_unknown_sub_ca": Alert.UNKNOWN_CA,
    "self_signed": Alert.UNKNOWN_CA,
    "for_signatures": Alert.UNSUPPORTED_CERTIFICATE,
    "for_clients_only": Alert.UNSUPPORTED_CERTIFICATE,
    "of_another_role": Alert.UNSUPPORTED_CERTIFICATE,
    "with_a_bad_signature": Alert.BAD_CERTIFICATE,
    "without_a_list": Alert.CERTIFICATE_UNKNOWN,
    "with_a_stale_list": Alert.CERTIFICATE_UNKNOWN,
}


@pytest.mark.requirement("REQ.TA.TLS.Handshake.20", "REQ.TA.TLS.Handshake.130")
@pytest.mark.parametrize("refusing", ["client", "server"])
@pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
@pytest.mark.parametrize("case", ALERTS)
def test_each_alert_reaches_the_other_side(case, version, refusing, pki, check, now, shake_hands):
    peer, options = getattr(Cases(pki), case)()
    refuses, accepts = check(**options), exact_match([pki.new.emt["tls"].certificate], now=None)
    ends = []
    for profile in (WAN_CLIENT, WAN_SERVER):
        is_refusing = profile.role.value == refusing
        who = identity(pki.new.emt["tls"]) if is_refusing else identity(peer)
        mine = refuses if is_refusing else accepts
        ends.append(Endpoint(replace(profile, versions=frozenset({version})), who, mine, clock=now))
    failed = dict(zip(("client", "server"), shake_hands(*ends), strict=True))
    other = "server" if refusing == "client" else "client"
    assert isinstance(failed[refusing], PeerRefused)
    assert (failed[refusing].alert, failed[other].code, failed[other].alert) == (
        ALERTS[case],
        "tls.alert",
        ALERTS[case],
    )


@pytest.mark.requirement("REQ.TA.TLS.Handshake.20", "REQ.TA.TLS.Handshake.160")
@pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
def test_who_holds_and_is_configured_is_let_in(version, pki, check, now, shake_hands):
    gateway, administrator = pki.new.gateway, pki.new.emt["tls"]
    of_client = all_of(exact_match([administrator.certificate], now=now), check(roles=[CertificateType.EMT]))
    of_server = all_of(check(roles=GATEWAYS), held_by([DistinguishedName.from_x509(gateway.name)]))
    ends = [
        Endpoint(replace(profile, versions=frozenset({version})), identity(who), mine, clock=now)
        for profile, who, mine in ((WAN_CLIENT, gateway, of_client), (WAN_SERVER, administrator, of_server))
    ]
    assert shake_hands(*ends) == (None, None)


@pytest.mark.requirement("REQ.TA.TLS.Handshake.160")
def test_a_server_that_holds_but_is_not_configured_is_refused(pki, check, now, shake_hands):
    of_client = all_of(check(), exact_match([pki.old.emt["tls"].certificate], now=now))
    client = Endpoint(WAN_CLIENT, identity(pki.new.gateway), of_client, clock=now)
    server = Endpoint(WAN_SERVER, identity(pki.new.emt["tls"]), check(), clock=now)
    refused, told = shake_hands(client, server)
    assert (refused.code, told.code, told.alert) == ("tls.peer.unknown", "tls.alert", Alert.BAD_CERTIFICATE)


@pytest.mark.requirement("REQ.TA.TLS.Handshake.160")
def test_dates_count_but_for_the_time_of_a_clock_that_is_not_trusted(pki, shake_hands):
    server = pki.new.emt["tls"]
    late = lambda: server.certificate.not_valid_after_utc + timedelta(days=1)  # noqa: E731
    for now, alert in ((late, Alert.CERTIFICATE_EXPIRED), (None, None)):
        mine = exact_match([server.certificate], now=now)
        client = Endpoint(WAN_CLIENT, identity(pki.new.gateway), mine, clock=late)
        accepts = exact_match([pki.new.gateway.certificate], now=None)
        failed, _ = shake_hands(client, Endpoint(WAN_SERVER, identity(server), accepts, clock=late))
        assert (failed and failed.alert) == alert


def test_what_the_peer_sends_helps_to_find_the_chain(pki, check, now, shake_hands):
    mine = check(authorities=(pki.new.crl_signer.certificate,))
    of_peer = exact_match([pki.new.gateway.certificate], now=None)
    server = Endpoint(WAN_SERVER, identity(pki.new.emt["tls"], pki.new.sub_ca), of_peer, clock=now)
    assert shake_hands(Endpoint(WAN_CLIENT, identity(pki.new.gateway), mine, clock=now), server) == (None, None)


def refusal(check, *holders):
    with pytest.raises(PeerRefused) as refused:
        check(tuple(holder.certificate for holder in holders))
    return refused.value


def test_a_new_list_takes_effect_at_once(pki, material, now):
    gateway = pki.new.gateway
    present = [material]
    check = trusted(lambda: present[0], now=now)
    check((gateway.certificate,))
    check((gateway.certificate,))
    present[0] = replace(material, crls=pki.new.crls(pki.Entry(gateway.certificate), number=2))
    assert refusal(check, gateway).alert == Alert.CERTIFICATE_REVOKED
    present[0] = replace(material, crls=pki.new.crls(number=3))
    check((gateway.certificate,))


def test_what_was_accepted_is_not_worked_out_again(pki, material, now, monkeypatch):
    asked = []
    present = [material]
    check = trusted(lambda: present[0], now=now)
    monkeypatch.setattr("smpki.trust.tls_peer.validate", lambda question: asked.append(question) or validate(question))
    for _ in range(3):
        check((pki.new.gateway.certificate,))
    assert len(asked) == 1
    check((pki.new.emt["tls"].certificate,))
    assert len(asked) == 2
    present[0] = replace(material)
    check((pki.new.gateway.certificate,))
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("days", "alert"),
    [
        (5.9, None),
        (6.1, Alert.CERTIFICATE_UNKNOWN),
        (366, Alert.CERTIFICATE_EXPIRED),
        (-1.1, Alert.CERTIFICATE_UNKNOWN),
        (-366, Alert.CERTIFICATE_EXPIRED),
    ],
    ids=["list current", "list stale", "expired", "before the list", "before the certificate"],
)
def test_what_was_accepted_holds_until_the_next_date_only(days, alert, pki, material):
    moment = [pki.AT]
    check = trusted(lambda: material, now=lambda: moment[0])
    gateway = pki.new.gateway
    check((gateway.certificate,))
    moment[0] += timedelta(days=days)
    if alert is None:
        check((gateway.certificate,))
    else:
        assert refusal(check, gateway).alert == alert


def test_a_certificate_that_ends_this_second_is_not_remembered(pki, check):
    moment = [pki.new.gateway.certificate.not_valid_after_utc]
    crls = pki.new.crls(begin=moment[0] - timedelta(days=1), end=moment[0] + timedelta(days=1))
    mine = check(crls=crls, now=lambda: moment[0])
    mine((pki.new.gateway.certificate,))
    moment[0] += timedelta(microseconds=1)
    assert refusal(mine, pki.new.gateway).alert == Alert.CERTIFICATE_EXPIRED


def fails():
    raise OSError("the disk is gone")


@pytest.mark.parametrize(
    "options",
    [{"now": fails}, {"now": lambda: None}, {"roots": ()}, {"crls": 5}, {"roles": 5}],
    ids=["no clock", "no time", "no roots", "no lists", "no roles"],
)
def test_whatever_goes_wrong_refuses(options, pki, check):
    refused = refusal(check(**options), pki.new.gateway)
    assert (refused.code, refused.alert) == ("tls.peer.unchecked", Alert.CERTIFICATE_UNKNOWN)


def test_material_that_is_out_of_reach_refuses(pki, now):
    assert refusal(trusted(fails, now=now), pki.new.gateway).code == "tls.peer.unchecked"


def test_without_a_chain_nobody_is_let_in(check):
    with pytest.raises(PeerRefused):
        check()(())


def test_the_most_telling_alert_goes_out(pki, check):
    """Unknown and for signatures only; revoked and of another role."""
    stranger = Cases(pki).gateway(usage="sig", issuer=None, crl=None)
    assert refusal(check(), stranger).alert == Alert.UNKNOWN_CA
    revoked, options = Cases(pki).revoked()
    found = refusal(check(roles=[CertificateType.EMT], **options), revoked)
    assert (found.alert, found.code) == (Alert.CERTIFICATE_REVOKED, "trust.certificate.revoked")
    assert "EABC0012345678.SMGW" in found.where
    assert found.hint


def test_lists_may_be_a_matter_of_choice(pki, check):
    check(crls=(), revocation=Revocation.IF_KNOWN)((pki.new.gateway.certificate,))
    revoked, options = Cases(pki).revoked()
    assert refusal(check(revocation=Revocation.IF_KNOWN, **options), revoked).alert == Alert.CERTIFICATE_REVOKED
    check(revocation=Revocation.IGNORED, **options)((revoked.certificate,))


def test_a_holder_counts_by_name_over_all_its_certificates(pki):
    check = held_by([DistinguishedName.parse("cn=firma.emt, O=SM-Test-PKI-DE")])
    for generation in (pki.old, pki.new):
        check((generation.emt["tls"].certificate,))
    refused = refusal(check, pki.new.gateway)
    assert (refused.code, refused.alert) == ("tls.peer.holder", Alert.CERTIFICATE_UNKNOWN)
    nameless = pki.issue(x509.Name([]), None, "tls")
    assert refusal(check, nameless).code == "tls.peer.holder"


def test_all_of_several_checks_in_their_order(pki):
    asked = []
    assert all_of()((pki.new.gateway.certificate,)) is None
    all_of(lambda chain: asked.append(1), lambda chain: asked.append(2))((pki.new.gateway.certificate,))
    assert asked == [1, 2]
    refused = refusal(all_of(held_by([]), lambda chain: asked.append(3)), pki.new.gateway)
    assert (refused.code, asked) == ("tls.peer.holder", [1, 2])
