"""Handshakes with TLS that nobody here wrote: Debian's openssl, mbed TLS, sslscan."""

import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import mbedtls.exceptions
import mbedtls.x509
import pytest
import tls_wire
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mbedtls import pk, tls

from smpki.errors import TlsError
from smpki.tls.connection import Closed, Connection, Data, Established
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import Alert, PeerRefused, pinned
from smpki.tls.profile import (
    HAN_CLIENT,
    HAN_SERVER,
    LMN_CLIENT,
    LMN_SERVER,
    Version,
)
from smpki.tls.suites import SUITES

TLS12, TLS13 = Version.TLS12, Version.TLS13
SUITES_12 = {name: choice.library for name, choice in SUITES.items() if TLS12 in choice.versions}
SUITES_13 = [name for name, choice in SUITES.items() if TLS13 in choice.versions]
LIBRARY_GROUPS = {
    "brainpoolP256r1": "brainpoolP256r1",
    "brainpoolP384r1": "brainpoolP384r1",
    "brainpoolP512r1": "brainpoolP512r1",
    "secp256r1": "P-256",
    "secp384r1": "P-384",
}


@pytest.fixture
def long_lived(identity, certificate):
    """An identity for programs that look at the clock of the machine."""

    def make(name, curve="brainpoolP256r1"):
        key = identity(name, curve).key
        years = {"valid_from": datetime(2020, 1, 1, tzinfo=UTC), "valid_to": datetime(2099, 1, 1, tzinfo=UTC)}
        return Identity((certificate(name, key, **years),), key)

    return make


@pytest.fixture
def pem(tmp_path):
    """Writes an identity where a program can read it: certificate and key in one file."""

    def write(identity):
        file = tmp_path / f"{os.urandom(4).hex()}.pem"
        key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(identity.certificates[0].public_bytes(Encoding.PEM) + key)
        return str(file)

    return write


def knows(identity):
    return pinned([identity.certificates[0].fingerprint(SHA256())])


@dataclass
class Served:
    """What a server of ours saw."""

    port: int
    connections: list[Connection] = field(default_factory=list)
    errors: list[TlsError] = field(default_factory=list)


@contextmanager
def serving(endpoint: Endpoint) -> Iterator[Served]:
    """A server that answers each piece of data in capital letters."""
    listener = socket.create_server(("127.0.0.1", 0))
    served = Served(listener.getsockname()[1])

    def answer(taken: socket.socket, connection: Connection) -> None:
        with taken, suppress(OSError):
            while data := taken.recv(65536):
                try:
                    for event in connection.receive(data):
                        if isinstance(event, Data):
                            connection.send(event.data.upper())
                        elif isinstance(event, Closed):
                            connection.close()
                except TlsError as error:
                    served.errors.append(error)
                    taken.sendall(connection.data_to_send())
                    taken.shutdown(socket.SHUT_WR)  # the alert is lost when both ways are closed at once
                    while taken.recv(65536):
                        pass
                    return
                taken.sendall(connection.data_to_send())

    def accept() -> None:
        with suppress(OSError):
            while True:
                taken, _ = listener.accept()
                taken.settimeout(20)
                served.connections.append(endpoint.connection())
                answers.append(threading.Thread(target=answer, args=(taken, served.connections[-1])))
                answers[-1].start()

    answers: list[threading.Thread] = []
    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield served
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(120)
        for thread in answers:
            thread.join(120)


def ask(port, *options, say=b"a question\n"):
    """Ask by ``openssl s_client``: the answer, and what the program printed besides."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        program.stdin.write(say)
        program.stdin.flush()
        printed = b""
        while (line := program.stdout.readline()) and line != say.upper():
            printed += line
        with suppress(BrokenPipeError):
            program.stdin.write(b"Q\n")
            program.stdin.close()
        printed += program.stdout.read() + program.stderr.read()
    return line, printed.decode()


@contextmanager
def openssl_server(*options):
    """``openssl s_server``, which answers each line backwards: its port."""
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-rev", "-naccept", "2", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:
        try:
            while not (found := re.match(r"ACCEPT 127\.0\.0\.1:(\d+)", line := program.stdout.readline())):
                assert line, "openssl s_server does not start"
            yield int(found[1])
        finally:
            program.kill()


def call(connection, port, say=b"abc\n"):
    """Let a client of ours say one line to a server and get one back; its error, if any, is raised."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as stream:
        connection.start()
        stream.sendall(connection.data_to_send())
        answer = b""
        while not answer.endswith(b"\n"):
            data = stream.recv(65536)
            events = connection.receive(data) if data else connection.receive_eof()
            for event in events:
                if event == Established():
                    connection.send(say)
                elif isinstance(event, Data):
                    answer += event.data
            stream.sendall(connection.data_to_send())
        connection.close()
        stream.sendall(connection.data_to_send())
    return answer


# openssl


@pytest.mark.parametrize("suite", SUITES_12)
def test_openssl_as_client_with_each_cipher_suite(suite, ends, long_lived, pem):
    ours, theirs = long_lived("administrator"), long_lived("gateway")
    with serving(ends({TLS12}, theirs=ours, server_check=knows(theirs))[1]) as served:
        file = pem(theirs)
        options = ["-tls1_2", "-cipher", SUITES_12[suite], "-curves", "brainpoolP256r1", "-cert", file, "-key", file]
        answer, printed = ask(served.port, *options, "-CAfile", pem(ours), "-verify_return_error")
    assert answer == b"A QUESTION\n", printed
    assert served.connections[0].suite == suite
    assert served.connections[0].group == "brainpoolP256r1"
    assert served.connections[0].extended_master_secret
    assert "Verify return code: 0 (ok)" in printed
    assert "Server Temp Key: ECDH, brainpoolP256r1" in printed


@pytest.mark.parametrize("group", LIBRARY_GROUPS)
def test_openssl_as_client_on_each_curve(group, ends, long_lived, pem):
    ours, theirs = long_lived("administrator", group), long_lived("gateway", group)
    profiles = {"client": HAN_CLIENT, "server": HAN_SERVER}
    with serving(ends(theirs=ours, server_check=knows(theirs), **profiles)[1]) as served:
        file = pem(theirs)
        options = ["-tls1_2", "-curves", LIBRARY_GROUPS[group], "-cert", file, "-key", file]
        answer, printed = ask(served.port, *options)
    assert answer == b"A QUESTION\n", printed
    assert served.connections[0].group == group


@pytest.mark.parametrize("suite", SUITES_13)
def test_openssl_as_client_of_tls_1_3_on_the_curve_that_it_has_there(suite, ends, long_lived, pem):
    ours, theirs = long_lived("administrator", "secp256r1"), long_lived("gateway", "secp256r1")
    profiles = {"client": HAN_CLIENT, "server": HAN_SERVER}
    with serving(ends(theirs=ours, server_check=knows(theirs), **profiles)[1]) as served:
        file = pem(theirs)
        options = ["-tls1_3", "-ciphersuites", suite, "-curves", "P-256", "-cert", file, "-key", file]
        answer, printed = ask(served.port, *options)
    assert answer == b"A QUESTION\n", printed
    assert (served.connections[0].version, served.connections[0].suite) == (TLS13, suite)


@pytest.mark.parametrize("versions", [{TLS12}, {TLS12, TLS13}], ids=["1.2", "both"])
@pytest.mark.parametrize("suite", SUITES_12)
def test_openssl_as_server_with_each_cipher_suite(suite, versions, ends, long_lived, pem):
    ours, theirs = long_lived("gateway"), long_lived("administrator")
    file = pem(theirs)
    options = ["-tls1_2", "-cipher", SUITES_12[suite], "-named_curve", "brainpoolP256r1", "-cert", file, "-key", file]
    with openssl_server(*options, "-Verify", "1", "-CAfile", pem(ours), "-verify_return_error") as port:
        client = ends(versions, ours=ours, client_check=knows(theirs))[0].connection(server_name="gwa.example")
        assert call(client, port) == b"cba\n"
    assert client.suite == suite
    assert client.group == "brainpoolP256r1"
    assert client.extended_master_secret


@pytest.mark.parametrize("suite", SUITES_13)
def test_openssl_as_server_of_tls_1_3_on_the_curve_that_it_has_there(suite, ends, long_lived, pem):
    ours, theirs = long_lived("gateway", "secp256r1"), long_lived("administrator", "secp256r1")
    file = pem(theirs)
    options = ["-tls1_3", "-ciphersuites", suite, "-curves", "P-256", "-cert", file, "-key", file]
    with openssl_server(*options, "-Verify", "1", "-CAfile", pem(ours), "-verify_return_error") as port:
        profiles = {"client": HAN_CLIENT, "server": HAN_SERVER}
        client = ends(ours=ours, client_check=knows(theirs), **profiles)[0].connection()
        assert call(client, port) == b"cba\n"
    assert (client.version, client.suite) == (TLS13, suite)


@pytest.mark.parametrize("version", Version, ids=lambda version: version.value)
def test_openssl_sees_the_alert_of_our_server(version, ends, long_lived, pem):
    def check(_chain):
        raise PeerRefused("tls.peer.test", "revoked", alert=Alert.CERTIFICATE_REVOKED)

    ours, theirs = long_lived("administrator", "secp256r1"), long_lived("gateway", "secp256r1")
    profiles = {"client": HAN_CLIENT, "server": HAN_SERVER}
    with serving(ends({version}, theirs=ours, server_check=check, **profiles)[1]) as served:
        file = pem(theirs)
        _, printed = ask(served.port, "-curves", "P-256", "-cert", file, "-key", file)
    assert "SSL alert number 44" in printed
    assert served.errors[0].code == "tls.peer.test"


@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
def test_our_client_sees_the_alert_of_openssl(option, ends, long_lived, pem):
    ours, theirs = long_lived("gateway", "secp256r1"), long_lived("administrator", "secp256r1")
    file = pem(theirs)
    options = [option, "-cert", file, "-key", file, "-Verify", "1", "-verify_return_error", "-CAfile", file]
    with openssl_server(*options) as port:
        profiles = {"client": HAN_CLIENT, "server": HAN_SERVER}
        client = ends(ours=ours, client_check=knows(theirs), **profiles)[0].connection()
        with pytest.raises(TlsError) as told:
            call(client, port)
    assert (told.value.code, told.value.alert) == ("tls.alert", Alert.UNKNOWN_CA)


@pytest.mark.parametrize(("option", "alert"), [("-tls1_3", 70), ("-tls1_2", 40)])
def test_openssl_with_nothing_but_the_forbidden_is_refused(option, alert, ends, long_lived, pem):
    ours, theirs = long_lived("administrator"), long_lived("gateway")
    with serving(ends({TLS12}, theirs=ours, server_check=knows(theirs))[1]) as served:
        file = pem(theirs)
        _, printed = ask(served.port, option, "-curves", "X25519", "-cert", file, "-key", file)
    assert f"SSL alert number {alert}" in printed
    assert served.errors[0].alert == alert


@pytest.mark.parametrize(("version", "option"), [(TLS12, "-tls1_2"), (TLS13, "-tls1_3")], ids=["1.2", "1.3"])
def test_openssl_resumes_with_our_server_that_allows_it(version, option, ends, long_lived, pem, tmp_path):
    ours, theirs = long_lived("meter", "secp256r1"), long_lived("gateway", "secp256r1")
    profiles = {"client": LMN_CLIENT, "server": LMN_SERVER}
    with serving(ends({version}, theirs=ours, server_check=knows(theirs), **profiles)[1]) as served:
        file, session = pem(theirs), str(tmp_path / "session")
        options = [option, "-curves", "P-256", "-cert", file, "-key", file]
        _, first = ask(served.port, *options, "-sess_out", session)
        _, second = ask(served.port, *options, "-sess_in", session)
    assert "Reused" not in first
    assert "Reused" in second
    assert served.connections[1].resumed
    assert served.connections[1].peer_certificate == theirs.certificates[0]


@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
def test_our_client_resumes_with_openssl(option, ends, long_lived, pem):
    ours, theirs = long_lived("gateway", "secp256r1"), long_lived("meter", "secp256r1")
    file = pem(theirs)
    with openssl_server(option, "-cert", file, "-key", file, "-no_ticket") as port:
        profiles = {"client": LMN_CLIENT, "server": LMN_SERVER}
        endpoint = ends(ours=ours, client_check=knows(theirs), **profiles)[0]
        first = endpoint.connection()
        call(first, port)
        second = endpoint.connection(resume=first.session)
        assert call(second, port) == b"cba\n"
    assert second.resumed
    assert second.deadline == first.deadline


# mbed TLS


class MbedEnd:
    """One end that is mbed TLS, in memory."""

    def __init__(self, *, server, identity, trusted, name="", **settings):
        certificate, anchor = (mbedtls.x509.CRT.from_DER(_der(one)) for one in (identity, trusted))
        octets = identity.key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        store = tls.TrustStore()
        store.add(anchor)
        configuration = tls.TLSConfiguration(
            validate_certificates=True,
            certificate_chain=([certificate], pk.ECC.from_buffer(octets)),
            trust_store=store,
            lowest_supported_version=tls.TLSVersion.TLSv1_2,
            highest_supported_version=tls.TLSVersion.TLSv1_2,
            **settings,
        )
        if server:
            self.buffer = tls.ServerContext(configuration).wrap_buffers()
        else:
            self.buffer = tls.ClientContext(configuration).wrap_buffers(name)
        self._server = server
        self._full = False

    def start(self):
        if not self._server:
            self._go_on()

    def receive(self, data):
        self.buffer.receive_from_network(data)
        self._go_on()
        return []

    def data_to_send(self):
        data = b""
        while piece := self.buffer.peek_outgoing(65536):
            self.buffer.consume_outgoing(len(piece))
            data += piece
            if self._full:
                self._go_on()
        return data

    def _go_on(self):
        self._full = False
        try:
            while self.buffer._handshake_state is not tls.HandshakeStep.HANDSHAKE_OVER:
                self.buffer.do_handshake()
        except tls.WantReadError:
            pass
        except tls.WantWriteError:
            self._full = True


def _der(identity):
    return identity.certificates[0].public_bytes(Encoding.DER)


@pytest.mark.parametrize("suite", SUITES_12)
@pytest.mark.parametrize("curve", LIBRARY_GROUPS)
def test_mbedtls_as_client(curve, suite, ends, long_lived, drive):
    ours, theirs = long_lived("meter", curve), long_lived("gateway", curve)
    settings = {"ciphers": [suite.replace("_", "-")], "max_fragmentation_length": tls.MaxFragmentLength.MFL_2048K}
    client = MbedEnd(server=False, identity=theirs, trusted=ours, name="meter", **settings)
    profiles = {"client": HAN_CLIENT, "server": HAN_SERVER}
    server = ends({TLS12}, theirs=ours, server_check=knows(theirs), **profiles)[1].connection()
    assert drive(client, server).server_events == [Established()]
    assert server.suite == suite
    assert server.server_name == "meter"
    client.buffer.write(b"question")
    assert server.receive(client.data_to_send()) == [Data(b"question")]
    server.send(b"answer" * 1000)
    octets = server.data_to_send()
    assert max(len(content) for _, content in tls_wire.records(octets)) <= 2048 + 80
    client.receive(octets)
    assert client.buffer.read(6) == b"answer"


@pytest.mark.parametrize("versions", [{TLS12}, {TLS12, TLS13}], ids=["1.2", "both"])
@pytest.mark.parametrize("suite", SUITES_12)
def test_mbedtls_as_server(suite, versions, ends, long_lived, drive):
    ours, theirs = long_lived("gateway"), long_lived("administrator")
    server = MbedEnd(server=True, identity=theirs, trusted=ours, ciphers=[suite.replace("_", "-")])
    client = ends(versions, ours=ours, client_check=knows(theirs))[0].connection(server_name="administrator")
    assert drive(client, server).client_events == [Established()]
    assert client.suite == suite
    client.send(b"question")
    server.receive(client.data_to_send())
    assert server.buffer.read(8) == b"question"
    server.buffer.write(b"answer")
    assert client.receive(server.data_to_send()) == [Data(b"answer")]


def test_mbedtls_with_nothing_but_the_forbidden_is_refused(ends, long_lived):
    ours, theirs = long_lived("administrator"), long_lived("gateway")
    suites = ["TLS-ECDHE-ECDSA-WITH-CHACHA20-POLY1305-SHA256", "TLS-ECDHE-ECDSA-WITH-CAMELLIA-128-GCM-SHA256"]
    client = MbedEnd(server=False, identity=theirs, trusted=ours, name="administrator", ciphers=suites)
    server = ends({TLS12}, theirs=ours, server_check=knows(theirs))[1].connection()
    client.start()
    with pytest.raises(TlsError) as refused:
        server.receive(client.data_to_send())
    assert refused.value.alert == Alert.HANDSHAKE_FAILURE
    with pytest.raises(mbedtls.exceptions.TLSError, match=r"(?i)fatal alert"):
        client.receive(server.data_to_send())


# sslscan

EVERY_BRAINPOOL_CURVE = """\
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = defaults
[defaults]
Groups = brainpoolP256r1:brainpoolP384r1:brainpoolP512r1:P-256:P-384
"""


def test_sslscan_finds_the_four_cipher_suites_of_tls_1_2_and_nothing_older(ends, long_lived, pem, tmp_path):
    ours, theirs = long_lived("administrator"), long_lived("gateway")
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(EVERY_BRAINPOOL_CURVE)
    with serving(ends(theirs=ours, server_check=knows(theirs))[1]) as served:
        file = pem(theirs)
        report = subprocess.run(
            ["sslscan", "--no-colour", f"--certs={file}", f"--pk={file}", f"127.0.0.1:{served.port}"],
            env={**os.environ, "OPENSSL_CONF": str(configuration)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    assert set(re.findall(r"^(?:Preferred|Accepted)\s+(\S+)\s+\d+ bits\s+(\S+)", report, re.MULTILINE)) == {
        ("TLSv1.2", name) for name in SUITES_12.values()
    }
    assert dict(re.findall(r"^((?:SSL|TLS)v\S+)\s+(enabled|disabled)", report, re.MULTILINE)) == {
        **dict.fromkeys(("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"), "disabled"),
        "TLSv1.2": "enabled",
        "TLSv1.3": "disabled",  # OpenSSL 3.0 has no brainpool there
    }
    assert "Session renegotiation not supported" in report
    assert "TLSv1.2 not vulnerable to heartbleed" in report
