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
