"""What goes over an open connection, how it ends, and records that nobody's library would make."""

import hmac
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest
import tls_wire
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from OpenSSL import SSL

from smpki.errors import TlsError
from smpki.tls import binding
from smpki.tls.connection import Closed, ConnectionFailed, Data
from smpki.tls.peers import Alert
from smpki.tls.profile import LMN_CLIENT, LMN_SERVER, WAN_CLIENT, WAN_SERVER, Version
from smpki.tls.suites import SUITES

TLS12, TLS13 = Version.TLS12, Version.TLS13
BOTH = pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
FATAL = 2


@pytest.fixture
def opened(ends, pump):
    def make(version, **more):
        client, server = (endpoint.connection() for endpoint in ends({version}, **more))
        pump(client, server)
        return client, server

    return make


# the usual end


@BOTH
def test_each_side_closes_by_itself(version, opened):
    client, server = opened(version)
    client.send(b"the last")
    client.close()
    assert server.receive(client.data_to_send()) == [Data(b"the last"), Closed()]
    server.send(b"answer")
    server.close()
    assert client.receive(server.data_to_send()) == [Data(b"answer"), Closed()]
    for connection in (client, server):
        assert connection.receive_eof() == []
        assert connection.receive(b"whatever comes after close_notify") == []
        with pytest.raises(TlsError, match=r"tls\.over"):
            connection.send(b"more")


@BOTH
def test_who_has_closed_need_not_wait_for_the_peer(version, opened):
    client, _server = opened(version)
    client.close()
    client.close()
    assert client.receive_eof() == [Closed()]
    assert client.receive_eof() == []


@BOTH
def test_an_end_without_close_notify_is_an_error(version, opened):
    client, server = opened(version)
    client.send(b"all but the end")
    assert server.receive(client.data_to_send()) == [Data(b"all but the end")]
    with pytest.raises(TlsError, match=r"without close_notify.*tls\.truncated"):
        server.receive_eof()
    with pytest.raises(TlsError, match=r"tls\.over"):
        server.send(b"more")


def test_an_end_during_the_handshake_is_an_error(ends):
    client = ends()[0].connection()
    client.start()
    with pytest.raises(TlsError, match=r"during the handshake.*tls\.truncated"):
        client.receive_eof()


def test_nothing_is_sent_before_the_handshake_is_done(ends):
    client = ends()[0].connection()
    client.start()
    with pytest.raises(TlsError, match=r"tls\.handshake\.pending"):
        client.send(b"early")


def test_a_connection_may_be_given_up_during_the_handshake(ends):
    client = ends()[0].connection()
    client.start()
    client.close()
    assert client.receive_eof() == []
    with pytest.raises(TlsError, match=r"tls\.over"):
        client.receive(b"")


# sizes


@pytest.mark.parametrize("suite", SUITES)
def test_all_records_of_a_meter_fit_into_a_frame(suite, ends, opened):
    (version,) = SUITES[suite].versions
    narrow = {"versions": frozenset({version}), "suites": (suite,)}
    client, server = opened(version, client=replace(LMN_CLIENT, **narrow), server=replace(LMN_SERVER, **narrow))
    data = bytes(range(256)) * 40
    for here, there in ((client, server), (server, client)):
        here.send(memoryview(data))
        octets = here.data_to_send()
        sizes = [5 + len(content) for _, content in tls_wire.records(octets)]
        assert max(sizes) <= 2034
        assert len(sizes) < 7
        assert b"".join(event.data for event in there.receive(octets)) == data


@BOTH
def test_the_handshake_with_a_meter_fits_into_frames(version, ends, drive):
    sizes = []

    def weigh(_to_server, data):
        sizes.extend(5 + len(content) for _, content in tls_wire.records(data))
        return data

    endpoints = ends({version}, client=replace(LMN_CLIENT, alpn=("sml/1",)), server=LMN_SERVER)
    outcome = drive(*(endpoint.connection() for endpoint in endpoints), weigh)
    assert outcome.client_error is outcome.server_error is None
    assert max(sizes) <= 2034


@BOTH
def test_octets_may_come_in_any_pieces(version, ends, drive):
    def carry(here, there):
        return [event for octet in here.data_to_send() for event in there.receive(bytes([octet]))]

    client, server = (endpoint.connection() for endpoint in ends({version}))
    client.start()
    for _ in range(3):
        carry(client, server)
        carry(server, client)
    client.send(b"x" * 20000)
    assert b"".join(event.data for event in carry(client, server)) == b"x" * 20000


# alerts


@pytest.mark.requirement("REQ.TA.TLS.Close.10", "REQ.TA.TLS.Close.40")
@pytest.mark.parametrize("number", [*(alert for alert in Alert if alert is not Alert.CLOSE_NOTIFY), 200])
def test_a_fatal_alert_during_the_handshake_ends_the_connection(number, ends):
    client = ends()[0].connection()
    client.start()
    with pytest.raises(ConnectionFailed) as told:
        client.receive(tls_wire.record(tls_wire.ALERT, bytes([FATAL, number])))
    assert (told.value.code, told.value.alert, told.value.received) == ("tls.alert", number, True)
    with pytest.raises(TlsError, match=r"tls\.over"):
        client.receive(b"")


def test_close_notify_during_the_handshake_is_an_error(ends):
    client = ends()[0].connection()
    client.start()
    with pytest.raises(ConnectionFailed) as told:
        client.receive(tls_wire.record(tls_wire.ALERT, bytes([1, Alert.CLOSE_NOTIFY])))
    assert (told.value.alert, told.value.received) == (Alert.CLOSE_NOTIFY, True)


@BOTH
@pytest.mark.requirement("REQ.TA.TLS.Close.30")
def test_a_changed_record_ends_the_connection_at_both_ends(version, opened):
    client, server = opened(version)
    client.send(b"one million")
    octets = bytearray(client.data_to_send())
    octets[-1] ^= 1
    with pytest.raises(ConnectionFailed) as refused:
        server.receive(bytes(octets))
    assert (refused.value.alert, refused.value.received) == (Alert.BAD_RECORD_MAC, False)
    with pytest.raises(ConnectionFailed) as told:
        client.receive(server.data_to_send())
    assert (told.value.alert, told.value.received) == (Alert.BAD_RECORD_MAC, True)
    for connection in (client, server):
        with pytest.raises(TlsError, match=r"tls\.over"):
            connection.send(b"more")
        with pytest.raises(TlsError, match=r"tls\.over"):
            connection.receive(b"more")


@pytest.mark.requirement("REQ.TA.TLS.Close.60")
@BOTH
@pytest.mark.parametrize("end", ["client", "server"])
@pytest.mark.parametrize("after", [0, 1])
def test_application_data_before_the_end_of_the_handshake_ends_the_connection(after, end, version, ends):
    client, server = (endpoint.connection() for endpoint in ends({version}))
    client.start()
    hello = client.data_to_send()
    if after:
        server.receive(hello)
        if end == "client":
            flight = server.data_to_send()
            client.receive(flight[: 5 + int.from_bytes(flight[3:5])])  # ServerHello
    here = client if end == "client" else server
    with pytest.raises(ConnectionFailed) as refused:
        here.receive(tls_wire.record(tls_wire.APPLICATION_DATA, b"x" * 64))
    assert refused.value.alert in (Alert.UNEXPECTED_MESSAGE, Alert.BAD_RECORD_MAC)
    with pytest.raises(TlsError, match=r"tls\.over"):
        here.receive(hello)


@pytest.mark.parametrize("end", ["client", "server"])
def test_what_is_no_tls_ends_the_connection(end, ends):
    client, server = (endpoint.connection() for endpoint in ends())
    client.start()
    with pytest.raises(ConnectionFailed, match=r"tls\.failed"):
        (client if end == "client" else server).receive(b"GET / HTTP/1.1\r\n\r\n")


# records made by hand


@dataclass
class ByHand:
    """Protects records of TLS 1.2 with AES-CBC as a client (RFC 5246 6.2.3.2, RFC 7366)."""

    connection: SSL.Connection
    digest: str
    mac_octets: int
    key_octets: int
    encrypt_then_mac: bool
    number: int = 1  # Finished was 0

    def __post_init__(self):
        seed = b"key expansion" + self.connection.server_random() + self.connection.client_random()
        block, state = b"", seed
        while len(block) < 2 * self.mac_octets + self.key_octets:
            state = self._hmac(self.connection.master_key(), state)
            block += self._hmac(self.connection.master_key(), state + seed)
        self.mac_key = block[: self.mac_octets]
        self.key = block[2 * self.mac_octets :][: self.key_octets]

    def record(self, kind, data, padding):
        head = self.number.to_bytes(8) + bytes([kind]) + b"\3\3"
        self.number += 1
        clear = data if self.encrypt_then_mac else data + self._hmac(self.mac_key, head + tls_wire.vector(data))
        clear += bytes([padding - 1]) * padding
        vector = bytes(16)
        encryptor = Cipher(AES(self.key), CBC(vector)).encryptor()
        sealed = vector + encryptor.update(clear)
        if self.encrypt_then_mac:
            sealed += self._hmac(self.mac_key, head + tls_wire.vector(sealed))
        return tls_wire.record(kind, sealed)

    def _hmac(self, key, data):
        return hmac.digest(key, data, self.digest)


CBC_SUITES = {
    "ECDHE-ECDSA-AES128-SHA256": ("sha256", 32, 16),
    "ECDHE-ECDSA-AES256-SHA384": ("sha384", 48, 32),
}
NO_ENCRYPT_THEN_MAC = 1 << 19  # SSL_OP_NO_ENCRYPT_THEN_MAC
WITH_CBC = pytest.mark.parametrize("suite", CBC_SUITES)
IN_EITHER_ORDER = pytest.mark.parametrize(
    "encrypt_then_mac", [True, False], ids=["encrypt then MAC", "MAC then encrypt"]
)


@pytest.fixture
def by_hand(ends, bare, identity, drive):
    """A server of ours with an open connection, and what makes records for it."""

    def make(suite, encrypt_then_mac):
        def tune(context):
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
            binding.set_suites(context, [suite], ())
            context.set_options(0 if encrypt_then_mac else NO_ENCRYPT_THEN_MAC)

        client, server = bare(server=False, identity=identity("gateway"), tune=tune), ends()[1].connection()
        assert drive(client, server).server_error is None
        return server, ByHand(client.ssl, *CBC_SUITES[suite], encrypt_then_mac)

    return make


@pytest.mark.requirement("REQ.TA.TLS.Close.70")
@WITH_CBC
@IN_EITHER_ORDER
def test_cbc_padding_of_any_length_is_read(suite, encrypt_then_mac, by_hand):
    server, made = by_hand(suite, encrypt_then_mac)
    for padding in range(16, 257):
        data = bytes(-padding % 16 + 16)
        assert server.receive(made.record(tls_wire.APPLICATION_DATA, data, padding)) == [Data(data)]


@pytest.mark.requirement("REQ.TA.TLS.Close.70")
@WITH_CBC
@IN_EITHER_ORDER
def test_a_record_with_too_much_data_is_answered_with_record_overflow(suite, encrypt_then_mac, by_hand):
    server, made = by_hand(suite, encrypt_then_mac)
    with pytest.raises(ConnectionFailed) as refused:
        server.receive(made.record(tls_wire.APPLICATION_DATA, bytes(16384 + 16), 16))
    assert refused.value.alert == Alert.RECORD_OVERFLOW


@pytest.mark.requirement("REQ.TA.TLS.Close.70")
@BOTH
def test_a_record_that_is_too_long_is_answered_with_record_overflow(version, opened):
    client, server = opened(version)
    too_long = 16384 + 2048 + 1
    with pytest.raises(ConnectionFailed) as refused:
        server.receive(tls_wire.record(tls_wire.APPLICATION_DATA, bytes(too_long)))
    assert refused.value.alert == Alert.RECORD_OVERFLOW
    with pytest.raises(ConnectionFailed) as told:
        client.receive(server.data_to_send())
    assert told.value.alert == Alert.RECORD_OVERFLOW


@WITH_CBC
def test_wrong_padding_is_an_error_that_tells_nothing_more(suite, by_hand):
    server, made = by_hand(suite, encrypt_then_mac=False)
    made.mac_key = bytes(len(made.mac_key))
    with pytest.raises(ConnectionFailed) as refused:
        server.receive(made.record(tls_wire.APPLICATION_DATA, bytes(16), 16))
    assert refused.value.alert == Alert.BAD_RECORD_MAC


@pytest.mark.requirement("REQ.TA.TLS.Close.10", "REQ.TA.TLS.Close.40")
@pytest.mark.parametrize("number", [alert for alert in Alert if alert is not Alert.CLOSE_NOTIFY])
def test_a_fatal_alert_ends_an_open_connection(number, by_hand):
    server, made = by_hand("ECDHE-ECDSA-AES128-SHA256", encrypt_then_mac=True)
    with pytest.raises(ConnectionFailed) as told:
        server.receive(made.record(tls_wire.ALERT, bytes([FATAL, number]), 14))
    assert (told.value.alert, told.value.received) == (number, True)
    for late in (lambda: server.send(b"x"), lambda: server.receive(made.record(23, b"x", 15))):
        with pytest.raises(TlsError, match=r"tls\.over"):
            late()


# what may not be


@pytest.mark.parametrize("end", ["client", "server"])
def test_nothing_is_renegotiated(end, ends, bare, identity, drive):
    peer = bare(
        server=end == "client",
        identity=identity("administrator" if end == "client" else "gateway"),
        tune=lambda context: context.set_max_proto_version(SSL.TLS1_2_VERSION),
    )
    ours = ends({TLS12})[0 if end == "client" else 1].connection()
    drive(*((ours, peer) if end == "client" else (peer, ours)))
    peer.ssl.renegotiate()
    with suppress(SSL.WantReadError):
        peer.ssl.do_handshake()
    assert ours.receive(peer.data_to_send()) == []
    with suppress(SSL.Error):
        peer.receive(ours.data_to_send())
    assert Alert.NO_RENEGOTIATION in peer.alerts


def test_nobody_is_invited_to_send_data_in_the_first_flight(ends, bare, identity, drive):
    client = bare(server=False, identity=identity("gateway"))
    profiles = {"client": replace(WAN_CLIENT, resumption=True), "server": replace(WAN_SERVER, resumption=True)}
    drive(client, ends({TLS13}, **profiles)[1].connection())
    session = client.ssl.get_session()
    assert binding.lib.SSL_SESSION_get_max_early_data(session._session) == 0
