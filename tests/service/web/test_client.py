"""Our participant against our service: triples, chains, revocation and changes of administrator."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.sub_cas import SubCaOrder
from smpki.errors import RequestError, ServiceError, SmpkiError
from smpki.participant.acts import device_admin, revocation_request
from smpki.participant.granted import Granted, check_chain, check_granted
from smpki.participant.own_ca import OwnCa, material_of
from smpki.participant.sending import Sent, ask_for_triple, has_triple, send_package, store_triple
from smpki.participant.signers import read_file_certificates
from smpki.participant.web_service import Patience, WebService, web_service
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames
from smpki.trust.question import Revocation

Question = Callable[[WebService], Awaitable[Any]]


def ca_of(world: Any, who: Any) -> OwnCa:
    material = material_of(who.chain)
    name = DistinguishedName.from_x509(who.chain[-1].subject)
    return OwnCa(name, lambda: material, Revocation.IF_KNOWN, lambda: world.workshop.now)


@asynccontextmanager
async def asking(world: Any, service: Any, who: Any) -> AsyncIterator[WebService]:
    url = f"https://127.0.0.1:{service.server.port}/"
    async with web_service(url, ca_of(world, who).client(who.identity), Patience(tries=1)) as opened:
        yield opened


def ask(world: Any, who: Any, *questions: Question) -> list[Any]:
    """The answers to questions, or the errors that they are."""

    async def story() -> list[Any]:
        async with world.service() as service, asking(world, service, who) as opened:
            return await asyncio.gather(*(question(opened) for question in questions), return_exceptions=True)

    answers: list[Any] = world.run(story())
    return answers


def test_a_participant_renews_and_keeps_its_triple_once(world: Any, tmp_path: Path) -> None:
    emt = world.register()
    world.near_the_end()
    package, ca = emt.renewal(), ca_of(world, emt)

    async def twice(service: WebService) -> list[Sent]:
        return [await send_package(service, package, tmp_path / "new", ca) for _ in range(2)]

    ((first, second),) = ask(world, emt, twice)
    assert (first, second) == (Sent.STORED, Sent.STORED)
    tls, sig = (read_file_certificates(tmp_path / "new" / name)[0] for name in ("tls.pem", "sig.pem"))
    assert DistinguishedName.from_x509(tls.subject).serial_number == 2
    assert read_file_certificates(tmp_path / "new" / "chain.pem") == emt.chain
    assert sig.not_valid_before_utc <= world.workshop.now
    assert has_triple(tmp_path / "new") and not has_triple(tmp_path)
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["chain.pem", "enc.pem", "sig.pem", "tls.pem"]


def test_a_ca_that_has_changed_its_key_is_asked_for_its_chain(world: Any) -> None:
    emt = world.register()
    world.near_the_end()
    with world.workshop.open() as pki:
        pki.create_sub_ca(SubCaOrder("Beispiel", renew=True))
    (granted,) = ask(world, emt, lambda service: ask_for_triple(service, emt.renewal(), ca_of(world, emt)))
    assert isinstance(granted, Granted)
    assert granted.chain[0] == emt.chain[0]
    assert granted.chain[-1] != emt.chain[-1]
    granted.sig.verify_directly_issued_by(granted.chain[-1])


def test_a_refusal_says_why(world: Any) -> None:
    emt, other = world.register(), world.register("Andere.EMT")
    early, foreign = ask(
        world,
        emt,
        lambda service: ask_for_triple(service, emt.renewal(), ca_of(world, emt)),
        lambda service: ask_for_triple(service, other.renewal(), ca_of(world, emt)),
    )
    assert isinstance(early, RequestError) and early.code == "web_service.failure_request_not_accepted"
    assert "[request.renewal.early]" in early.message
    assert isinstance(foreign, RequestError) and foreign.code == "web_service.failure_unauthorized_request"


def test_an_administrator_asks_for_its_gateways(world: Any) -> None:
    gwa = world.administrator()
    world.administrator("Neu.GWA")
    package = world.packages.make("EABC0000000001.SMGW", OU="Verwalter.GWA", serialNumber="1", names=RequestedNames())
    now = world.workshop.now

    async def story(service: WebService) -> Granted | None:
        await service.check_status()
        granted = await ask_for_triple(service, gwa.authorised(package), ca_of(world, gwa))
        assert granted is not None
        await service.revoke(revocation_request([granted.sig], "certificate_hold", gwa.signer, now))
        await service.update_device_admin(device_admin(["EABC0000000001.SMGW"], "Neu.GWA", gwa.signer, now))
        with pytest.raises(RequestError) as refused:
            await service.revoke(revocation_request([granted.sig], "superseded", gwa.signer, now))
        assert refused.value.code == "web_service.failure_request_not_accepted"
        return granted

    (granted,) = ask(world, gwa, story)
    assert isinstance(granted, Granted), granted
    assert [action for action, outcome in world.audit() if outcome == "done"][-2:] == ["suspend", "device-admin"]


def test_a_chain_is_checked(world: Any, other_pki: Callable[[], Any]) -> None:
    emt = world.register()
    stranger = other_pki().register()
    issuer = str(DistinguishedName.from_x509(emt.chain[-1].subject))
    known, unknown = ask(
        world,
        emt,
        lambda service: service.certificate_chain(issuer),
        lambda service: service.certificate_chain("CN=Niemand.CA, O=SM-Test-PKI-DE"),
    )
    assert unknown.code == "web_service.failure_cert_not_available"
    ca = ca_of(world, emt)
    assert check_chain(known, issuer, ca) == emt.chain
    foreign = [one.public_bytes(Encoding.DER) for one in stranger.chain]
    for chain, asked in ((known, "CN=Niemand.CA"), (foreign, issuer)):
        with pytest.raises(ServiceError) as refused:
            check_chain(chain, asked, ca)
        assert refused.value.code == "web_service.certificates.chain"


def check(world: Any, who: Any, certificates: list[bytes], package: bytes) -> SmpkiError:
    with pytest.raises(SmpkiError) as refused:
        asyncio.run(check_granted(certificates, package, ca_of(world, who)))
    return refused.value


def test_certificates_that_are_not_what_was_asked_for(world: Any, other_pki: Callable[[], Any]) -> None:
    keys = world.make_keys()
    first = world.packages.make("Firma.EMT.MAK", keys=keys)
    emt = world.issue(first, keys)
    tls, sig, _ = granted = [one.public_bytes(Encoding.DER) for one in emt.certificates]
    assert asyncio.run(check_granted(granted[::-1], first, ca_of(world, emt))).certificates == emt.certificates

    again, namesake = world.packages.make("Firma.EMT.MAK"), world.packages.make("Andere.EMT", keys=keys)
    abroad = other_pki().issue(world.packages.make("Firma.EMT.MAK", keys=keys), keys)
    foreign = [one.public_bytes(Encoding.DER) for one in abroad.certificates]
    ca = next(one for one in emt.chain if one.subject != one.issuer).public_bytes(Encoding.DER)
    for code, certificates, package in (
        ("unreadable", [tls, sig, b"garbage"], first),
        ("triple", [tls, sig], first),
        ("triple", [tls, sig, sig], first),
        ("triple", [tls, sig, ca], first),
        ("key", granted, again),
        ("holder", granted, namesake),
        ("chain", foreign, first),
        ("chain", [tls, sig, foreign[2]], first),
    ):
        assert check(world, emt, certificates, package).code == f"web_service.certificates.{code}", code
    elsewhere = OwnCa(DistinguishedName.parse("CN=Andere.CA, O=SM-Test-PKI-DE"), *ca_parts(world, emt))
    with pytest.raises(ServiceError) as refused:
        asyncio.run(check_granted(granted, first, elsewhere))
    assert refused.value.code == "web_service.certificates.issuer"


def ca_parts(world: Any, who: Any) -> Any:
    ca = ca_of(world, who)
    return ca.material, ca.revocation, ca.now


def triple(who: Any) -> Granted:
    tls, sig, enc = who.certificates
    return Granted(tls, sig, enc, who.chain)


def test_another_triple_is_not_overwritten(world: Any, tmp_path: Path) -> None:
    one, other = world.register(), world.register("Andere.EMT")
    folder = tmp_path / "triple"
    store_triple(folder, triple(one))
    before = {file: file.read_bytes() for file in folder.iterdir()}
    assert store_triple(folder, triple(one))
    with pytest.raises(ServiceError) as refused:
        store_triple(folder, triple(other))
    assert refused.value.code == "web_service.triple_there"
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    assert x509.load_pem_x509_certificate((folder / "tls.pem").read_bytes()) == one.certificates[0]
