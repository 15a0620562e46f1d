"""Chain, revocation, UpdateDeviceAdmin, messages and status; and who may ask for what."""

import hashlib
from typing import Any

from cryptography import x509

from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames
from smpki.requests.device_admin import build_device_admin_update
from smpki.requests.revocation import RevocationItem, build_revocation_request
from smpki.service.web.own import own_identity
from smpki.service.web.store.messages import Messages
from smpki.soap.messages import (
    CertificateRevocationRequest,
    CertType,
    GeneralMessage,
    GetCertificateChain,
    GetServiceStatus,
    RequestCertificate,
    ReturnCode,
    SendCertificates,
    UpdateDeviceAdmin,
)

RECEIVED = ReturnCode.OK_RECEIVED_CORRECTLY


def gateway_package(world: Any, keys: Any, *, ou: str, number: str) -> bytes:
    package: bytes = world.packages.make(
        "EABC0000000001.SMGW", keys=keys, OU=ou, serialNumber=number, names=RequestedNames()
    )
    return package


def issuer_text(certificate: x509.Certificate) -> str:
    return str(DistinguishedName.from_x509(certificate.issuer))


def answers(world: Any, *asked: tuple[Any, Any]) -> list[Any]:
    async def story() -> list[Any]:
        async with world.service() as service:
            return [await service.ask(who, request) for who, request in asked]

    found: list[Any] = world.run(story())
    return found


def test_a_chain_begins_with_the_first_root_and_has_links(world: Any) -> None:
    emt = world.register()
    with world.workshop.open() as pki:
        pki.renew_root()
    of_ca, of_root, other, nonsense = answers(
        world,
        (emt, GetCertificateChain(issuer_text(emt.certificates[0]))),
        (emt, GetCertificateChain(issuer_text(emt.chain[1]))),
        (emt, GetCertificateChain("CN=Andere.CA, O=SM-Test-PKI-DE")),
        (emt, GetCertificateChain("what is this")),
    )
    chain = [x509.load_der_x509_certificate(one) for one in of_ca.certificates]
    assert chain[0] == emt.chain[0]
    assert chain[-1] == emt.chain[-1]
    assert [one.subject == one.issuer for one in chain] == [True, False, True, False]
    assert x509.load_der_x509_certificate(of_root.certificates[-1]) == emt.chain[0]
    assert {other.code, nonsense.code} == {ReturnCode.FAILURE_CERT_NOT_AVAILABLE}


def test_a_gateway_is_certified_suspended_and_handed_over(world: Any) -> None:
    gwh, gwa, new = world.register("Hersteller.GWH", OU=None), world.administrator(), world.administrator("Neu.GWA")
    seal = gateway_package(world, world.make_keys(), ou="H GmbH", number="0")
    work = gateway_package(world, world.make_keys(), ou="Verwalter.GWA", number="1")
    asked = [
        (gwh, RequestCertificate(gwh.authorised(seal), cert_type=CertType.SMGW_G)),
        (gwa, RequestCertificate(gwa.authorised(work), cert_type=CertType.SMGW_W)),
    ]
    sealed, working = answers(world, *asked)
    assert (sealed.code, working.code) == (ReturnCode.OK_CERT_AVAILABLE,) * 2
    tls = x509.load_der_x509_certificate(working.certificates[0])
    item = RevocationItem(tls.issuer, tls.serial_number, "certificate_hold")
    back = RevocationItem(tls.issuer, tls.serial_number, "remove_from_crl")
    hand_over = build_device_admin_update(["EABC0000000001.SMGW"], "Neu.GWA", gwa.signer)
    found = answers(
        world,
        (gwa, CertificateRevocationRequest(build_revocation_request([item], gwa.signer))),
        (gwa, UpdateDeviceAdmin(hand_over)),
        (gwa, UpdateDeviceAdmin(hand_over)),
        (gwa, CertificateRevocationRequest(build_revocation_request([back], gwa.signer))),
        (gwa, CertificateRevocationRequest(build_revocation_request([back], new.signer))),
        (new, CertificateRevocationRequest(build_revocation_request([back], new.signer))),
        (gwa, UpdateDeviceAdmin(build_device_admin_update(["EABC0000000001.SMGW"], "Neu.GWA", gwa.signer))),
    )
    refused = ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED
    assert [one.code for one in found] == [RECEIVED, RECEIVED, RECEIVED, refused, refused, RECEIVED, refused]
    assert world.audit().count(("process", "refused")) == 3
    world.workshop.assert_chain_holds()


def test_nobody_asks_for_another(world: Any) -> None:
    emt, other = world.register(), world.register("Andere.EMT")
    gwh, gwa = world.register("Hersteller.GWH", OU=None), world.administrator()
    world.near_the_end()
    seal = gateway_package(world, world.make_keys(), ou="H GmbH", number="0")
    work = gateway_package(world, world.make_keys(), ou="Verwalter.GWA", number="1")
    cases = [
        (emt, other.renewal(), None, ReturnCode.FAILURE_UNAUTHORIZED_REQUEST),
        (emt, gwh.authorised(seal), None, ReturnCode.FAILURE_UNAUTHORIZED_REQUEST),
        (gwa, gwh.authorised(seal), None, ReturnCode.FAILURE_UNAUTHORIZED_REQUEST),
        (gwh, gwa.authorised(seal), None, ReturnCode.FAILURE_UNAUTHORIZED_REQUEST),
        (gwa, work, None, ReturnCode.FAILURE_AUTHORIZATION_SIGNATURE),
        (emt, emt.renewal(), CertType.GWA, ReturnCode.FAILURE_INCORRECT_REQUEST),
        (emt, b"no package", None, ReturnCode.FAILURE_INCORRECT_REQUEST),
    ]
    found = answers(world, *((who, RequestCertificate(package, cert_type=kind)) for who, package, kind, _ in cases))
    assert [one.code for one in found] == [code for *_, code in cases]
    assert all(one.message for one in found)
    assert world.audit().count(("issue", "refused")) == len(cases)
    world.workshop.assert_chain_holds()


def test_messages_are_kept_once_and_status_is_told(world: Any) -> None:
    emt = world.register()
    message = GeneralMessage("Firma", "1", "Subject", "Line\nof text")
    stranger = SendCertificates(ReturnCode.OK_CERT_AVAILABLE, None, "", (b"certificate",))
    found = answers(world, (emt, message), (emt, message), (emt, GetServiceStatus("2")), (emt, stranger))
    assert [one.code for one in found] == [*[RECEIVED] * 3, ReturnCode.FAILURE_OTHER_ERROR]
    with world.workshop.open() as pki:
        (kept,) = pki.store.beside(Messages).list()
    assert kept.subject_cn == "Firma.EMT.MAK"
    assert kept.digest == hashlib.sha256(kept.message).hexdigest()


def test_a_sub_ca_takes_certificates_of_its_root_only(world: Any) -> None:
    with world.workshop.open() as pki:
        root = own_identity(pki, pki.authorities.root().name.common_name, CertificateType.ROOT_TLS)
        pki.store.beside(Messages).sent("Beispiel.CA", "asked")
    sent = [
        SendCertificates(ReturnCode.OK_CERT_AVAILABLE, one, "", (b"certificate",)) for one in (None, "asked", "not")
    ]
    found = answers(world, *((root, one) for one in sent))
    assert [one.code for one in found] == [RECEIVED, RECEIVED, ReturnCode.FAILURE_MESSAGE_ID_UNKNOWN]
    with world.workshop.open() as pki:
        assert len(pki.store.beside(Messages).list()) == 2


def test_who_is_revoked_while_connected_gets_nothing_more(world: Any) -> None:
    who = world.register()

    async def story() -> list[Any]:
        async with world.service() as service, service.client(who.identity) as client:
            before = await service.ask_over(client, GetServiceStatus("1"))
            with world.workshop.open() as pki:
                serial = f"{who.certificates[0].serial_number:x}"
                pki.revocations.revoke([pki.store.find(serial).serial], "key_compromise")
            chain = GetCertificateChain(issuer_text(who.certificates[0]))
            package = RequestCertificate(b"x")
            return [before, await service.ask_over(client, chain), await service.ask_over(client, package)]

    before, chain, request = world.run(story())
    assert before.code is RECEIVED
    assert chain.code is ReturnCode.FAILURE_OTHER_ERROR
    assert request.code is ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED
