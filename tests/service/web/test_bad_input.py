"""What strangers and broken clients send: each gets its answer, nothing is lost, and the service goes on."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import httpx
import pytest

from smpki.errors import TlsError
from smpki.requests.build import RequestedNames
from smpki.soap.faults import PeerFault
from smpki.soap.messages import GetServiceStatus, Operation, RequestCertificate, ReturnCode
from smpki.soap.read import read_answer
from smpki.soap.schema import NAMESPACE
from smpki.tls.identity import Identity
from smpki.tls.profile import WAN_CLIENT, Version

XML = {"content-type": "text/xml"}
ENVELOPE = '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>{}</e:Body></e:Envelope>'
STATUS = GetServiceStatus("1")


def message(operation: str, *fields: tuple[str, str], namespace: str = NAMESPACE) -> bytes:
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in fields)
    return ENVELOPE.format(f'<{operation}_Req xmlns="{namespace}">{inner}</{operation}_Req>').encode()


def request(package: str, indicator: str = "callback_not_possible", message_id: str | None = None) -> bytes:
    return asked("RequestCertificate", ("certReq", package), indicator, message_id)


def asked(
    operation: str, field: tuple[str, str], indicator: str = "callback_not_possible", message_id: str | None = None
) -> bytes:
    """An operation that could be answered later."""
    ids = [("messageID", message_id)] if message_id is not None else []
    return message(operation, ("callbackIndicator", indicator), *ids, field)


BOMB = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "xx"><!ENTITY c "&b;&b;">]><a>&c;</a>'

FAULTS = {
    "no XML": b"what?",
    "malformed": b"<a><b></a>",
    "empty": b"",
    "entities": BOMB,
    "external": b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    "wrong namespace": message("GetServiceStatus", ("messageID", "1"), namespace="urn:other"),
    "unknown operation": message("DropTables", ("messageID", "1")),
    "SOAP 1.2": b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body/></e:Envelope>',
}

SYNTAX = {
    "wrong base64": request("%%%"),
    "wrong indicator": request("AAAA", "maybe"),
    "no package": message("RequestCertificate", ("callbackIndicator", "callback_not_possible")),
}

LATER = {
    Operation.REQUEST_CERTIFICATE: ("certReq", "AAAA"),
    Operation.GET_CERTIFICATE_CHAIN: ("certReference", "CN=Beispiel.CA"),
    Operation.CERTIFICATE_REVOCATION_REQUEST: ("certRevReq", "AAAA"),
    Operation.UPDATE_DEVICE_ADMIN: ("updDevAdminReq", "AAAA"),
}


def test_every_malformed_message_is_answered_and_the_next_is_served(world: Any) -> None:
    emt = world.register()

    async def story() -> None:
        async with world.service() as service, service.client(emt.identity) as client:
            for name, body in FAULTS.items():
                response = await client.post("/", content=body, headers=XML)
                assert response.status_code == 500, name
                with pytest.raises(PeerFault):
                    read_answer(response.content, Operation.REQUEST_CERTIFICATE)
            for name, body in SYNTAX.items():
                response = await client.post("/", content=body, headers=XML)
                answer = read_answer(response.content, Operation.REQUEST_CERTIFICATE)
                assert (response.status_code, answer.code) == (200, ReturnCode.FAILURE_SYNTAX), name
            for operation, field in LATER.items():
                for ids in (("callback_possible", None), ("callback_possible", ""), ("callback_not_possible", "1")):
                    response = await client.post("/", content=asked(operation, field, *ids), headers=XML)
                    answer = read_answer(response.content, operation)
                    assert answer.code is ReturnCode.FAILURE_SYNTAX, (operation, ids)
            for operation in (Operation.GENERAL_MESSAGE, Operation.GET_SERVICE_STATUS):
                response = await client.post("/", content=message(operation, ("messageID", "")), headers=XML)
                assert read_answer(response.content, operation).code is ReturnCode.FAILURE_SYNTAX
            assert (await service.ask_over(client, STATUS)).code is ReturnCode.OK_RECEIVED_CORRECTLY

    before = world.audit()
    world.run(story())
    assert world.audit() == before


def test_http_that_is_not_for_soap(world: Any) -> None:
    emt = world.register()

    async def story() -> None:
        async with world.service() as service:

            async def ask(method: str, path: str, **more: Any) -> httpx.Response:
                async with service.client(emt.identity) as client:
                    return await client.request(method, path, **more)

            wsdl = await ask("GET", "/services/SmartMeterService?wsdl")
            assert wsdl.status_code == 200
            assert b"/services/SmartMeterService" in wsdl.content
            assert (await ask("GET", "/")).status_code == 405
            assert (await ask("PUT", "/", content=b"x", headers=XML)).status_code == 405
            assert (
                await ask("POST", "/", content=b"x", headers={"content-type": "application/json"})
            ).status_code == 415
            assert (await ask("POST", "/", content=b"x" * 2_000_000, headers=XML)).status_code == 413

            async def pieces() -> Any:
                yield message("GetServiceStatus", ("messageID", "1"))

            chunked = await ask("POST", "/", content=pieces(), headers=XML)
            assert read_answer(chunked.content, Operation.GET_SERVICE_STATUS).code is ReturnCode.OK_RECEIVED_CORRECTLY

    world.run(story())


def test_a_hundred_megabytes_are_not_read(world: Any) -> None:
    emt = world.register()
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 100 << 20:
            sent += 1 << 16
            yield bytes(1 << 16)

    async def story() -> None:
        async with world.service() as service:
            async with service.client(emt.identity) as client:
                try:
                    response = await client.post("/", content=endless(), headers=XML)
                    assert response.status_code == 413
                except (httpx.HTTPError, TlsError):
                    pass  # the connection was closed while the client was writing
            assert (await service.ask(emt, STATUS)).code is ReturnCode.OK_RECEIVED_CORRECTLY

    tracemalloc.start()
    try:
        world.run(story())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent < 50 << 20
    assert most < 16 << 20  # of client and server together


def test_who_is_refused_at_the_handshake(world: Any, other_pki: Callable[[], Any]) -> None:
    emt, revoked = world.register(), world.register("Weg.EMT")
    stranger = other_pki().register()
    with world.workshop.open() as pki:
        pki.revocations.revoke([f"{revoked.certificates[0].serial_number:x}"], "key_compromise")
    sig = Identity((emt.certificates[1], *emt.identity.certificates[1:]), emt.keys.sig)
    keys, names = world.make_keys(), RequestedNames()
    seal = world.packages.make("EABC0000000001.SMGW", keys=keys, OU="H GmbH", serialNumber="0", names=names)
    gateway = world.issue(seal, keys)
    old = replace(WAN_CLIENT, versions=frozenset({Version.TLS12}))
    new = replace(WAN_CLIENT, versions=frozenset({Version.TLS13}))
    cases = {
        "none": None,
        "another PKI": stranger.identity,
        "revoked": revoked.identity,
        "no TLS certificate": sig,
        "a gateway": gateway.identity,
    }

    async def story() -> dict[str, str]:
        refusals = {}
        async with world.service() as service:
            for (name, identity), profile in product(cases.items(), (old, new)):
                with pytest.raises((TlsError, httpx.HTTPError)) as caught:
                    async with service.client(identity, profile=profile) as client:
                        await service.ask_over(client, STATUS)
                refusals[f"{name} {next(iter(profile.versions)).value}"] = str(caught.value)
            for profile in (old, new):
                async with service.client(emt.identity, profile=profile) as client:
                    assert (await service.ask_over(client, STATUS)).code is ReturnCode.OK_RECEIVED_CORRECTLY
        return refusals

    refusals = world.run(story())
    assert "unknown_ca" in refusals["another PKI TLSv1.2"]
    assert "certificate_revoked" in refusals["revoked TLSv1.2"]
    assert len(refusals) == 10


def test_a_certificate_that_the_database_does_not_know(world: Any, worlds: Callable[[], Any]) -> None:
    copy = worlds().register()  # of a copy of this PKI, with the same CAs

    async def story() -> None:
        async with world.service() as service:
            assert (await service.ask(copy, STATUS)).code is ReturnCode.FAILURE_OTHER_ERROR
            package = RequestCertificate(copy.renewal())
            assert (await service.ask(copy, package)).code is ReturnCode.FAILURE_UNAUTHORIZED_REQUEST

    world.run(story())
