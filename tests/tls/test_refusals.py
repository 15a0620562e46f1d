"""What may not be fails, at either end, and the other end is told why."""

from dataclasses import replace
from datetime import timedelta

import pytest
import tls_wire
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL

from smpki.errors import StoreError, TlsError
from smpki.tls import binding
from smpki.tls.connection import ConnectionFailed
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import CERTIFICATE_ALERTS, Alert, PeerRefused, exact_match, pinned
from smpki.tls.profile import HAN_CLIENT, HAN_SERVER, LMN_CLIENT, LMN_SERVER, Version

TLS12, TLS13 = Version.TLS12, Version.TLS13
BOTH = pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
EITHER_END = pytest.mark.parametrize("refuser", ["client", "server"])


def only(version, *, suites=None, groups=None, signatures=None):
    """Sets a foreign context up with one version and lists of OpenSSL's names."""

    def tune(context):
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_max_proto_version(version)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        if version == SSL.TLS1_3_VERSION:
            context.set_min_proto_version(version)
            if suites:
                binding.set_suites(context, (), suites)
        elif suites:
            binding.set_suites(context, suites, ())
        if groups:
            binding.set_groups(context, groups)
        if signatures:
            binding.set_signature_algorithms(context, signatures)

    return tune


OUTSIDE = {
    "TLS 1.0": (only(SSL.TLS1_VERSION), Alert.PROTOCOL_VERSION),
    "TLS 1.1": (only(SSL.TLS1_1_VERSION), Alert.PROTOCOL_VERSION),
    "ChaCha20 in 1.2": (only(SSL.TLS1_2_VERSION, suites=["CHACHA20"]), Alert.HANDSHAKE_FAILURE),
    "ChaCha20 in 1.3": (only(SSL.TLS1_3_VERSION, suites=["TLS_CHACHA20_POLY1305_SHA256"]), Alert.HANDSHAKE_FAILURE),
    "short CCM in 1.3": (only(SSL.TLS1_3_VERSION, suites=["TLS_AES_128_CCM_8_SHA256"]), Alert.HANDSHAKE_FAILURE),
    "CCM in 1.2": (only(SSL.TLS1_2_VERSION, suites=["ECDHE-ECDSA-AES128-CCM"]), Alert.HANDSHAKE_FAILURE),
    "CBC with SHA-1": (only(SSL.TLS1_2_VERSION, suites=["ECDHE-ECDSA-AES128-SHA"]), Alert.HANDSHAKE_FAILURE),
    "RSA": (only(SSL.TLS1_2_VERSION, suites=["ECDHE-RSA-AES128-GCM-SHA256", "RSA"]), Alert.HANDSHAKE_FAILURE),
    "DHE": (only(SSL.TLS1_2_VERSION, suites=["DHE-RSA-AES128-GCM-SHA256"]), Alert.HANDSHAKE_FAILURE),
    "X25519 in 1.2": (only(SSL.TLS1_2_VERSION, groups=["X25519"]), Alert.HANDSHAKE_FAILURE),
    "X25519 in 1.3": (only(SSL.TLS1_3_VERSION, groups=["X25519"]), Alert.HANDSHAKE_FAILURE),
    "ML-KEM": (only(SSL.TLS1_3_VERSION, groups=["X25519MLKEM768", "MLKEM768"]), Alert.HANDSHAKE_FAILURE),
    "secp521r1": (only(SSL.TLS1_3_VERSION, groups=["P-521"]), Alert.HANDSHAKE_FAILURE),
    "finite fields": (only(SSL.TLS1_3_VERSION, groups=["ffdhe3072"]), Alert.HANDSHAKE_FAILURE),
    "SHA-224": (only(SSL.TLS1_2_VERSION, signatures=["ECDSA+SHA224"]), Alert.HANDSHAKE_FAILURE),
}
OUTSIDE_FOR_CLIENTS = {
    "Ed25519": (only(SSL.TLS1_3_VERSION, signatures=["ed25519"]), Alert.HANDSHAKE_FAILURE),
    "RSA signatures": (only(SSL.TLS1_3_VERSION, signatures=["rsa_pss_rsae_sha256"]), Alert.HANDSHAKE_FAILURE),
    **OUTSIDE,
}


@pytest.mark.requirement("REQ.TA.TLS.Close.30")
@pytest.mark.parametrize("what", OUTSIDE_FOR_CLIENTS)
def test_a_client_with_nothing_but_the_forbidden_is_refused(what, ends, bare, identity, drive):
    tune, alert = OUTSIDE_FOR_CLIENTS[what]
    client = bare(server=False, identity=identity("gateway"), tune=tune)
    outcome = drive(client, ends()[1].connection())
    assert client.alerts == [alert]
    assert (outcome.server_error.code, outcome.server_error.alert) == ("tls.failed", alert)


@pytest.mark.requirement("REQ.TA.TLS.Close.40")
@pytest.mark.parametrize("what", OUTSIDE)
def test_a_server_with_nothing_but_the_forbidden_refuses_and_the_client_says_so(what, ends, bare, identity, drive):
    tune, alert = OUTSIDE[what]
    client = ends()[0].connection()
    outcome = drive(client, bare(server=True, identity=identity("administrator"), tune=tune))
    assert (outcome.client_error.code, outcome.client_error.alert) == ("tls.alert", alert)
    with pytest.raises(TlsError, match=r"tls\.over"):
        client.receive(b"")


@pytest.mark.parametrize(
    ("of_client", "of_server"), [({TLS13}, {TLS12}), ({TLS12}, {TLS13})], ids=["1.3 to 1.2", "1.2 to 1.3"]
)
def test_without_a_common_version_both_sides_know_why(of_client, of_server, ends, drive):
    outcome = drive(ends(of_client)[0].connection(), ends(of_server)[1].connection())
    assert (outcome.server_error.code, outcome.client_error.code) == ("tls.failed", "tls.alert")
    assert outcome.server_error.alert == outcome.client_error.alert == Alert.PROTOCOL_VERSION


def without_versions(to_server, data):
    """Someone on the way wants both to use TLS 1.2: the hello says nothing of 1.3 any more."""
    if not to_server or data[5] != tls_wire.CLIENT_HELLO:
        return data
    hello = tls_wire.read_hello(data)
    extensions = {key: body for key, body in hello.extensions.items() if key != tls_wire.SUPPORTED_VERSIONS}
    return tls_wire.client_hello(hello.suites, extensions)


def test_a_client_notices_when_someone_lowers_the_version(ends, drive):
    client_side, server_side = ends({TLS12, TLS13})
    outcome = drive(client_side.connection(), server_side.connection(), without_versions)
    assert outcome.client_error.alert == outcome.server_error.alert == Alert.ILLEGAL_PARAMETER
    assert not outcome.client_events + outcome.server_events


def test_a_client_of_tls_1_3_alone_can_not_be_lowered(ends, drive):
    client, server = ends({TLS13})[0].connection(), ends({TLS12, TLS13})[1].connection()
    outcome = drive(client, server, without_versions)
    assert outcome.server_error.alert == Alert.HANDSHAKE_FAILURE  # no suite of TLS 1.2 was offered
    assert outcome.client_error.received


def test_a_fall_back_of_the_client_is_refused(ends):
    fallback_scsv = 0x5600  # RFC 7507
    hello = {tls_wire.GROUPS: bytes.fromhex("0002001a"), tls_wire.SIGNATURE_ALGORITHMS: bytes.fromhex("00020403")}
    server = ends({TLS12, TLS13})[1].connection()
    with pytest.raises(ConnectionFailed) as refused:
        server.receive(tls_wire.client_hello([0xC02B, fallback_scsv], hello))
    assert refused.value.alert == Alert.INAPPROPRIATE_FALLBACK


def set_in_server_hello(at, octets):
    def change(to_server, data):
        if to_server or data[5] != tls_wire.SERVER_HELLO:
            return data
        place = 5 + 4 + at
        return data[:place] + octets + data[place + len(octets) :]

    return change


def add_to_server_hello(number, body=b""):
    def change(to_server, data):
        return data if to_server or data[5] != tls_wire.SERVER_HELLO else tls_wire.with_extension(data, number, body)

    return change


SESSION_ID = 0  # octets of it in a ServerHello of TLS 1.2 that resumes nothing
SUITE, COMPRESSION = 35 + SESSION_ID, 37 + SESSION_ID
DISOBEDIENT = {
    "TLS 1.1": (set_in_server_hello(0, b"\3\2"), Alert.PROTOCOL_VERSION),
    "ChaCha20": (set_in_server_hello(SUITE, b"\xcc\xa9"), Alert.ILLEGAL_PARAMETER),
    "SHA-1": (set_in_server_hello(SUITE, b"\xc0\x09"), Alert.ILLEGAL_PARAMETER),
    "compression": (set_in_server_hello(COMPRESSION, b"\1"), Alert.ILLEGAL_PARAMETER),
    "max_fragment_length": (add_to_server_hello(1, b"\4"), Alert.UNSUPPORTED_EXTENSION),
    "truncated_hmac": (add_to_server_hello(4), Alert.UNSUPPORTED_EXTENSION),
    "session_ticket": (add_to_server_hello(tls_wire.SESSION_TICKET), Alert.UNSUPPORTED_EXTENSION),
}


@pytest.mark.parametrize("what", DISOBEDIENT)
def test_a_client_refuses_what_it_has_not_offered(what, ends, drive):
    change, alert = DISOBEDIENT[what]
    client, server = (endpoint.connection() for endpoint in ends({TLS12}))
    outcome = drive(client, server, change)
    assert (outcome.client_error.code, outcome.client_error.alert) == ("tls.failed", alert)
    assert outcome.server_error.alert == alert


def test_a_client_refuses_a_group_that_it_has_not_offered_in_tls_1_2(ends, drive):
    named_curve = b"\3"

    def change(to_server, data):
        return data if to_server else data.replace(named_curve + b"\0\x1c", named_curve + b"\0\x1d")  # X25519

    client, server = (endpoint.connection() for endpoint in ends({TLS12}))
    outcome = drive(client, server, change)
    assert outcome.client_error.alert == outcome.server_error.alert == Alert.ILLEGAL_PARAMETER


def test_a_client_refuses_a_group_that_it_has_not_offered_in_tls_1_3(ends):
    client = ends({TLS13})[0].connection()
    client.start()
    hello = tls_wire.read_hello(client.data_to_send())
    retry = bytes.fromhex("CF21AD74E59A6111BE1D8C021E65B891C2A211167ABB8C5E079E09E2C8A8339C")  # RFC 8446 4.1.3
    extensions = bytes.fromhex("002b00020304" + "00330002001d")
    body = b"\3\3" + retry + tls_wire.vector(hello.session_id, 1) + b"\x13\1\0" + tls_wire.vector(extensions)
    with pytest.raises(ConnectionFailed) as refused:
        client.receive(tls_wire.record(22, bytes([tls_wire.SERVER_HELLO]) + tls_wire.vector(body, 3)))
    assert refused.value.alert == Alert.ILLEGAL_PARAMETER


@BOTH
def test_without_a_common_application_protocol_both_sides_know_why(version, ends, drive):
    profiles = {"client": replace(LMN_CLIENT, alpn=("sml/1",)), "server": replace(LMN_SERVER, alpn=("cosem/2",))}
    outcome = drive(*(endpoint.connection() for endpoint in ends({version}, **profiles)))
    assert outcome.client_error.alert == outcome.server_error.alert == Alert.NO_APPLICATION_PROTOCOL


class Spoiler:
    """Changes one octet of a flight, not counting the heads of records, of which the handshake keeps no account."""

    def __init__(self, to_server, flight, place):
        self.to_server, self.flight, self.place = to_server, flight, place
        self.length = 0

    def __call__(self, to_server, data):
        if to_server is not self.to_server:
            return data
        self.flight -= 1
        if self.flight != 0:
            return data
        changed = b""
        for kind, content in tls_wire.records(data):
            place = self.place - self.length
            self.length += len(content)
            if 0 <= place < len(content):
                content = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
            changed += tls_wire.record(kind, content, int.from_bytes(data[1:3]))
        return changed


@BOTH
@pytest.mark.parametrize(("to_server", "flight"), [(True, 1), (True, 2), (False, 1)])
def test_who_gets_a_changed_octet_never_sees_the_handshake_done(to_server, flight, version, ends, drive):
    client_side, server_side = ends({version})
    place = 0
    while True:
        spoiler = Spoiler(to_server, flight, place)
        outcome = drive(client_side.connection(server_name="gwa.example"), server_side.connection(), spoiler)
        if place >= spoiler.length:
            break
        assert not (outcome.server_events if to_server else outcome.client_events)
        place += 11


# certificates


FOREIGN_KEYS = {
    "RSA": rsa.generate_private_key(65537, 2048),
    "secp521r1": ec.generate_private_key(ec.SECP521R1()),
    "secp256r1": ec.generate_private_key(ec.SECP256R1()),
}


def with_more_groups(context):
    binding.set_groups(context, ["P-521", "P-256", "brainpoolP256r1", "brainpoolP256r1tls13"])


@pytest.mark.requirement("REQ.TA.TLS.Handshake.130")
@pytest.mark.parametrize("versions", [{TLS12}, {TLS13}, {TLS12, TLS13}], ids=["1.2", "1.3", "both"])
@pytest.mark.parametrize("key", FOREIGN_KEYS)
def test_a_client_with_a_key_that_the_wan_does_not_know_is_refused(key, versions, ends, bare, certificate, drive):
    who = Identity((certificate("foreign", FOREIGN_KEYS[key]),), FOREIGN_KEYS[key])
    client = bare(server=False, identity=who, tune=with_more_groups)
    server = ends(versions, server_check=exact_match(who.certificates, now=None))[1].connection()
    outcome = drive(client, server)
    # a client that sees in time that its certificate is of no use shows none
    shows_none = Alert.HANDSHAKE_FAILURE if versions == {TLS12} else Alert.CERTIFICATE_REQUIRED
    assert client.alerts in ([Alert.UNSUPPORTED_CERTIFICATE], [shows_none])
    assert outcome.server_error.alert == client.alerts[0]
    assert not outcome.server_events


@pytest.mark.requirement("REQ.TA.TLS.Handshake.130")
@pytest.mark.parametrize("versions", [{TLS12}, {TLS13}, {TLS12, TLS13}], ids=["1.2", "1.3", "both"])
@pytest.mark.parametrize("key", FOREIGN_KEYS)
def test_a_server_with_a_key_that_the_wan_does_not_know_is_refused(key, versions, ends, bare, certificate, drive):
    who = Identity((certificate("foreign", FOREIGN_KEYS[key]),), FOREIGN_KEYS[key])
    server = bare(server=True, identity=who, tune=with_more_groups)
    client = ends(versions, client_check=exact_match(who.certificates, now=None))[0].connection()
    outcome = drive(client, server)
    assert server.alerts == [Alert.UNSUPPORTED_CERTIFICATE] or outcome.client_error.alert == Alert.HANDSHAKE_FAILURE
    assert not outcome.client_events


def refusing(alert):
    def check(_chain):
        raise PeerRefused("tls.peer.test", "not today", alert=alert)

    return check


@pytest.mark.requirement("REQ.TA.TLS.Handshake.130", "REQ.TA.TLS.Close.30", "REQ.TA.TLS.Close.40")
@BOTH
@EITHER_END
@pytest.mark.parametrize("alert", sorted(CERTIFICATE_ALERTS), ids=lambda alert: alert.name)
def test_the_alert_of_a_check_reaches_the_peer(alert, refuser, version, ends, drive):
    client, server = (endpoint.connection() for endpoint in ends({version}, **{f"{refuser}_check": refusing(alert)}))
    outcome = drive(client, server)
    at_client, at_server = outcome.client_error, outcome.server_error
    here, there = (at_client, at_server) if refuser == "client" else (at_server, at_client)
    assert (here.code, here.alert) == ("tls.peer.test", alert)
    assert (there.code, there.alert, there.received) == ("tls.alert", alert, True)
    assert alert.name.lower() in there.message
    for connection in (client, server):
        with pytest.raises(TlsError, match=r"tls\.over"):
            connection.send(b"too late")


@EITHER_END
def test_a_check_that_breaks_refuses(refuser, ends, drive):
    error = StoreError("store.unreachable", "the list of revoked certificates is away")

    def check(_chain):
        raise error

    client, server = (endpoint.connection() for endpoint in ends(**{f"{refuser}_check": check}))
    outcome = drive(client, server)
    at_client, at_server = outcome.client_error, outcome.server_error
    here, there = (at_client, at_server) if refuser == "client" else (at_server, at_client)
    assert (here.code, here.__cause__) == ("tls.peer.unchecked", error)
    assert there.alert == Alert.INTERNAL_ERROR


def test_what_openssl_takes_for_a_failure_of_the_system_ends_the_connection(ends, monkeypatch):
    def fail(_connection):
        raise SSL.SysCallError(-1, "Unexpected EOF")

    monkeypatch.setattr(SSL.Connection, "do_handshake", fail)
    with pytest.raises(ConnectionFailed, match="no reason"):
        ends()[0].connection().start()


@pytest.mark.requirement("REQ.TA.TLS.Handshake.130")
@pytest.mark.parametrize(
    ("version", "alert"), [(TLS12, Alert.HANDSHAKE_FAILURE), (TLS13, Alert.CERTIFICATE_REQUIRED)], ids=["1.2", "1.3"]
)
def test_a_client_without_a_certificate_is_refused(version, alert, ends, identity, clock, drive):
    profile = replace(HAN_CLIENT, versions=frozenset({version}))
    client = Endpoint(profile, None, exact_match(identity("administrator").certificates, now=clock), clock=clock)
    outcome = drive(client.connection(), ends({version})[1].connection())
    assert outcome.server_error.alert == outcome.client_error.alert == alert


@pytest.mark.requirement("REQ.TA.TLS.Handshake.160", "REQ.TA.TLS.Handshake.130")
@BOTH
@EITHER_END
def test_another_certificate_for_the_same_name_and_key_is_refused(refuser, version, ends, identity, certificate, drive):
    expected = identity("administrator" if refuser == "client" else "gateway")
    shown = Identity((certificate("administrator", expected.key),), expected.key)
    check = exact_match(expected.certificates, now=None)
    who = {"theirs": shown, "client_check": check} if refuser == "client" else {"ours": shown, "server_check": check}
    outcome = drive(*(endpoint.connection() for endpoint in ends({version}, **who)))
    here, there = outcome.client_error, outcome.server_error
    if refuser == "server":
        here, there = there, here
    assert here.code == "tls.peer.unknown"
    assert there.alert == Alert.BAD_CERTIFICATE


@pytest.mark.requirement("REQ.TA.TLS.Handshake.20", "REQ.TA.TLS.Handshake.160", "REQ.TA.TLS.Handshake.130")
@BOTH
@EITHER_END
@pytest.mark.parametrize(("days", "code"), [(366, "tls.peer.expired"), (-2, "tls.peer.not_yet_valid")])
def test_a_certificate_outside_its_time_is_refused(days, code, refuser, version, ends, clock, drive):
    endpoints = ends({version}, **{"server_check" if refuser == "client" else "client_check": lambda _chain: None})
    clock.now += timedelta(days=days)
    outcome = drive(*(endpoint.connection() for endpoint in endpoints))
    here, there = outcome.client_error, outcome.server_error
    if refuser == "server":
        here, there = there, here
    assert here.code == code
    assert there.alert == Alert.CERTIFICATE_EXPIRED


@pytest.mark.requirement("REQ.TA.TLS.Handshake.160")
@BOTH
def test_to_learn_the_time_the_dates_may_be_left_out(version, ends, identity, clock, pump):
    no_dates = exact_match(identity("administrator").certificates, now=None)
    client_side, server_side = ends({version}, client_check=no_dates, server_check=lambda _chain: None)
    clock.now += timedelta(days=10000)
    client = client_side.connection()
    pump(client, server_side.connection())
    assert client.peer_certificate == identity("administrator").certificates[0]


@pytest.mark.requirement("REQ.TA.TLS.Handshake.170")
@BOTH
@pytest.mark.parametrize(("client", "server"), [(HAN_CLIENT, HAN_SERVER), (LMN_CLIENT, LMN_SERVER)])
def test_a_pinned_certificate_is_accepted_at_any_time_and_no_other(
    client, server, version, ends, identity, certificate, clock, drive
):
    shown = identity("administrator")
    lookalike = certificate("administrator", shown.key)
    right, wrong = (pinned([one.fingerprint(SHA256())]) for one in (shown.certificates[0], lookalike))
    clock.now += timedelta(days=10000)
    for check, refused in ((right, None), (wrong, "tls.peer.unknown")):
        profiles = {"client": client, "server": server, "client_check": check, "server_check": lambda _chain: None}
        outcome = drive(*(endpoint.connection() for endpoint in ends({version}, **profiles)))
        assert getattr(outcome.client_error, "code", None) == refused
        assert getattr(outcome.server_error, "alert", None) == (refused and Alert.BAD_CERTIFICATE)


NOT_FOR_SIGNATURES = {
    "key agreement": x509.KeyUsage(
        **dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False),
        **dict.fromkeys(("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False),
        key_agreement=True,
    ),
    "unreadable": x509.UnrecognizedExtension(x509.ExtensionOID.KEY_USAGE, b"\3\2\x99"),
}


@pytest.mark.requirement("REQ.TA.TLS.Handshake.20", "REQ.TA.TLS.Handshake.130")
@pytest.mark.parametrize("usage", NOT_FOR_SIGNATURES)
@pytest.mark.parametrize(("refuser", "version"), [("server", TLS12), ("server", TLS13), ("client", TLS13)], ids=str)
def test_a_certificate_that_is_not_for_signatures_is_refused(
    refuser, version, usage, ends, identity, certificate, bare, drive
):
    key = identity("foreign").key
    unfit = Identity((certificate("foreign", key, extensions=[NOT_FOR_SIGNATURES[usage]]),), key)
    peer = bare(server=refuser == "client", identity=unfit)  # in TLS 1.2 OpenSSL's server would not even start
    no_more = {f"{refuser}_check": lambda _chain: None}
    if refuser == "client":
        outcome = drive(ends({version}, **no_more)[0].connection(), peer)
        error = outcome.client_error
    else:
        outcome = drive(peer, ends({version}, **no_more)[1].connection())
        error = outcome.server_error
    assert error.code == ("tls.peer.unreadable" if usage == "unreadable" else "tls.peer.key_usage")
    assert peer.alerts == [Alert.UNSUPPORTED_CERTIFICATE]


UNREADABLE = {
    "version": (bytes.fromhex("a003020102"), bytes.fromhex("a003020107"), Alert.BAD_CERTIFICATE),
    "curve": (bytes.fromhex("2b2403030208010107"), bytes.fromhex("2b2403030208010177"), Alert.UNSUPPORTED_CERTIFICATE),
}


@pytest.mark.requirement("REQ.TA.TLS.Handshake.130")
@pytest.mark.parametrize("what", UNREADABLE)
def test_a_certificate_that_can_not_be_read_is_refused(what, ends, drive):
    right, wrong, alert = UNREADABLE[what]
    client, server = (endpoint.connection() for endpoint in ends({TLS12}, client_check=lambda _chain: None))
    outcome = drive(client, server, lambda to_server, data: data if to_server else data.replace(right, wrong))
    assert (outcome.client_error.code, outcome.client_error.alert) == ("tls.peer.unreadable", alert)
    assert outcome.server_error.alert == alert


def test_openssl_has_no_error_left_when_a_connection_has_failed(ends, drive):
    drive(*(endpoint.connection() for endpoint in ends(server_check=refusing(Alert.UNKNOWN_CA))))
    drive(ends({TLS12})[0].connection(), ends({TLS13})[1].connection())
    server = ends()[1].connection()
    with pytest.raises(ConnectionFailed):
        server.receive(b"GET / HTTP/1.1\r\n\r\n")
    assert binding.lib.ERR_peek_error() == 0
