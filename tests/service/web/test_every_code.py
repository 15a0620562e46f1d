"""Each return code of each operation, from the service itself; which error has which code is shown in tests/soap."""

import importlib.util
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.requests.build_signed import build_renewal_package
from smpki.requests.device_admin import build_device_admin_update
from smpki.requests.revocation import RevocationItem, build_revocation_request
from smpki.service.web.operations import Operations
from smpki.service.web.own import own_identity
from smpki.soap.codes import return_codes
from smpki.soap.messages import (
    CertificateRevocationRequest,
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

_spec = importlib.util.spec_from_file_location("outage_tests", Path(__file__).with_name("test_outages.py"))
assert _spec is not None and _spec.loader is not None
outages = sys.modules.setdefault("outage_tests", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(outages)

C, O = ReturnCode, Operation  # noqa: E741 - as short as the table below wants it

WITHOUT_OCCASION = {
    # chains are always given at once
    (O.GET_CERTIFICATE_CHAIN, C.OK_SYNTAX),
    (O.GET_CERTIFICATE_CHAIN, C.FAILURE_SYNCHRONOUS_PROCESSING_NOT_POSSIBLE),
    # what stands against these is the request's fault, or ours
    (O.CERTIFICATE_REVOCATION_REQUEST, C.FAILURE_OTHER_ERROR),
    (O.UPDATE_DEVICE_ADMIN, C.FAILURE_OTHER_ERROR),
}
GATEWAY = "EABC0000000001.SMGW"


def test_every_code(world: Any, changed_policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    outage = outages.on_a_disk(world)
    world.options["policy"] = changed_policy({"issuing.manual_approval": ["gwh"]})
    emt, other, gone = world.register(), world.register("Andere.EMT"), world.register("Weg.EMT")
    gwa, gwh = world.administrator(), world.register("Hersteller.GWH", OU=None, url="https://127.0.0.1:1/")
    world.administrator("Neu.GWA")
    with world.workshop.open() as pki:
        root = own_identity(pki, pki.authorities.root().name.common_name, CertificateType.ROOT_TLS)

    def gateway(**options: Any) -> bytes:
        return world.packages.make(GATEWAY, OU="Verwalter.GWA", serialNumber="1", names=world.no_names, **options)

    def revocation(certificate: x509.Certificate, signer: Any) -> CertificateRevocationRequest:
        item = RevocationItem(certificate.issuer, certificate.serial_number, "key_compromise")
        return CertificateRevocationRequest(build_revocation_request([item], signer))

    def hand_over(names: list[str]) -> UpdateDeviceAdmin:
        return UpdateDeviceAdmin(build_device_admin_update(names, "Neu.GWA", gwa.signer))

    issuer = str(DistinguishedName.from_x509(emt.certificates[0].issuer))
    foreign = build_renewal_package(emt.certificates[0].subject, world.make_keys(), world.names, other.signer)
    chain, note = GetCertificateChain(issuer), GeneralMessage("Firma", "1", "Subject", "Text")
    status, news = GetServiceStatus("1"), SendCertificates(C.FAILURE_OTHER_ERROR)
    granted, proofless = RequestCertificate(gwa.authorised(gateway())), bytearray(world.packages.make())
    proofless[-1] ^= 1  # in the last request's signature
    asked: list[tuple[Any, Request, ReturnCode]] = [
        (gwa, granted, C.OK_CERT_AVAILABLE),
        (gwh, RequestCertificate(gwh.renewal(), "1"), C.OK_SYNTAX),
        (gwh, RequestCertificate(gwh.renewal()), C.FAILURE_SYNCHRONOUS_PROCESSING_NOT_POSSIBLE),
        (emt, RequestCertificate(b"no package"), C.FAILURE_INCORRECT_REQUEST),
        (emt, RequestCertificate(bytes(proofless)), C.FAILURE_INNER_SIGNATURE),
        (emt, RequestCertificate(foreign), C.FAILURE_OUTER_SIGNATURE),
        (gwa, RequestCertificate(gateway()), C.FAILURE_AUTHORIZATION_SIGNATURE),
        (emt, RequestCertificate(other.renewal()), C.FAILURE_UNAUTHORIZED_REQUEST),
        (gwa, RequestCertificate(gwa.authorised(gateway(curve=ec.SECP256R1()))), C.FAILURE_DOMAIN_PARAMETERS),
        (emt, RequestCertificate(emt.renewal()), C.FAILURE_REQUEST_NOT_ACCEPTED),
        (emt, chain, C.OK_CERT_AVAILABLE),
        (emt, GetCertificateChain("CN=Nobody"), C.FAILURE_CERT_NOT_AVAILABLE),
        (root, news, C.OK_RECEIVED_CORRECTLY),
        (root, SendCertificates(C.FAILURE_OTHER_ERROR, "unknown"), C.FAILURE_MESSAGE_ID_UNKNOWN),
        (emt, news, C.FAILURE_OTHER_ERROR),
        (emt, CertificateRevocationRequest(b"no request"), C.FAILURE_INCORRECT_REQUEST),
        (emt, revocation(other.certificates[0], emt.signer), C.FAILURE_REQUEST_NOT_ACCEPTED),
        (other, revocation(other.certificates[2], other.signer), C.OK_RECEIVED_CORRECTLY),
        (gwa, UpdateDeviceAdmin(b"no request"), C.FAILURE_INCORRECT_REQUEST),
        (gwa, hand_over([GATEWAY]), C.OK_RECEIVED_CORRECTLY),
        (gwa, hand_over(["EABC0000000099.SMGW"]), C.FAILURE_REQUEST_NOT_ACCEPTED),
        (emt, note, C.OK_RECEIVED_CORRECTLY),
        (emt, status, C.OK_RECEIVED_CORRECTLY),
    ]
    whole = [granted, chain, news, revocation(emt.certificates[0], emt.signer), hand_over([GATEWAY]), note, status]
    seen: set[tuple[Operation, ReturnCode]] = set()

    async def story() -> None:
        async with world.service() as service:

            async def expect(who: Any, request: Request, code: ReturnCode) -> None:
                answer = await service.ask(who, request)
                assert answer.code is code, (request.operation, answer)
                seen.add((request.operation, code))

            for one in asked:
                await expect(*one)
            async with service.client(emt.identity) as client:
                for request in whole:  # one field too few, whichever it is
                    message = write_request(request).replace(b"_Req>", b"_Req><pki:nonsense/>", 1)
                    response = await client.post("/", content=message, headers={"content-type": "text/xml"})
                    assert read_answer(response.content, request.operation).code is C.FAILURE_SYNTAX, response.text
                    seen.add((request.operation, C.FAILURE_SYNTAX))
            async with service.client(gone.identity) as client:
                await service.ask_over(client, status)
                with world.workshop.open() as pki:
                    pki.revocations.revoke([f"{gone.certificates[0].serial_number:x}"], "key_compromise")
                for request in (chain, note):
                    assert (await service.ask_over(client, request)).code is C.FAILURE_OTHER_ERROR
                    seen.add((request.operation, C.FAILURE_OTHER_ERROR))
            outage.stop()
            for request in whole[:-1]:
                await expect(emt, request, C.FAILURE_INTERNAL_ERROR)
            outage.start()
            with monkeypatch.context() as patched:
                patched.setattr(Operations, "_check_status", lambda _: 1 / 0)
                await expect(emt, status, C.FAILURE_INTERNAL_ERROR)
            world.workshop.now = emt.certificates[0].not_valid_after_utc - timedelta(hours=1)  # the CA is too old
            await expect(emt, status, C.FAILURE_OTHER_ERROR)
            await expect(emt, RequestCertificate(emt.renewal()), C.FAILURE_OTHER_ERROR)

    world.run(story())
    assert seen == {(one, code) for one in Operation for code in return_codes(one)} - WITHOUT_OCCASION
    world.workshop.assert_chain_holds()
