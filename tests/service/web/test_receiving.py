"""A participant takes the results that its CA sends later."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import ServiceError, TlsError
from smpki.participant.access import Access
from smpki.participant.own_ca import OwnCa, material_of
from smpki.participant.pending import PendingFolder
from smpki.participant.sending import Sent, has_triple, send_package
from smpki.participant.web_service import Patience
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.service.receiving import Receiver, ReceiverSettings, receiving
from smpki.service.web.own import own_identity
from smpki.service.web.store.queue import RequestQueue, State
from smpki.soap.messages import (
    Answer,
    GeneralMessage,
    GetServiceStatus,
    RequestCertificate,
    ReturnCode,
    SendCertificates,
)
from smpki.soap.write import write_request
from smpki.tls.identity import Identity
from smpki.trust.question import Revocation

Code = ReturnCode
HELD = {"issuing.manual_approval": ["emt"]}


class Office:
    """A participant with a folder for requests that are answered later."""

    def __init__(self, world: Any, who: Any, folder: Path) -> None:
        self.world = world
        self.who = who
        self.pending = PendingFolder(folder / "pending")
        self.news = folder / "news"
        self.triple = folder / "triple"
        material = material_of(who.chain)
        name = DistinguishedName.from_x509(who.chain[-1].subject)
        self.ca = OwnCa(name, lambda: material, Revocation.IF_KNOWN, lambda: world.workshop.now)

    def access(self, url: str) -> Access:
        return Access(url, self.who.identity, self.ca, Patience(tries=1))

    @asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator[Any]:
        receiver = Receiver(self.pending, self.news, self.ca, self.access)
        settings = ReceiverSettings("127.0.0.1", port, end=2)
        async with receiving(receiver, self.ca, self.who.identity, settings) as server:
            yield self.world.service_of(server)


def ca_identity(world: Any) -> Identity:
    with world.workshop.open() as pki:
        return own_identity(pki, world.CA, CertificateType.SUB_CA_TLS)


def tell(office: Office, *messages: Any, sender: Identity | None = None) -> list[Answer]:
    """What a receiver answers to messages of the CA."""

    async def story() -> list[Answer]:
        async with office.open() as service:
            identity = sender or ca_identity(office.world)
            return [await service.ask(identity, message) for message in messages]

    answers: list[Answer] = office.world.run(story())
    return answers


def codes(office: Office, *messages: Any) -> list[ReturnCode]:
    return [answer.code for answer in tell(office, *messages)]


@pytest.fixture
def office(world: Any, tmp_path: Path) -> Office:
    return Office(world, world.register(), tmp_path / "office")


def granted(office: Office, package: bytes, keys: Any = None) -> tuple[bytes, ...]:
    """The certificates for a package, from the desk."""
    office.world.near_the_end()
    issued = office.world.issue(package, keys)
    return tuple(one.public_bytes(Encoding.DER) for one in issued.certificates)


def test_a_result_comes_later_and_is_kept(world: Any, changed_policy: Any, tmp_path: Path, unused_port: int) -> None:
    emt = world.register(url=f"https://127.0.0.1:{unused_port}/results")
    office = Office(world, emt, tmp_path / "office")
    world.near_the_end()
    world.options["policy"] = changed_policy(HELD)
    package = emt.renewal()

    async def story() -> None:
        async with world.service() as service, office.open(unused_port):
            async with office.access(f"https://127.0.0.1:{service.server.port}/").open() as ca:
                for _ in range(2):  # a crash in between would do the same
                    assert await send_package(ca, package, office.triple, office.ca, office.pending) is Sent.PENDING
            (waiting,) = office.pending.all()
            assert (waiting.status, has_triple(office.triple)) == (None, False)
            await asyncio.to_thread(approve, world)
            while (one := await asyncio.to_thread(first, world)).state is not State.DELIVERED:
                await asyncio.sleep(0.02)
            assert one.remark == Code.OK_RECEIVED_CORRECTLY
            async with office.access(f"https://127.0.0.1:{service.server.port}/").open() as ca:
                assert await send_package(ca, package, office.triple, office.ca, office.pending) is Sent.STORED

    world.run(story())
    (done,) = office.pending.all()
    assert done.status is Code.OK_CERT_AVAILABLE
    assert has_triple(office.triple)


def first(world: Any) -> Any:
    with world.workshop.open() as pki:
        (one,) = pki.store.beside(RequestQueue).list(all=True)
        return one


def approve(world: Any) -> None:
    with world.workshop.open() as pki:
        desk = pki.store.beside(RequestQueue)
        desk.approve(desk.list(all=True)[0].id)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_a_result_counts_once_also_over_a_restart(office: Office) -> None:
    keys = office.world.make_keys()
    package = office.who.renewal(keys)
    request = office.pending.put(package, office.triple, "https://ca.example/")
    certificates = granted(office, package, keys)
    result = SendCertificates(Code.OK_CERT_AVAILABLE, request.message_id, "", certificates)
    assert codes(office, result, result) == [Code.OK_RECEIVED_CORRECTLY] * 2
    before = {file: file.stat().st_mtime_ns for file in office.triple.iterdir()}
    other = SendCertificates(Code.OK_CERT_AVAILABLE, request.message_id, "", certificates[:2])
    refused = SendCertificates(Code.FAILURE_REQUEST_NOT_ACCEPTED, request.message_id, "no")
    assert codes(office, result, other, refused) == [
        *(Code.OK_RECEIVED_CORRECTLY, Code.FAILURE_OTHER_ERROR, Code.FAILURE_OTHER_ERROR)
    ]
    assert {file: file.stat().st_mtime_ns for file in office.triple.iterdir()} == before
    assert office.pending.find(request.message_id) == office.pending.put(package, office.triple, "https://ca.example/")


def test_a_crash_between_triple_and_note_changes_nothing(office: Office) -> None:
    keys = office.world.make_keys()
    package = office.who.renewal(keys)
    request = office.pending.put(package, office.triple, "https://ca.example/")
    result = SendCertificates(Code.OK_CERT_AVAILABLE, request.message_id, "", granted(office, package, keys))
    note = next(iter((office.triple.parent / "pending").iterdir()))
    before = note.read_bytes()
    assert codes(office, result) == [Code.OK_RECEIVED_CORRECTLY]
    note.write_bytes(before)
    assert codes(office, result) == [Code.OK_RECEIVED_CORRECTLY]
    (done,) = office.pending.all()
    assert done.status is Code.OK_CERT_AVAILABLE


def test_a_refusal_is_noted_and_may_be_followed_by_certificates(office: Office) -> None:
    keys = office.world.make_keys()
    package = office.who.renewal(keys)
    request = office.pending.put(package, office.triple, "https://ca.example/")
    refused = SendCertificates(Code.FAILURE_REQUEST_NOT_ACCEPTED, request.message_id, "not without papers")
    assert codes(office, refused, refused) == [Code.OK_RECEIVED_CORRECTLY] * 2
    (noted,) = office.pending.all()
    assert (noted.status, noted.message) == (Code.FAILURE_REQUEST_NOT_ACCEPTED, "not without papers")
    assert noted.as_dict()["status"] == "failure_request_not_accepted"
    after_all = SendCertificates(Code.OK_CERT_AVAILABLE, request.message_id, "", granted(office, package, keys))
    assert codes(office, after_all) == [Code.OK_RECEIVED_CORRECTLY]
    assert has_triple(office.triple)


def test_what_does_not_fit_is_not_taken(office: Office) -> None:
    keys = office.world.make_keys()
    package, unasked = office.who.renewal(keys), office.who.renewal()
    request = office.pending.put(unasked, office.triple, "https://ca.example/")
    certificates = granted(office, package, keys)
    (answer,) = tell(office, SendCertificates(Code.OK_CERT_AVAILABLE, request.message_id, "", certificates))
    assert answer.code is Code.FAILURE_OTHER_ERROR
    assert "[web_service.certificates.key]" in answer.message
    unknown = [SendCertificates(Code.OK_CERT_AVAILABLE, name, "", certificates) for name in ("0" * 32, "../x", "1")]
    assert codes(office, *unknown) == [Code.FAILURE_MESSAGE_ID_UNKNOWN] * 3
    assert not office.triple.exists()
    (left,) = office.pending.all()
    assert left.status is None


def test_what_nobody_asked_for_is_kept_once(office: Office) -> None:
    push = SendCertificates(Code.OK_CERT_AVAILABLE, None, "a new Sub-CA", (b"a certificate",))
    word = GeneralMessage("Beispiel.CA", "7", "Closed", "on Monday")
    assert codes(office, push, push, word, word, GetServiceStatus("8")) == [Code.OK_RECEIVED_CORRECTLY] * 5
    kept = sorted((json.loads(file.read_bytes()) for file in office.news.iterdir()), key=len)
    assert [one.get("body") or one["certificates"] for one in kept] == [["YSBjZXJ0aWZpY2F0ZQ=="], "on Monday"]


def test_only_the_own_ca_gets_in(office: Office, other_pki: Callable[[], Any]) -> None:
    abroad = other_pki()
    other = office.world.register("Andere.EMT")
    for stranger in (other.identity, ca_identity(abroad)):
        with pytest.raises(TlsError) as refused:
            tell(office, GetServiceStatus("1"), sender=stranger)
        assert refused.value.code == "tls.alert"


def test_operations_of_a_ca_are_not_offered(office: Office) -> None:
    async def story() -> str:
        async with office.open() as service, service.client(ca_identity(office.world)) as client:
            content = write_request(RequestCertificate(b"package"))
            response = await client.post("/", content=content, headers={"content-type": "text/xml"})
            text: str = response.text
            return text

    assert "does not offer RequestCertificate" in office.world.run(story())


def test_a_note_that_is_none(tmp_path: Path) -> None:
    folder = PendingFolder(tmp_path)
    request = folder.put(b"package", tmp_path / "triple", "https://ca.example/")
    note = tmp_path / f"{request.message_id}.json"
    for content in (b"", b"[]", b"{}", b'{"package": 1}'):
        note.write_bytes(content)
        with pytest.raises(ServiceError) as refused:
            folder.all()
        assert refused.value.code == "pending.unreadable"
