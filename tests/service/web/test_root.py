"""The root's web service: a Sub-CA that runs elsewhere asks for its next certificates."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.chain import bundle
from smpki.ca.sub_cas import SubCaOrder
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.service.web.own import own_identity
from smpki.service.web.server import ROOT
from smpki.soap.messages import (
    CertificateRevocationRequest,
    GetCertificateChain,
    GetServiceStatus,
    RequestCertificate,
    ReturnCode,
)
from smpki.soap.write import write_request

_spec = importlib.util.spec_from_file_location("outage_tests", Path(__file__).with_name("test_outages.py"))
assert _spec is not None and _spec.loader is not None
outages = sys.modules.setdefault("outage_tests", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(outages)


@pytest.fixture
def sub_ca(world: Any, empty_workshop: Any) -> Any:
    """A Sub-CA in a PKI of its own, below the world's root."""
    with empty_workshop.open() as own, world.workshop.open() as root:
        issued = root.certify_sub_ca(SubCaOrder("Extern"), own.request_sub_ca(SubCaOrder("Extern")))
        pem = b"".join(
            x509.load_der_x509_certificate(one.der).public_bytes(Encoding.PEM)
            for one in bundle(root.store, issued, root.clock())
        )
        own.install_sub_ca(pem, None)
    world.change(ca=ROOT)
    return empty_workshop


def test_a_sub_ca_elsewhere_renews_at_the_root(world: Any, sub_ca: Any, changed_policy: Any) -> None:
    emt = world.register()
    with sub_ca.open() as own:
        identity = own_identity(own, "Extern.CA", CertificateType.SUB_CA_TLS_ROOT)
        requests = own.request_sub_ca(SubCaOrder("Extern", renew=True))

    async def ask(*asked: Any) -> list[Any]:
        async with world.service() as service:
            return [await service.ask(identity, request) for request in asked]

    (held,) = world.run(ask(RequestCertificate(requests)))
    assert held.code is ReturnCode.FAILURE_SYNCHRONOUS_PROCESSING_NOT_POSSIBLE
    world.options["policy"] = changed_policy({"issuing.manual_approval": []})
    chain = GetCertificateChain(str(DistinguishedName.from_x509(identity.certificates[0].issuer)))
    first, again, status, above = world.run(
        ask(RequestCertificate(requests), RequestCertificate(requests), GetServiceStatus("1"), chain)
    )
    assert len(above.certificates) == 2
    assert first.code is ReturnCode.OK_CERT_AVAILABLE, first.message
    assert (len(first.certificates), again, status.code) == (2, first, ReturnCode.OK_RECEIVED_CORRECTLY)

    async def stranger() -> None:
        async with world.service() as service:
            async with service.client(identity) as client:
                response = await client.post(
                    "/", content=write_request(CertificateRevocationRequest(b"x")), headers={"content-type": "text/xml"}
                )
                assert response.status_code == 500
                assert "does not offer" in response.text
            with pytest.raises(Exception, match="alert"):
                await service.ask(emt, GetServiceStatus("1"))

    world.run(stranger())
    world.workshop.assert_chain_holds()


def test_a_database_that_fails_while_the_root_signs(
    world: Any, sub_ca: Any, changed_policy: Any, issuing_program: Any
) -> None:
    with sub_ca.open() as own:
        identity = own_identity(own, "Extern.CA", CertificateType.SUB_CA_TLS_ROOT)
        package = RequestCertificate(own.request_sub_ca(SubCaOrder("Extern", renew=True)))
    world.options["policy"] = changed_policy({"issuing.manual_approval": []})
    outage = outages.on_a_disk(world)
    stops = [outage.stop]

    def sign(real: Any, *arguments: Any) -> bytes:
        while stops:
            stops.pop()()
        signed: bytes = real(*arguments)
        return signed

    async def story() -> None:
        async with outages.serving(world, issuing_program.WatchedKeys(world.workshop.key_store, sign)) as service:
            assert (await service.ask(identity, package)).code is ReturnCode.FAILURE_INTERNAL_ERROR
            outage.start()
            assert (await service.ask(identity, package)).code is ReturnCode.OK_CERT_AVAILABLE

    world.run(story())
    world.workshop.assert_chain_holds()
