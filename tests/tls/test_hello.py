"""What a hello says, octet by octet."""

from dataclasses import replace

import pytest
import tls_wire
from cryptography import x509

from smpki.tls.profile import HAN_CLIENT, HAN_SERVER, LMN_CLIENT, LMN_SERVER, WAN_CLIENT, WAN_SERVER, Version

TLS12, TLS13 = Version.TLS12, Version.TLS13
CLIENTS = {"WAN": WAN_CLIENT, "HAN": HAN_CLIENT, "LMN": LMN_CLIENT}
AUTHORITIES = [x509.Name.from_rfc4514_string(f"CN={name}.CA,O=SM-PKI-DE,C=DE") for name in ("SM-Root", "SM-Root2")]

SUITES_12, SUITES_13 = [0xC02C, 0xC02B, 0xC024, 0xC023], [0x1302, 0x1301, 0x1304]
SIGNATURES_12, SIGNATURES_13 = [0x0403, 0x0503, 0x0603], [0x081A, 0x081B, 0x081C, 0x0403, 0x0503]
ORDER_OF_GROUP = {33: 512, 28: 512, 32: 384, 27: 384, 24: 384, 31: 256, 26: 256, 23: 256}


@pytest.fixture
def client_hello(ends):
    def say(*versions, client=WAN_CLIENT, server_name=None, authorities=()):
        connection = ends(versions, client=client, authorities=authorities)[0].connection(server_name=server_name)
        connection.start()
        return tls_wire.read_hello(connection.data_to_send())

    return say


@pytest.mark.requirement("REQ.TA.TLS.Handshake.50", "REQ.TA.TLS.Handshake.80", "REQ.TA.TLS.Handshake.90")
@pytest.mark.parametrize("link", CLIENTS)
def test_what_a_client_of_tls_1_2_offers(link, client_hello):
    hello = client_hello(TLS12, client=CLIENTS[link])
    assert hello.version == 0x0303
    assert hello.suites == SUITES_12
    assert hello.compressions == b"\0"
    assert hello.numbers(tls_wire.GROUPS) == [28, 27, 24, 26, 23]
    assert hello.numbers(tls_wire.SIGNATURE_ALGORITHMS) == SIGNATURES_12
    assert hello.extensions[tls_wire.POINT_FORMATS] == b"\1\0"  # uncompressed
    assert hello.extensions[tls_wire.ENCRYPT_THEN_MAC] == b""
    assert hello.extensions[tls_wire.EXTENDED_MASTER_SECRET] == b""


@pytest.mark.requirement("REQ.TA.TLS.Handshake.70")
@pytest.mark.parametrize("link", CLIENTS)
def test_what_a_client_of_tls_1_3_offers(link, client_hello):
    hello = client_hello(TLS13, client=CLIENTS[link])
    assert hello.suites == SUITES_13
    assert hello.numbers(tls_wire.GROUPS) == [33, 32, 24, 31, 23]
    assert hello.numbers(tls_wire.SIGNATURE_ALGORITHMS) == SIGNATURES_13
    assert hello.numbers(tls_wire.SIGNATURE_ALGORITHMS_CERT) == [0x081A, 0x081B, 0x081C]
    assert hello.extensions[tls_wire.SUPPORTED_VERSIONS] == bytes.fromhex("020304")
    assert hello.extensions[tls_wire.PSK_MODES] == b"\1\1"  # never without ECDHE


def test_what_a_client_of_both_versions_offers(client_hello):
    hello = client_hello(TLS12, TLS13)
    assert hello.suites == SUITES_13 + SUITES_12
    assert set(hello.numbers(tls_wire.GROUPS)) == ORDER_OF_GROUP.keys()
    assert hello.numbers(tls_wire.SIGNATURE_ALGORITHMS) == [0x081A, 0x081B, 0x081C, *SIGNATURES_12]
    assert hello.extensions[tls_wire.SUPPORTED_VERSIONS] == bytes.fromhex("0403040303")
    # a server that chooses TLS 1.2 would find nothing for its certificate among those of 1.3 alone
    of_certificates = hello.numbers(tls_wire.SIGNATURE_ALGORITHMS_CERT)
    assert of_certificates == [0x081A, 0x081B, 0x081C, *SIGNATURES_12]


@pytest.mark.requirement("REQ.TA.TLS.Handshake.60")
@pytest.mark.parametrize("versions", [(TLS12,), (TLS13,), (TLS12, TLS13)])
def test_groups_of_higher_order_come_first(versions, client_hello):
    orders = [ORDER_OF_GROUP[number] for number in client_hello(*versions).numbers(tls_wire.GROUPS)]
    assert orders == sorted(orders, reverse=True)


@pytest.mark.requirement("REQ.TA.TLS.OpenWanSessionAsClient.40", "REQ.TA.TLS.OpenHanSessionAsClient.40")
@pytest.mark.requirement("REQ.TA.TLS.OpenLmnSessionAsClient.50")
@pytest.mark.parametrize("versions", [(TLS12,), (TLS13,), (TLS12, TLS13)])
def test_no_extension_goes_out_that_may_not_be(versions, client_hello):
    hello = client_hello(*versions, client=replace(LMN_CLIENT, alpn=("sml/1",)), server_name="meter.example")
    renegotiation_info = 65281  # empty: RFC 5746 wants it even where nothing is ever renegotiated
    of_both = {tls_wire.SERVER_NAME, tls_wire.GROUPS, tls_wire.SIGNATURE_ALGORITHMS, tls_wire.ALPN}
    of_both |= {tls_wire.ENCRYPT_THEN_MAC, tls_wire.EXTENDED_MASTER_SECRET}
    of_12 = {tls_wire.POINT_FORMATS, renegotiation_info}
    of_13 = {tls_wire.SUPPORTED_VERSIONS, tls_wire.PSK_MODES, tls_wire.KEY_SHARE, tls_wire.SIGNATURE_ALGORITHMS_CERT}
    expected = of_both | (of_12 if TLS12 in versions else set()) | (of_13 if TLS13 in versions else set())
    assert hello.extensions.keys() == expected  # so no ticket, early data or truncated HMAC


def test_the_key_share_is_of_the_group_that_all_must_have(client_hello):
    assert client_hello(TLS12, TLS13).key_shares == [31]


@pytest.mark.requirement("REQ.TA.TLS.Handshake.120")
@pytest.mark.parametrize("versions", [(TLS12,), (TLS12, TLS13)])
def test_the_time_in_a_client_hello_is_random(versions, client_hello):
    times = [int.from_bytes(client_hello(*versions).random[:4]) for _ in range(12)]
    assert len(set(times)) == 12
    assert max(times) - min(times) > 366 * 86400


@pytest.mark.requirement("REQ.TA.TLS.OpenWanSessionAsClient.30", "REQ.TA.TLS.OpenHanSessionAsClient.30")
@pytest.mark.parametrize("client", [WAN_CLIENT, HAN_CLIENT])
def test_the_name_of_the_server_is_sent_as_a_host_name(client, client_hello):
    hello = client_hello(TLS13, client=client, server_name="gwa-1.example.net")
    host_name = b"\0" + tls_wire.vector(b"gwa-1.example.net")
    assert hello.extensions[tls_wire.SERVER_NAME] == tls_wire.vector(host_name)


@pytest.mark.requirement("REQ.TA.TLS.OpenLmnSessionAsClient.30")
@pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
def test_the_application_protocols_of_a_meter_are_offered(version, client_hello):
    hello = client_hello(version, client=replace(LMN_CLIENT, alpn=("sml/1", "cosem/2")))
    assert hello.extensions[tls_wire.ALPN] == tls_wire.vector(b"\x05sml/1\x07cosem/2")


@pytest.mark.requirement("REQ.TA.TLS.Handshake.140")
@pytest.mark.parametrize("versions", [(TLS12,), (TLS12, TLS13)])
def test_a_client_of_tls_1_2_names_the_authorities_when_there_are_several(versions, client_hello):
    named = client_hello(*versions, authorities=AUTHORITIES).extensions[3]
    x509_name = b"\2"
    assert named == tls_wire.vector(b"".join(x509_name + tls_wire.vector(one.public_bytes()) for one in AUTHORITIES))
    assert 3 not in client_hello(*versions, authorities=AUTHORITIES[:1]).extensions


@pytest.mark.requirement("REQ.TA.TLS.Handshake.145")
def test_a_server_of_tls_1_2_names_the_authorities_in_its_request(ends):
    client_side, server_side = ends((TLS12,), authorities=AUTHORITIES)
    client, server = client_side.connection(), server_side.connection()
    client.start()
    server.receive(client.data_to_send())
    request = dict(tls_wire.messages(server.data_to_send()))[tls_wire.CERTIFICATE_REQUEST]
    names = b"".join(tls_wire.vector(one.public_bytes()) for one in AUTHORITIES)
    ecdsa_sign = b"\1\x40"
    signatures = tls_wire.vector(b"".join(code.to_bytes(2) for code in SIGNATURES_12))
    assert request == ecdsa_sign + signatures + tls_wire.vector(names)


@pytest.mark.requirement("REQ.TA.TLS.Handshake.155")
def test_a_server_of_tls_1_3_names_the_authorities_in_its_request(ends, bare, identity, drive):
    client, server = bare(server=False, identity=identity("gateway")), ends((TLS13,), authorities=AUTHORITIES)[1]
    assert drive(client, server.connection()).server_error is None
    names = [name.der() for name in client.ssl.get_client_ca_list()]
    assert names == [one.public_bytes() for one in AUTHORITIES]


@pytest.mark.parametrize("server", [WAN_SERVER, HAN_SERVER, LMN_SERVER])
def test_a_server_of_both_versions_marks_a_hello_of_tls_1_2(server, ends):
    hello = tls_wire.client_hello(
        SUITES_12,
        {
            tls_wire.GROUPS: bytes.fromhex("0002001a"),
            tls_wire.SIGNATURE_ALGORITHMS: bytes.fromhex("00020403"),
            tls_wire.POINT_FORMATS: b"\1\0",
        },
    )
    connection = ends((TLS12, TLS13), server=server)[1].connection()
    connection.receive(hello)
    answer = tls_wire.read_hello(connection.data_to_send())
    assert (answer.version, answer.compressions) == (0x0303, b"\0")
    assert answer.random.endswith(b"DOWNGRD\1")  # RFC 8446 4.1.3
    assert answer.extensions.keys() == {tls_wire.POINT_FORMATS}  # ServerHellos never say more than they are asked
