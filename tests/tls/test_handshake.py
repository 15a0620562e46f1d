"""What both ends agree on."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import tls_wire
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL

from smpki.asn1.curves import CURVES
from smpki.errors import TlsError
from smpki.tls import binding
from smpki.tls.connection import Data, Established
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import pinned
from smpki.tls.profile import (
    HAN_CLIENT,
    HAN_SERVER,
    LMN_CLIENT,
    LMN_SERVER,
    WAN_CLIENT,
    WAN_SERVER,
    Version,
)
from smpki.tls.suites import GROUPS, SUITES

TLS12, TLS13 = Version.TLS12, Version.TLS13
LINKS = {"WAN": (WAN_CLIENT, WAN_SERVER), "HAN": (HAN_CLIENT, HAN_SERVER), "LMN": (LMN_CLIENT, LMN_SERVER)}
CHOICES = [(version, name) for version in Version for name in SUITES if version in SUITES[name].versions]
MEETINGS = [
    ({TLS12}, {TLS12}, TLS12),
    ({TLS12}, {TLS12, TLS13}, TLS12),
    ({TLS12, TLS13}, {TLS12}, TLS12),
    ({TLS12, TLS13}, {TLS12, TLS13}, TLS13),
    ({TLS13}, {TLS12, TLS13}, TLS13),
    ({TLS12, TLS13}, {TLS13}, TLS13),
    ({TLS13}, {TLS13}, TLS13),
]


def both_say_something(client, server):
    client.send(b"question")
    assert server.receive(client.data_to_send()) == [Data(b"question")]
    server.send(b"answer")
    assert client.receive(server.data_to_send()) == [Data(b"answer")]


@pytest.mark.requirement(
    *("REQ.TA.TLS.Handshake.10", "REQ.TA.TLS.Handshake.180", "REQ.TA.TLS.Handshake.190"),
    *("REQ.TA.TLS.OpenWanSessionAsClient.10", "REQ.TA.TLS.OpenHanSessionAsClient.10"),
    *("REQ.TA.TLS.OpenHanSessionAsServer.10", "REQ.TA.TLS.OpenLmnSessionAsClient.10"),
    "REQ.TA.TLS.OpenLmnSessionAsServer.10",
)
@pytest.mark.parametrize(("of_client", "of_server", "agreed"), MEETINGS)
@pytest.mark.parametrize("link", LINKS)
def test_the_highest_version_of_both_sides_is_used(link, of_client, of_server, agreed, ends, pump):
    client_profile, server_profile = LINKS[link]
    client = ends(of_client, client=client_profile)[0].connection()
    server = ends(of_server, server=server_profile)[1].connection()
    assert pump(client, server) == ([Established()], [Established()])
    assert client.version is server.version is agreed
    both_say_something(client, server)


@pytest.mark.requirement(
    *("REQ.TA.TLS.Handshake.30", "REQ.TA.TLS.OpenWanSessionAsClient.20", "REQ.TA.TLS.OpenHanSessionAsClient.20"),
    *("REQ.TA.TLS.OpenLmnSessionAsClient.40", "REQ.TA.TLS.OpenLmnSessionAsServer.20"),
)
@pytest.mark.parametrize(("version", "suite"), CHOICES, ids=lambda value: getattr(value, "value", value))
@pytest.mark.parametrize("narrow", ["client", "server"])
@pytest.mark.parametrize("link", LINKS)
def test_each_cipher_suite_works_with_a_peer_that_has_no_other(link, version, suite, narrow, ends, pump):
    profiles = dict(zip(("client", "server"), LINKS[link], strict=True))
    profiles[narrow] = replace(profiles[narrow], versions=frozenset({version}), suites=(suite,))
    client, server = (endpoint.connection() for endpoint in ends({version}, **profiles))
    pump(client, server)
    assert client.suite == server.suite == suite
    both_say_something(client, server)


@pytest.mark.requirement(
    *("REQ.TA.TLS.Handshake.30", "REQ.TA.TLS.Handshake.50", "REQ.TA.TLS.Handshake.70"),
    *("REQ.TA.TLS.OpenWanSessionAsClient.20", "REQ.TA.TLS.OpenHanSessionAsClient.20"),
    *("REQ.TA.TLS.OpenLmnSessionAsClient.40", "REQ.TA.TLS.OpenLmnSessionAsServer.20"),
)
@pytest.mark.parametrize(
    ("version", "group"),
    [(version, name) for name in GROUPS for version in Version if version in GROUPS[name].versions],
)
@pytest.mark.parametrize("narrow", ["client", "server"])
@pytest.mark.parametrize("link", LINKS)
def test_each_group_works_with_a_peer_that_has_no_other(link, version, group, narrow, ends, pump):
    of_certificates = "brainpoolP256r1" if version is TLS12 else group  # RFC 8422 5.3 wants that curve as well
    groups = tuple(dict.fromkeys((group, of_certificates)))
    restrictions = {"versions": frozenset({version}), "groups": groups, "certificate_curves": ("brainpoolP256r1",)}
    profiles = dict(zip(("client", "server"), LINKS[link], strict=True))
    profiles[narrow] = replace(profiles[narrow], **restrictions)
    if version is TLS12:  # the server decides
        profiles["server"] = replace(profiles["server"], **restrictions)
    client, server = (endpoint.connection() for endpoint in ends({version}, **profiles))
    pump(client, server)
    assert client.group == server.group == group


@pytest.mark.requirement("REQ.TA.TLS.Handshake.30")
@pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
@pytest.mark.parametrize("of_client", CURVES)
@pytest.mark.parametrize("of_server", CURVES)
def test_self_signed_certificates_on_any_curve_pinned_at_both_ends(of_server, of_client, version, ends, identity, pump):
    ours, theirs = identity("gateway", of_client), identity("meter", of_server)
    know_meter, know_gateway = (pinned([one.certificates[0].fingerprint(SHA256())]) for one in (theirs, ours))
    checks = {"client_check": know_meter, "server_check": know_gateway}
    both = ends({version}, client=LMN_CLIENT, server=LMN_SERVER, ours=ours, theirs=theirs, **checks)
    client, server = (endpoint.connection() for endpoint in both)
    pump(client, server)
    assert (client.peer_certificate, server.peer_certificate) == (theirs.certificates[0], ours.certificates[0])
    both_say_something(client, server)


@pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
def test_the_chain_of_an_identity_reaches_the_check_of_the_peer(version, ends, identity, certificate, clock, pump):
    ours, theirs = identity("gateway"), identity("administrator")
    issuer = identity("issuer")
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "administrator")])
    builder = x509.CertificateBuilder(issuer.certificates[0].subject, subject, theirs.key.public_key(), 77)
    builder = builder.not_valid_before(clock.now).not_valid_after(clock.now)
    issued = Identity((builder.sign(issuer.key, SHA256()), issuer.certificates[0]), theirs.key)
    seen = []
    endpoints = ends({version}, ours=ours, theirs=issued, client_check=seen.append)
    client, server = (endpoint.connection() for endpoint in endpoints)
    pump(client, server)
    assert seen == [issued.certificates] == [client.peer_chain]


@pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
def test_a_home_server_may_leave_authentication_of_the_client_to_http(version, ends, identity, clock, pump):
    client_side = ends({version}, client=HAN_CLIENT)[0]
    profile = replace(HAN_SERVER, versions=frozenset({version}))
    server = Endpoint(profile, identity("administrator"), None, clock=clock).connection()
    client = client_side.connection()
    pump(client, server)
    assert server.peer_certificate is None
    assert client.peer_certificate == identity("administrator").certificates[0]


@pytest.mark.requirement("REQ.TA.TLS.OpenHanSessionAsServer.20")
@pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
def test_a_certificate_for_clients_serves_at_both_ends_of_a_home_s_connection(
    version, ends, identity, certificate, clock, pump
):
    for_clients = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH])
    who = [
        Identity((certificate(name, identity(name).key, extensions=[for_clients]),), identity(name).key)
        for name in ("gateway", "administrator")
    ]
    both = ends({version}, client=HAN_CLIENT, server=HAN_SERVER, ours=who[0], theirs=who[1])
    client, server = (endpoint.connection() for endpoint in both)
    pump(client, server)
    assert (server.peer_certificate, client.peer_certificate) == (who[0].certificates[0], who[1].certificates[0])


@pytest.mark.requirement("REQ.TA.TLS.Handshake.80")
@pytest.mark.parametrize(
    "suite", ["TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"]
)
def test_with_cbc_both_sides_agree_on_encrypt_then_mac(suite, ends):
    endpoints = ends({TLS12}, client=replace(WAN_CLIENT, versions=frozenset({TLS12}), suites=(suite,)))
    client, server = (endpoint.connection() for endpoint in endpoints)
    client.start()
    server.receive(client.data_to_send())
    answer = tls_wire.read_hello(server.data_to_send())
    assert answer.suites == [SUITES[suite].code]
    assert answer.extensions[tls_wire.ENCRYPT_THEN_MAC] == b""


def test_a_server_prefers_gcm_whatever_the_client_prefers(ends, bare, identity, pump, drive):
    def tune(context):
        suites = (SUITES[name].library for name in reversed(WAN_CLIENT.suites) if TLS12 in SUITES[name].versions)
        binding.set_suites(context, suites, ())
        context.set_max_proto_version(SSL.TLS1_2_VERSION)

    server = ends()[1].connection()
    assert drive(bare(server=False, identity=identity("gateway"), tune=tune), server).server_error is None
    assert server.suite == "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"


@pytest.mark.requirement("REQ.TA.TLS.Handshake.90")
def test_both_sides_of_tls_1_2_use_the_extended_master_secret(ends, pump):
    client, server = (endpoint.connection() for endpoint in ends({TLS12}))
    pump(client, server)
    assert client.extended_master_secret
    assert server.extended_master_secret


@pytest.mark.requirement("REQ.TA.TLS.OpenWanSessionAsClient.30", "REQ.TA.TLS.OpenHanSessionAsClient.30")
@pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
@pytest.mark.parametrize("link", ["WAN", "HAN"])
def test_a_server_sees_the_name_that_the_client_asks_for(link, version, ends, pump):
    client_profile, server_profile = LINKS[link]
    client_side, server_side = ends({version}, client=client_profile, server=server_profile)
    client, server = client_side.connection(server_name="gwa-1.example.net"), server_side.connection()
    pump(client, server)
    assert server.server_name == "gwa-1.example.net"


def test_without_a_name_the_server_sees_none(ends, pump):
    client, server = (endpoint.connection() for endpoint in ends())
    pump(client, server)
    assert server.server_name is None


@pytest.mark.parametrize("name", ["192.0.2.7", "2001:db8::1", "a_b.example", "", "-a.example", "a" * 64, "a..b", "a."])
def test_a_server_can_only_be_asked_for_by_a_dns_name(name, ends):
    with pytest.raises(TlsError) as refused:
        ends()[0].connection(server_name=name)
    assert refused.value.code == "tls.endpoint.server_name"


@pytest.mark.requirement("REQ.TA.TLS.OpenLmnSessionAsClient.30")
@pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
@pytest.mark.parametrize(
    ("offered", "taken", "agreed"),
    [(("sml/1", "cosem/2"), ("cosem/2", "sml/1"), "cosem/2"), (("sml/1",), (), None), ((), ("sml/1",), None)],
)
def test_application_protocols_by_the_preference_of_the_server(offered, taken, agreed, version, ends, pump):
    profiles = {"client": replace(LMN_CLIENT, alpn=offered), "server": replace(LMN_SERVER, alpn=taken)}
    client, server = (endpoint.connection() for endpoint in ends({version}, **profiles))
    pump(client, server)
    assert client.alpn == server.alpn == agreed


def test_threads_share_endpoints(ends, pump):
    client_side, server_side = ends()

    def handshakes(_):
        for _ in range(5):
            client, server = client_side.connection(), server_side.connection()
            pump(client, server)
            both_say_something(client, server)
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(handshakes, range(4)))
