"""A factory and an administrator whose Sub-CA is a web service."""

import asyncio
from typing import Any

import pytest
from cryptography import x509

from smpki.errors import IssuingError, RequestError, RevocationError, SmpkiError
from smpki.gateway.provisioning import Issuance
from smpki.participant.access import Access
from smpki.participant.acts import device_admin, revocation_request
from smpki.participant.own_ca import OwnCa, material_of
from smpki.participant.web_service import Patience
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames
from smpki.service.administrator.remote_authority import RemoteAuthority
from smpki.service.remote_issuing import RemoteSubCa
from smpki.trust.question import Revocation


def access_of(world: Any, who: Any, port: int) -> Access:
    material = material_of(who.chain)
    name = DistinguishedName.from_x509(who.chain[-1].subject)
    ca = OwnCa(name, lambda: material, Revocation.IF_KNOWN, lambda: world.workshop.now)
    return Access(f"https://127.0.0.1:{port}/", who.identity, ca, Patience(tries=1))


def gateway(world: Any, number: int, *, ou: str, serial: str) -> bytes:
    package: bytes = world.packages.make(
        f"EABC00000000{number:02}.SMGW", OU=ou, serialNumber=serial, names=RequestedNames()
    )
    return package


def test_a_factory_gets_its_quality_seals_there(world: Any) -> None:
    gwh = world.register("Hersteller.GWH", OU=None)
    packages = [gwh.authorised(gateway(world, number, ou="Hersteller GmbH", serial="0")) for number in range(5)]
    unauthorised = gateway(world, 7, ou="Hersteller GmbH", serial="0")

    async def story() -> tuple[list[Issuance], list[Issuance], tuple[x509.Certificate, ...]]:
        async with world.service() as service:
            issuer = RemoteSubCa(access_of(world, gwh, service.server.port))
            first = await asyncio.to_thread(issuer.issue, [*packages, unauthorised])
            again = await asyncio.to_thread(issuer.issue, packages)
            return first, again, await asyncio.to_thread(issuer.chain)

    first, again, chain = world.run(story())
    assert [one.state for one in first] == [*["issued"] * 5, "refused"]
    assert isinstance(first[-1].error, RequestError)
    assert [one.certificates for one in again] == [one.certificates for one in first[:-1]]
    names = [one.certificates[0].subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value for one in again]
    assert names == [f"EABC00000000{number:02}.SMGW" for number in range(5)]
    assert {one.chain for one in again} == {gwh.chain} == {chain}


def test_a_factory_whose_sub_ca_is_away(world: Any) -> None:
    gwh = world.register("Hersteller.GWH", OU=None)
    package = gwh.authorised(gateway(world, 1, ou="Hersteller GmbH", serial="0"))
    issuer = RemoteSubCa(access_of(world, gwh, 9))
    for asked in (lambda: issuer.issue([package] * 3), issuer.chain):
        with pytest.raises(SmpkiError) as failed:
            asked()
        assert failed.value.code == "tls.transport.unreachable"


def test_an_administrator_asks_revokes_and_hands_over_there(world: Any) -> None:
    gwa = world.administrator()
    world.administrator("Neu.GWA")
    now = world.workshop.now
    package = gwa.authorised(gateway(world, 1, ou="Verwalter.GWA", serial="1"))
    another = gwa.authorised(gateway(world, 1, ou="Verwalter.GWA", serial="1"))

    async def refused(step: Any) -> SmpkiError:
        with pytest.raises(SmpkiError) as error:
            await step
        return error.value

    async def story() -> None:
        async with world.service() as service:
            ca = RemoteAuthority(access_of(world, gwa, service.server.port))
            triple = await ca.issue(package)
            assert await ca.issue(package) == triple
            assert triple.chain == gwa.chain
            second = await refused(ca.issue(another))
            assert isinstance(second, IssuingError) and second.code == "issuing.subject.has_triple"

            hold = revocation_request(triple.certificates, "certificate_hold", gwa.signer, now)
            await ca.process(hold)
            again = revocation_request(triple.certificates, "certificate_hold", gwa.signer, now)
            suspended = await refused(ca.process(again))
            assert isinstance(suspended, RevocationError) and suspended.code == "revocation.suspended"
            await ca.process(device_admin(["EABC0000000001.SMGW"], "Neu.GWA", gwa.signer, now))
            foreign = await refused(ca.process(again))
            assert isinstance(foreign, RequestError | RevocationError)
            away = await refused(RemoteAuthority(access_of(world, gwa, 9)).process(hold))
            assert away.code == "tls.transport.unreachable"

    world.run(story())
