"""How long a session lives, and what goes on when it is resumed."""

from dataclasses import replace
from datetime import timedelta

import pytest
import tls_wire

from smpki.errors import TlsError
from smpki.tls.callbacks import Watch
from smpki.tls.connection import Closed, Data
from smpki.tls.endpoint import Endpoint
from smpki.tls.peers import Alert, PeerRefused, exact_match
from smpki.tls.profile import HAN_CLIENT, HAN_SERVER, LMN_CLIENT, LMN_SERVER, WAN_CLIENT, WAN_SERVER, Version
from smpki.tls.session import FirstHandshake, Origins, steady

TLS12, TLS13 = Version.TLS12, Version.TLS13
BOTH = pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
LINKS = {"WAN": (WAN_CLIENT, WAN_SERVER), "HAN": (HAN_CLIENT, HAN_SERVER), "LMN": (LMN_CLIENT, LMN_SERVER)}
LIMITS = {"WAN": timedelta(hours=48), "HAN": timedelta(hours=48), "LMN": timedelta(days=31)}
EACH_LINK = pytest.mark.parametrize("link", LINKS)
INSTANT = timedelta(microseconds=1)


def part(client, server):
    """Both close, as it should be."""
    client.close()
    assert server.receive(client.data_to_send())[-1:] == [Closed()]
    server.close()
    assert client.receive(server.data_to_send())[-1:] == [Closed()]


def resumable(link, version, ends, **more):
    """Endpoints of a link that allow resumption, whatever its default is."""
    client, server = (replace(profile, resumption=True) for profile in LINKS[link])
    return ends({version}, client=client, server=server, **more)


# the limit


@BOTH
@EACH_LINK
@pytest.mark.parametrize("end", ["client", "server"])
def test_a_connection_is_closed_hard_at_the_limit_of_its_session(end, link, version, ends, clock, pump):
    began = clock.now
    client_profile, server_profile = LINKS[link]
    endpoints = ends({version}, client=client_profile, server=server_profile)
    client, server = (endpoint.connection() for endpoint in endpoints)
    pump(client, server)
    here, there = (client, server) if end == "client" else (server, client)
    assert here.deadline == began + LIMITS[link]
    clock.now = here.deadline - INSTANT
    here.enforce_limit()
    assert here.remaining == INSTANT
    here.send(b"in time")
    assert there.receive(here.data_to_send()) == [Data(b"in time")]
    there.send(b"on its way")

    clock.now = here.deadline
    with pytest.raises(TlsError, match=r"tls\.session\.limit"):
        here.enforce_limit()
    farewell = here.data_to_send()
    clock.now -= INSTANT  # the other end's clock goes after
    assert there.receive(farewell) == [Closed()]
    for late in (lambda: here.send(b"late"), lambda: here.receive(there.data_to_send())):
        with pytest.raises(TlsError, match=r"tls\.over"):
            late()
    assert here.session is None


@pytest.mark.parametrize("act", ["send", "receive"])
def test_nobody_has_to_ask_for_the_limit_to_be_kept(act, ends, clock, pump):
    client, server = (endpoint.connection() for endpoint in ends())
    pump(client, server)
    server.send(b"data")
    on_the_way = server.data_to_send()
    clock.now = client.deadline
    with pytest.raises(TlsError, match=r"tls\.session\.limit"):
        client.send(b"data") if act == "send" else client.receive(on_the_way)


def test_the_administrator_may_make_the_limit_shorter(ends, pump, clock):
    shorter = timedelta(minutes=10)
    client, server = (
        endpoint.connection()
        for endpoint in ends(
            client=replace(WAN_CLIENT, session_limit=shorter), server=replace(WAN_SERVER, session_limit=shorter)
        )
    )
    pump(client, server)
    assert client.deadline == server.deadline == clock.now + shorter


def test_whoever_sets_the_clock_makes_no_session_longer(ends, clock, pump):
    began, seconds = clock.now, [5.0]
    client, server = (end.connection() for end in ends({TLS13}, session_clock=steady(clock, lambda: seconds[0])))
    pump(client, server)
    clock.now -= timedelta(days=365)
    seconds[0] += LIMITS["WAN"].total_seconds() - 1
    assert client.deadline == began + LIMITS["WAN"]
    assert client.remaining == timedelta(seconds=1)
    client.enforce_limit()
    seconds[0] += 1
    with pytest.raises(TlsError, match=r"tls\.session\.limit"):
        client.enforce_limit()


# resumption


@BOTH
@pytest.mark.parametrize("link", ["WAN", "HAN"])
def test_resumption_is_off_where_nobody_asked_for_it(link, version, ends, pump):
    client_profile, server_profile = LINKS[link]
    client_side, server_side = ends({version}, client=client_profile, server=server_profile)
    client, server = client_side.connection(), server_side.connection()
    pump(client, server)
    assert client.session is None
    willing = ends({version}, client=replace(client_profile, resumption=True))[0]
    client, server = willing.connection(), server_side.connection()
    pump(client, server)
    session = client.session
    part(client, server)
    client, server = willing.connection(resume=session), server_side.connection()
    pump(client, server)
    assert not client.resumed


@pytest.mark.requirement(
    *("REQ.TA.TLS.OpenWanSessionAsClient.50", "REQ.TA.TLS.OpenWanSessionAsClient.60"),
    *("REQ.TA.TLS.OpenLmnSessionAsClient.60", "REQ.TA.TLS.OpenLmnSessionAsClient.70"),
    *("REQ.TA.TLS.OpenLmnSessionAsServer.30", "REQ.TA.TLS.OpenLmnSessionAsServer.40"),
)
@BOTH
@EACH_LINK
def test_a_chain_of_resumptions_ends_with_the_first_handshakes_limit(link, version, ends, clock, identity, pump):
    client_side, server_side = resumable(link, version, ends)
    client, server = client_side.connection(), server_side.connection()
    pump(client, server)
    deadline = client.deadline
    for _ in range(4):
        session = client.session
        assert (session.started, session.deadline) == (deadline - LIMITS[link], deadline)
        part(client, server)
        clock.now += LIMITS[link] / 5
        client, server = client_side.connection(resume=session), server_side.connection()
        pump(client, server)
        assert client.resumed
        assert server.resumed
        assert client.deadline == server.deadline == deadline
        assert client.peer_certificate == identity("administrator").certificates[0]
        assert server.peer_certificate == identity("gateway").certificates[0]
    session = client.session
    part(client, server)

    clock.now = deadline
    client, server = client_side.connection(resume=session), server_side.connection()
    pump(client, server)
    assert not client.resumed
    assert client.deadline == clock.now + LIMITS[link]


@BOTH
def test_a_server_refuses_a_client_that_resumes_beyond_the_limit(version, ends, clock, drive, pump):
    client_side, server_side = resumable("LMN", version, ends)
    forgetful = ends({version}, client=replace(LMN_CLIENT, session_limit=timedelta(days=365)))[0]
    client, server = forgetful.connection(), server_side.connection()
    pump(client, server)
    session = client.session
    part(client, server)
    clock.now += LIMITS["LMN"]
    outcome = drive(forgetful.connection(resume=session), server_side.connection())
    assert outcome.server_error.code == "tls.session.limit"
    assert outcome.client_error.alert == Alert.HANDSHAKE_FAILURE
    client, server = client_side.connection(), server_side.connection()
    pump(client, server)
    assert not client.resumed


@pytest.mark.requirement("REQ.TA.TLS.OpenLmnSessionAsClient.60", "REQ.TA.TLS.OpenLmnSessionAsServer.30")
def test_tls_1_2_resumes_by_the_session_s_number(ends, pump):
    client_side, server_side = resumable("LMN", TLS12, ends)
    client, server = client_side.connection(), server_side.connection()
    client.start()
    server.receive(client.data_to_send())
    flight = server.data_to_send()
    number = tls_wire.read_hello(flight).session_id
    assert len(number) == 32
    client.receive(flight)
    pump(client, server)
    session = client.session
    part(client, server)
    client, server = client_side.connection(resume=session), server_side.connection()
    client.start()
    hello = client.data_to_send()
    assert tls_wire.read_hello(hello).session_id == number
    assert tls_wire.SESSION_TICKET not in tls_wire.read_hello(hello).extensions
    server.receive(hello)
    assert tls_wire.read_hello(server.data_to_send()).session_id == number


@pytest.mark.requirement("REQ.TA.TLS.OpenLmnSessionAsClient.70", "REQ.TA.TLS.OpenLmnSessionAsServer.40")
def test_tls_1_3_resumes_by_psk_with_a_new_key_exchange(ends, pump):
    client_side, server_side = resumable("LMN", TLS13, ends)
    client, server = client_side.connection(), server_side.connection()
    pump(client, server)
    session = client.session
    part(client, server)
    client, server = client_side.connection(resume=session), server_side.connection()
    client.start()
    hello = client.data_to_send()
    pre_shared_key = 41
    offered = tls_wire.read_hello(hello).extensions
    assert list(offered)[-1] == pre_shared_key
    assert offered[tls_wire.PSK_MODES] == b"\1\1"  # with ECDHE
    assert tls_wire.EARLY_DATA not in offered
    server.receive(hello)
    chosen = tls_wire.read_hello(server.data_to_send()).extensions
    assert chosen[pre_shared_key] == b"\0\0"
    assert tls_wire.KEY_SHARE in chosen


@BOTH
@pytest.mark.parametrize("end", ["client", "server"])
def test_a_peer_that_is_no_longer_accepted_does_not_resume(end, version, ends, identity, drive, pump):
    revoked = []

    def check(chain):
        if chain[0] in revoked:
            raise PeerRefused("tls.peer.test", "revoked", alert=Alert.CERTIFICATE_REVOKED)

    client_side, server_side = resumable("LMN", version, ends, **{f"{end}_check": check})
    client, server = client_side.connection(), server_side.connection()
    pump(client, server)
    session = client.session
    part(client, server)
    revoked.append(identity("administrator" if end == "client" else "gateway").certificates[0])
    outcome = drive(client_side.connection(resume=session), server_side.connection())
    here, there = outcome.client_error, outcome.server_error
    if end == "server":
        here, there = there, here
    assert here.code == "tls.peer.test"
    assert there.alert == Alert.CERTIFICATE_REVOKED


@BOTH
def test_a_check_that_breaks_before_resumption_is_asked_again_in_the_handshake(version, ends, drive, pump):
    broken = []

    def check(_chain):
        if broken:
            raise OSError("the lists are away")

    client_side, server_side = resumable("LMN", version, ends, client_check=check)
    client, server = client_side.connection(), server_side.connection()
    pump(client, server)
    session = client.session
    part(client, server)
    broken.append(True)
    outcome = drive(client_side.connection(resume=session), server_side.connection())
    assert outcome.client_error.code == "tls.peer.unchecked"
    assert outcome.server_error.alert == Alert.INTERNAL_ERROR


@BOTH
def test_a_session_whose_connection_was_cut_is_not_resumed(version, ends, pump):
    client_side, server_side = resumable("LMN", version, ends)
    client, server = client_side.connection(), server_side.connection()
    pump(client, server)
    session = client.session
    with pytest.raises(TlsError, match=r"tls\.truncated"):
        server.receive_eof()
    del server
    client, server = client_side.connection(resume=session), server_side.connection()
    pump(client, server)
    assert not client.resumed


def test_a_client_that_resumes_only_until_it_is_asked_again_is_checked(clock, identity):
    """As it would be with a HelloRetryRequest between two ClientHellos of TLS 1.3, one with and one without a PSK."""
    known, stranger = identity("gateway").certificates, identity("stranger").certificates
    earlier = FirstHandshake(clock.now - timedelta(days=1), clock.now + timedelta(days=1), known)
    own = FirstHandshake(clock.now, clock.now + timedelta(days=2), ())
    watch = Watch(own, exact_match(known, now=None), resume=lambda _digest: earlier)
    watch.accept_resumed(b"digest")
    assert watch.first == earlier
    watch.accept_full()
    assert watch.first == own
    assert not watch.checked
    with pytest.raises(PeerRefused):
        watch.accept(stranger)
    assert not watch.checked


def test_a_session_belongs_to_its_endpoint(ends, pump):
    client_side, server_side = resumable("LMN", TLS13, ends)
    client, server = client_side.connection(), server_side.connection()
    pump(client, server)
    other = resumable("LMN", TLS13, ends)[0]
    with pytest.raises(TlsError, match=r"tls\.endpoint\.session"):
        other.connection(resume=client.session)


def test_a_server_without_client_certificates_resumes_as_well(ends, clock, identity, pump):
    client_side = resumable("HAN", TLS13, ends)[0]
    server_side = Endpoint(replace(HAN_SERVER, resumption=True), identity("administrator"), None, clock=clock)
    client, server = client_side.connection(), server_side.connection()
    pump(client, server)
    session = client.session
    part(client, server)
    client, server = client_side.connection(resume=session), server_side.connection()
    pump(client, server)
    assert server.resumed
    assert server.deadline == session.deadline
    assert not server.peer_chain


def test_a_server_forgets_the_oldest_sessions_when_there_are_too_many(clock):
    first = FirstHandshake(clock.now, clock.now + timedelta(days=1), ())
    origins = Origins(most=2)
    for digest in (b"1", b"2", b"3"):
        origins.add(digest, first)
    assert origins.resume(b"3", clock.now) is origins.resume(b"2", clock.now) is first
    with pytest.raises(PeerRefused, match=r"tls\.session\.limit"):
        origins.resume(b"1", clock.now)


@pytest.mark.requirement("REQ.TA.TLS.Handshake.110")
@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_client_gives_up_when_a_resuming_server_names_itself_again(in_pieces, ends, drive, pump):
    client_side, server_side = resumable("LMN", TLS12, ends)
    client, server = client_side.connection(server_name="meter.example"), server_side.connection()
    pump(client, server)
    session = client.session
    part(client, server)
    client, server = client_side.connection(server_name="meter.example", resume=session), server_side.connection()
    client.start()
    server.receive(client.data_to_send())
    flight = tls_wire.with_extension(server.data_to_send(), tls_wire.SERVER_NAME, b"")
    with pytest.raises(TlsError) as refused:
        for piece in [flight[at : at + 1] for at in range(len(flight))] if in_pieces else [flight]:
            client.receive(piece)
    assert refused.value.alert == Alert.UNSUPPORTED_EXTENSION
    with pytest.raises(TlsError) as told:
        server.receive(client.data_to_send())
    assert told.value.alert == Alert.UNSUPPORTED_EXTENSION
