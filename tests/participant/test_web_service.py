"""A participant asks a web service that answers as the test says."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from smpki.errors import RequestError, ServiceError, SmpkiError
from smpki.participant.own_ca import OwnCa, material_of
from smpki.participant.refusals import rule_behind
from smpki.participant.signers import read_file_certificates
from smpki.participant.web_service import Patience, WebService, message_id_of, web_service
from smpki.policy.names import DistinguishedName
from smpki.soap.codes import return_codes
from smpki.soap.envelope import MAX_SIZE
from smpki.soap.faults import Fault, FaultCode
from smpki.soap.messages import Answer, GetServiceStatus, Operation, RequestCertificate, ReturnCode
from smpki.soap.read import read_request
from smpki.soap.write import write_answer, write_fault
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_server import serve_http
from smpki.tls.identity import Identity
from smpki.tls.profile import WAN_SERVER
from smpki.trust.question import Revocation

EMT = "CN=Firma.EMT, O=SM-Test-PKI-DE, OU=9900000000001, C=DE, serialNumber=1"
SERVER = "CN=Beispiel.CA.TLS, O=SM-Test-PKI-DE, C=DE, serialNumber=1"
CODES = {
    Operation.REQUEST_CERTIFICATE: lambda service: service.request_certificates(b"package"),
    Operation.GET_CERTIFICATE_CHAIN: lambda service: service.certificate_chain("CN=Beispiel.CA"),
    Operation.CERTIFICATE_REVOCATION_REQUEST: lambda service: service.revoke(b"request"),
    Operation.UPDATE_DEVICE_ADMIN: lambda service: service.update_device_admin(b"request"),
    Operation.GET_SERVICE_STATUS: lambda service: service.check_status(),
}
START = datetime(2026, 1, 1, tzinfo=UTC)
OK = ReturnCode.OK_RECEIVED_CORRECTLY
CERTIFICATES = Answer(ReturnCode.OK_CERT_AVAILABLE, certificates=(b"a certificate",))

Reply = Answer | Fault | bytes | int | None
"""An answer, a body, a status of HTTP, or none at all."""


@dataclass
class Script:
    """A service.

    :param replies: one after another; the last one goes on
    """

    replies: list[Reply]
    requests: list[Any] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        request = read_request(body)
        self.requests.append(request)
        assert (b"soapaction", f'"{request.operation}"'.encode()) in scope["headers"]
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        status, content = 200, b""
        match reply:
            case Answer():
                content = write_answer(request.operation, reply)
            case Fault():
                status, content = 500, write_fault(reply)
            case bytes():
                content = reply
            case int():
                status = reply
            case None:
                await asyncio.Event().wait()
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(content))]}
        )
        await send({"type": "http.response.body", "body": content})


@dataclass
class Scene:
    """A participant and its CA's service.

    :ivar pauses: seconds that were waited between tries
    """

    folder: Path
    counter: Any
    pauses: list[float] = field(default_factory=list)

    def now(self) -> Any:
        return self.counter.start

    def identity(self, name: str) -> Identity:
        folder = self.folder / name
        certificates = (*read_file_certificates(folder / "tls.pem"), self.counter.certificate)
        key: Any = load_pem_private_key((folder / "tls.key").read_bytes(), None)
        return Identity(certificates, key)

    def ca(self, **changes: Any) -> OwnCa:
        material = material_of(read_file_certificates(self.folder / "emt" / "chain.pem"))
        name = DistinguishedName.from_x509(self.counter.certificate.subject)
        values = {"name": name, "material": lambda: material, "revocation": Revocation.IF_KNOWN, "now": self.now}
        return OwnCa(**{**values, **changes})

    def ask(
        self,
        script: Script,
        question: Callable[[WebService], Awaitable[Any]],
        *,
        server: str = "ca",
        ca: OwnCa | None = None,
        seconds: float = 20.0,
        port: int | None = None,
    ) -> Any:
        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        async def story() -> Any:
            endpoint = Endpoint(WAN_SERVER, self.identity(server), lambda _: None, clock=self.now)
            async with await serve_http(script, endpoint, "127.0.0.1", 0) as running:
                url = f"https://127.0.0.1:{port or running.port}/service?x=1"
                client = (ca or self.ca()).client(self.identity("emt"))
                patience = Patience(seconds, tries=3, first=1.0, longest=1.5)
                async with web_service(url, client, patience, sleep=sleep) as service:
                    return await question(service)

        return asyncio.run(asyncio.wait_for(story(), 60))

    def fails(self, script: Script, question: Callable[[WebService], Awaitable[Any]], **options: Any) -> SmpkiError:
        with pytest.raises(SmpkiError) as failed:
            self.ask(script, question, **options)
        return failed.value


def another_root() -> x509.Certificate:
    """A root that nothing of this PKI is below."""
    key = ec.generate_private_key(ec.BrainpoolP256R1())
    name = DistinguishedName.parse("CN=SM-Other-Root.CA, O=SM-Test-PKI-DE, C=DE, serialNumber=1").to_x509()
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, START, START + timedelta(days=9000))
    usages = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    bits = dict.fromkeys((*usages, "encipher_only", "decipher_only"), False)
    builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **bits), critical=True)
    return builder.sign(key, hashes.SHA256())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, counter: Any) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    for name, subject in {"emt": EMT, "ca": SERVER}.items():
        counter.fill(folder / name, subject)
    return folder


@pytest.fixture
def scene(filled: Path, counter: Any) -> Scene:
    return Scene(filled, counter)


def test_each_operation_is_sent_and_answered(scene: Scene) -> None:
    script = Script([CERTIFICATES, CERTIFICATES, Answer(OK)])

    async def all_of_them(service: WebService) -> None:
        assert await service.request_certificates(b"package") == (b"a certificate",)
        assert await service.certificate_chain("CN=Beispiel.CA") == (b"a certificate",)
        await service.revoke(b"request")
        await service.update_device_admin(b"request")
        await service.check_status()

    scene.ask(script, all_of_them)
    assert [one.operation for one in script.requests] == list(CODES)
    assert script.requests[0] == RequestCertificate(b"package")
    assert scene.pauses == []


@pytest.mark.parametrize("operation", CODES)
def test_every_return_code_that_brings_nothing_is_an_error(scene: Scene, operation: Operation) -> None:
    brings = {ReturnCode.OK_CERT_AVAILABLE}
    if operation not in (Operation.REQUEST_CERTIFICATE, Operation.GET_CERTIFICATE_CHAIN):
        brings = {OK}
    for code in sorted(return_codes(operation) - brings):
        error = scene.fails(Script([Answer(code, "emt: too early [renewal.too_early]; wait")]), CODES[operation])
        expected = f"web_service.{code.lower()}" if code.startswith("failure") else "web_service.answer"
        assert error.code == expected
        assert error.where.startswith("https://127.0.0.1:") and error.hint
        assert operation in error.message
        passing = code in (ReturnCode.FAILURE_INTERNAL_ERROR, ReturnCode.FAILURE_OTHER_ERROR)
        assert isinstance(error, ServiceError if passing or code.startswith("ok") else RequestError)
        if code.startswith("failure"):
            assert rule_behind(error) == "renewal.too_early"


def test_a_package_is_sent_again_as_long_as_that_may_help(scene: Scene) -> None:
    helpless = (Answer(ReturnCode.FAILURE_INTERNAL_ERROR), Fault(FaultCode.SERVER, "later"), 503)
    for first in helpless:
        script = Script([first, first, CERTIFICATES])
        assert scene.ask(script, CODES[Operation.REQUEST_CERTIFICATE]) == (b"a certificate",)
        assert scene.pauses == [1.0, 1.5]
        assert len(set(script.requests)) == 1
        scene.pauses.clear()
    script = Script([Answer(ReturnCode.FAILURE_OTHER_ERROR)])
    assert scene.fails(script, CODES[Operation.GET_CERTIFICATE_CHAIN]).code == "web_service.failure_other_error"
    assert len(script.requests) == 3


def test_what_is_not_safe_to_repeat_is_sent_once(scene: Scene) -> None:
    for operation in (Operation.CERTIFICATE_REVOCATION_REQUEST, Operation.UPDATE_DEVICE_ADMIN):
        script = Script([503])
        assert scene.fails(script, CODES[operation]).code == "web_service.unavailable"
        assert len(script.requests) == 1
    for code in (ReturnCode.FAILURE_INNER_SIGNATURE, ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED):
        script = Script([Answer(code)])
        scene.fails(script, CODES[Operation.REQUEST_CERTIFICATE])
        assert len(script.requests) == 1
    script = Script([Answer(ReturnCode.FAILURE_OTHER_ERROR, "no token")])
    assert "no token" in scene.fails(script, CODES[Operation.GET_SERVICE_STATUS]).message
    assert [type(one) for one in script.requests] == [GetServiceStatus]


def test_a_dead_host_is_tried_again_whatever_is_asked(scene: Scene, unused_port: int) -> None:
    for operation in (Operation.REQUEST_CERTIFICATE, Operation.CERTIFICATE_REVOCATION_REQUEST):
        error = scene.fails(Script([Answer(OK)]), CODES[operation], port=unused_port)
        assert error.code == "tls.transport.unreachable"
        assert scene.pauses == [1.0, 1.5]
        scene.pauses.clear()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_a_host_that_takes_connections_and_says_nothing_was_not_reached(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {"port": silent.getsockname()[1], "seconds": 2.0}
        error = scene.fails(Script([Answer(OK)]), CODES[Operation.CERTIFICATE_REVOCATION_REQUEST], **options)
    assert error.code == "tls.handshake.timeout"
    assert len(scene.pauses) == 2


def test_a_late_answer_is_none(scene: Scene) -> None:
    script = Script([None])
    error = scene.fails(script, CODES[Operation.CERTIFICATE_REVOCATION_REQUEST], seconds=0.3)
    assert (error.code, len(script.requests)) == ("web_service.timeout", 1)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"garbage", "soap.xml.malformed"),
        (b"<html><body>Welcome</body></html>", "soap.envelope"),
        (b" " * (MAX_SIZE + 1), "soap.size"),
        (write_answer(Operation.GET_SERVICE_STATUS, Answer(OK)), "soap.answer"),
        (Fault(FaultCode.CLIENT, "no"), "soap.fault"),
        (302, "web_service.status"),
        (404, "web_service.status"),
    ],
)
def test_what_is_no_answer(scene: Scene, reply: Reply, code: str) -> None:
    script = Script([reply])
    assert scene.fails(script, CODES[Operation.REQUEST_CERTIFICATE]).code == code
    assert len(script.requests) == 1


def test_nobody_else_is_taken_for_the_ca(scene: Scene, counter: Any) -> None:
    script = Script([CERTIFICATES])
    root = [another_root()]
    cases: dict[str, dict[str, Any]] = {
        "tls.peer.holder": {"ca": scene.ca(name=DistinguishedName.parse("CN=Anders.CA, O=SM-Test-PKI-DE"))},
        "trust.role.name": {"server": "emt"},
        "trust.path": {"ca": scene.ca(material=lambda: material_of(root))},
        "trust.crl.missing": {"ca": scene.ca(revocation=Revocation.REQUIRED)},
        "tls.peer.unknown": {"ca": scene.ca(servers=(counter.certificate,))},
    }
    for code, options in cases.items():
        error = scene.fails(script, CODES[Operation.REQUEST_CERTIFICATE], **options)
        assert error.code.startswith(code), (code, error)
    pinned = scene.ca(servers=read_file_certificates(scene.folder / "ca" / "tls.pem"))
    assert scene.ask(script, CODES[Operation.REQUEST_CERTIFICATE], ca=pinned) == (b"a certificate",)
    assert len(script.requests) == 1
    assert scene.pauses == []


def test_a_message_id_lets_the_service_answer_later(scene: Scene) -> None:
    script = Script([Answer(ReturnCode.OK_SYNTAX)])
    name = message_id_of(b"package")
    assert name == message_id_of(b"package") != message_id_of(b"another")
    assert scene.ask(script, lambda service: service.request_certificates(b"package", message_id=name)) is None
    assert script.requests == [RequestCertificate(b"package", name)]


@pytest.mark.parametrize(
    "url", ["http://ca.example/", "https:///x", "https://a@ca.example/", "https://ca.example:x/", "ca"]
)
def test_addresses_that_are_none(scene: Scene, url: str) -> None:
    async def story() -> None:
        async with web_service(url, scene.ca().client(scene.identity("emt"))):
            pass

    with pytest.raises(ServiceError) as refused:
        asyncio.run(story())
    assert refused.value.code == "web_service.url"
