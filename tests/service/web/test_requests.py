"""RequestCertificate at a Sub-CA: from the first package, out of band, to renewals over the service."""

from typing import Any

from cryptography import x509

from smpki.soap.messages import RequestCertificate, ReturnCode


def test_a_registered_participant_renews_over_its_own_tls_certificate(world: Any) -> None:
    emt = world.register()
    world.near_the_end()
    package = emt.renewal()

    async def story() -> None:
        async with world.service() as service:
            first = await service.ask(emt, RequestCertificate(package))
            assert first.code is ReturnCode.OK_CERT_AVAILABLE, first.message
            again = await service.ask(emt, RequestCertificate(package))
            assert again == first
            tls, *_ = map(x509.load_der_x509_certificate, first.certificates)
            assert len(first.certificates) == 3
            assert tls.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)[0].value == "2"

    world.run(story())
    assert world.audit().count(("issue", "done")) == 2
    assert world.audit().count(("register", "done")) == 1
    world.workshop.assert_chain_holds()


def test_what_a_killed_process_left_open_is_closed_by_a_service_that_runs_on(world: Any, crew: Any) -> None:
    gwa = world.administrator()
    names = {"OU": "Verwalter.GWA", "serialNumber": "1", "names": world.no_names}
    package = gwa.authorised(world.packages.make("EABC0000000001.SMGW", **names))

    async def story() -> None:
        async with world.service() as service:
            crew.run(world.workshop.job(package, die="signed"))
            answer = await service.ask(gwa, RequestCertificate(package))
            assert answer.code is ReturnCode.OK_CERT_AVAILABLE, answer.message

    world.run(story())
    assert world.audit().count(("recover", "done")) == 1
    world.workshop.assert_chain_holds()
