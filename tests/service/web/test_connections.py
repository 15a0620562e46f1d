"""Connections that the service does not want: another TLS, no certificate in force, heads that take their time."""

import asyncio
import ssl
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.errors import TlsError
from smpki.policy.names import DistinguishedName
from smpki.service.web.application import Limits
from smpki.soap.messages import (
    CertificateRevocationRequest,
    GeneralMessage,
    GetCertificateChain,
    GetServiceStatus,
    RequestCertificate,
    ReturnCode,
    SendCertificates,
    UpdateDeviceAdmin,
)
from smpki.tls.endpoint import Endpoint
from smpki.tls.profile import WAN_CLIENT
from smpki.tls.transport import Timing, connect

STATUS = GetServiceStatus("1")
SERVED = ReturnCode.OK_RECEIVED_CORRECTLY


def foreign_client(emt: Any, folder: Path) -> ssl.SSLContext:
    """The standard library's TLS with a participant's certificate; it has none of our rules."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in emt.identity.certificates))
    key.write_bytes(emt.keys.tls.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(cert, key)
    return context


def right(context: ssl.SSLContext) -> None:
    context.set_ecdh_curve("brainpoolP256r1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def old_version(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1


def other_curve(context: ssl.SSLContext) -> None:
    right(context)
    context.set_ecdh_curve("secp521r1")


def other_group(context: ssl.SSLContext) -> None:
    context.set_ecdh_curve("secp521r1")
    context.minimum_version = ssl.TLSVersion.TLSv1_3


def other_suite(context: ssl.SSLContext) -> None:
    right(context)
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")


REFUSED = {
    old_version: "TLSV1_ALERT_PROTOCOL_VERSION",
    other_curve: "ALERT_HANDSHAKE_FAILURE",
    other_group: "ALERT_HANDSHAKE_FAILURE",
    other_suite: "ALERT_HANDSHAKE_FAILURE",
}


def test_tls_that_the_guideline_does_not_allow(world: Any, tmp_path: Path) -> None:
    emt = world.register()

    async def ask(port: int, change: Callable[[ssl.SSLContext], None]) -> bytes:
        context = foreign_client(emt, tmp_path)
        change(context)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(b"GET /?wsdl HTTP/1.1\r\nhost: ca.example\r\nconnection: close\r\n\r\n")
        return await reader.read()

    async def story() -> None:
        async with world.service() as service:
            port = service.server.port
            assert b"200 OK" in await ask(port, right)
            for change, reason in REFUSED.items():
                with pytest.raises(ssl.SSLError) as caught:
                    await ask(port, change)
                assert reason in str(caught.value), change.__name__
            assert (await service.ask(emt, STATUS)).code is SERVED

    world.run(story())


def test_who_is_suspended_is_refused_at_the_handshake_and_on_a_connection_there_is(
    world: Any, changed_policy: Any
) -> None:
    emt = world.register()
    policy = changed_policy({"revocation.suspension_types": ["emt"]})  # the one in force suspends gateways only
    serial = f"{emt.certificates[0].serial_number:x}"
    issuer = str(DistinguishedName.from_x509(emt.certificates[0].issuer))
    operations = [
        (RequestCertificate(b"package"), ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED),
        (GetCertificateChain(issuer), ReturnCode.FAILURE_OTHER_ERROR),
        (SendCertificates(ReturnCode.FAILURE_OTHER_ERROR), ReturnCode.FAILURE_OTHER_ERROR),
        (CertificateRevocationRequest(b"request"), ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED),
        (UpdateDeviceAdmin(b"request"), ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED),
        (GeneralMessage("Firma", "1", "Subject", "Text"), ReturnCode.FAILURE_OTHER_ERROR),
        (STATUS, ReturnCode.FAILURE_OTHER_ERROR),
    ]

    async def story() -> None:
        async with world.service() as service, service.client(emt.identity) as kept:
            assert (await service.ask_over(kept, STATUS)).code is SERVED
            with world.workshop.open(policy=policy) as pki:
                pki.revocations.suspend([serial])
            for request, code in operations:
                answer = await service.ask_over(kept, request)
                assert (answer.code, "suspended" in answer.message) == (code, True), request.operation
            with pytest.raises(TlsError, match="certificate_revoked"):
                await asyncio.sleep(2 * world.settings.refresh)
                while True:  # the handshake learns of it a moment later
                    await service.ask(emt, STATUS)
            with world.workshop.open(policy=policy) as pki:
                pki.revocations.resume([serial])
            assert (await service.ask_over(kept, STATUS)).code is SERVED

    world.run(story())
    assert [row["operation"] for row in world.workshop.tables()["received_message"]] == []


def test_a_certificate_that_ends_while_its_holder_is_connected(world: Any) -> None:
    emt = world.register()
    end = emt.certificates[0].not_valid_after_utc
    chain = GetCertificateChain(str(DistinguishedName.from_x509(emt.certificates[0].issuer)))
    world.workshop.now = end - timedelta(hours=1)

    async def story() -> None:
        async with world.service() as service, service.client(emt.identity) as kept:
            assert (await service.ask_over(kept, chain)).code is ReturnCode.OK_CERT_AVAILABLE
            world.workshop.now = end + timedelta(seconds=1)
            answer = await service.ask_over(kept, chain)
            assert (answer.code, "not valid any more" in answer.message) == (ReturnCode.FAILURE_OTHER_ERROR, True)
            with pytest.raises(TlsError):
                await service.ask(emt, STATUS)

    world.run(story())


def test_slow_heads_and_slow_bodies(world: Any) -> None:
    emt = world.register()
    world.change(limits=Limits(seconds=1))
    starts = [b"POST / HT", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-type: text/xml\r\ncontent-length: 9\r\n\r\n<a"]

    async def drip(service: Any, start: bytes) -> bytes:
        endpoint = Endpoint(WAN_CLIENT, emt.identity, lambda _: None, clock=lambda: world.workshop.now)
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await connect(lambda: protocol, endpoint, "127.0.0.1", service.server.port)
        for octet in start:
            transport.write(bytes([octet]))
        return await reader.read()  # to the end of the connection

    async def story() -> None:
        async with world.service() as service:
            answers = await asyncio.gather(*(drip(service, start) for start in starts))
            assert [answer.partition(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 408 Request Timeout"] * 2
            assert (await service.ask(emt, STATUS)).code is SERVED

    world.run(story())


def test_many_slow_clients_do_not_keep_others_out(world: Any) -> None:
    emt = world.register()
    world.change(timing=Timing(handshake=3), connections=20)

    async def story() -> None:
        async with world.service() as service:
            port = service.server.port
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
            while len(service.server.connections) < len(silent):
                await asyncio.sleep(0.01)
            with pytest.raises(TlsError):  # one too many
                await service.ask(emt, STATUS)
            while service.server.connections:
                await asyncio.sleep(0.02)
            assert (await service.ask(emt, STATUS)).code is SERVED
            for _, writer in silent:
                writer.close()

    world.run(story())
