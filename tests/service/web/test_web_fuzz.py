"""Whatever a participant sends: it gets an answer of the protocol, nothing breaks, and nothing is issued or revoked."""

import asyncio
import importlib.util
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from lxml import etree

from smpki.requests.device_admin import build_device_admin_update
from smpki.requests.revocation import RevocationItem, build_revocation_request
from smpki.soap.faults import FaultCode, PeerFault
from smpki.soap.messages import (
    CertificateRevocationRequest,
    CertType,
    GeneralMessage,
    GetCertificateChain,
    GetServiceStatus,
    Operation,
    Request,
    RequestCertificate,
    ReturnCode,
    SendCertificates,
    UpdateDeviceAdmin,
)
from smpki.soap.read import read_answer
from smpki.soap.write import write_request

_spec = importlib.util.spec_from_file_location("soap_fuzz", Path(__file__).parents[2] / "soap" / "test_soap_fuzz.py")
assert _spec is not None and _spec.loader is not None
soap_fuzz = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(soap_fuzz)

XML = {"content-type": "text/xml"}
GATEWAY = "EABC0000000001.SMGW"
KINDS = (RequestCertificate, CertificateRevocationRequest, UpdateDeviceAdmin)


class Target:
    """A running service, and a participant with a connection to it."""

    def __init__(self, world: Any) -> None:
        self.world = world
        gwa = world.administrator()
        self.gwa = gwa
        world.administrator("Neu.GWA")
        package = world.packages.make(GATEWAY, OU="Verwalter.GWA", serialNumber="1", names=world.no_names)
        keys = world.make_keys()
        old = world.packages.make(
            "EABC0000000002.SMGW", keys=keys, OU="Verwalter.GWA", serialNumber="1", names=world.no_names
        )
        certificate = world.issue(gwa.authorised(old), keys).certificates[0]
        item = RevocationItem(certificate.issuer, certificate.serial_number, "key_compromise")
        self.octets = [
            gwa.authorised(package),
            gwa.renewal(),
            package,
            build_revocation_request([item], gwa.signer),
            build_device_admin_update(["EABC0000000002.SMGW"], "Neu.GWA", gwa.signer),
        ]
        granted: list[Request] = [
            RequestCertificate(self.octets[0], cert_type=CertType.SMGW_W),
            CertificateRevocationRequest(self.octets[3]),
            UpdateDeviceAdmin(self.octets[4]),
        ]
        others: list[Request] = [
            RequestCertificate(self.octets[1], "1"),
            GetCertificateChain("CN=Beispiel.CA, O=SM-Test-PKI-DE, C=DE, serialNumber=1"),
            SendCertificates(ReturnCode.OK_CERT_AVAILABLE, None, "", (b"certificate",)),
            GeneralMessage("Firma", "1", "Subject", "Text"),
            GetServiceStatus("1"),
        ]
        self.messages = [write_request(one) for one in (*granted, *others)]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._ended, self._ready = asyncio.Event(), Future[None]()
        self._thread.start()
        self._running = asyncio.run_coroutine_threadsafe(self._serve(), self._loop)
        self._ready.result(60)
        for request in granted:  # what is mutated was granted before: to say so again is no news
            answer = read_answer(self.post(write_request(request)).content, request.operation)
            assert answer.code.startswith("ok_"), answer
        self.before = self.standing()

    async def _serve(self) -> None:
        async with self.world.service() as service, service.client(self.gwa.identity) as self._client:
            self._ready.set_result(None)
            await self._ended.wait()

    def post(self, body: bytes) -> httpx.Response:
        return asyncio.run_coroutine_threadsafe(self._client.post("/", content=body, headers=XML), self._loop).result(
            60
        )

    def standing(self) -> list[Any]:
        tables = self.world.workshop.tables()
        return [tables[name] for name in ("certificate", "intent", "request", "revocation", "participant")]

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._running.result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def target(world: Any, caplog: pytest.LogCaptureFixture) -> Iterator[Target]:
    made = Target(world)
    yield made
    made.end()
    assert made.standing() == made.before
    assert [one.getMessage() for one in caplog.records if one.exc_info or one.levelno >= logging.ERROR] == []
    world.workshop.assert_chain_holds()


@st.composite
def mutated(draw: st.DrawFn, octets: bytes) -> bytes:
    """DER with other octets in some place, or with a piece cut out, doubled or moved."""
    data = bytearray(octets)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "set", "insert", "delete", "repeat", "cut"])):
            case "flip":
                data[at : at + 1] = bytes(octet ^ 1 << draw(st.integers(0, 7)) for octet in data[at : at + 1])
            case "set":
                data[at : at + 1] = draw(st.sampled_from([b"\x00", b"\x30", b"\x80", b"\x84", b"\xff"]))
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "delete":
                del data[at : at + draw(st.integers(1, 40))]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 200))]
            case "cut":
                del data[at:]
    return bytes(data)


@st.composite
def bodies(draw: st.DrawFn, target: Target) -> bytes:
    match draw(st.sampled_from(["octets", "message", "package", "package", "package"])):
        case "octets":
            return draw(st.binary(max_size=300))
        case "message":
            return draw(soap_fuzz.mutations(target.messages))
    kind, octets = draw(st.sampled_from(KINDS)), draw(st.sampled_from(target.octets))
    return write_request(kind(draw(mutated(octets))))


def check(target: Target, body: bytes) -> None:
    response = target.post(body)
    assert response.status_code in (200, 500)
    assert b"Traceback" not in response.content
    if response.status_code == 500:
        with pytest.raises(PeerFault) as caught:
            read_answer(response.content, Operation.GET_SERVICE_STATUS)
        assert caught.value.fault.code is not FaultCode.SERVER
        return
    ((answer,),) = etree.fromstring(response.content)
    operation = Operation(etree.QName(answer).localname.removesuffix("_Res"))
    assert read_answer(response.content, operation).code is not ReturnCode.FAILURE_INTERNAL_ERROR


quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=quiet)
@given(data=st.data())
def test_every_message_gets_an_answer(target: Target, data: st.DataObject) -> None:
    check(target, data.draw(bodies(target)))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_one_of_20_000_messages_gets_an_answer(target: Target, part: int) -> None:
    @seed(part)
    @settings(max_examples=5_000, deadline=None, database=None, suppress_health_check=quiet)
    @given(data=st.data())
    def check_all(data: st.DataObject) -> None:
        check(target, data.draw(bodies(target)))

    check_all()
