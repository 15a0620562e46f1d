"""Who is let in, what those hear who aren't, and how often that is noted."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import TlsError
from smpki.gateway.slots import Slot
from smpki.policy.model import CertificateType
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import Alert, exact_match
from smpki.tls.profile import WAN_CLIENT
from smpki.tls.transport import connect

Tell = Callable[..., None]
PLACES = ("management", "admin_service", "time")


def identity_of(gateway: Any) -> Identity:
    """The gateway's, with the CA that it sends along."""
    with gateway.module() as module:
        return module.tls_identity(Slot.WAN_TLS, gateway.administrator.own.identity.certificates[1:])


async def alert_for(world: Any, desk: Any, identity: Identity, place: str = "management") -> Alert | None:
    """What a peer hears; ``None``: it is let in."""
    endpoint = Endpoint(WAN_CLIENT, identity, exact_match([desk.own.certificates.tls], now=world.now), clock=world.now)
    host, port = desk.ports[place].split(":")
    failed: list[TlsError] = []
    transport, _ = await connect(
        asyncio.Protocol, endpoint, host, int(port), on_failure=lambda error, _: failed.append(error)
    )
    with_tls_13 = asyncio.ensure_future(transport.wait_closed())  # where the server's word comes after ours
    for _ in range(100):  # turns of the loop in which the server works too, so that a busy machine delays both
        if with_tls_13.done():
            break
        await asyncio.sleep(0.001)
    transport.abort()
    await with_tls_13
    return Alert(failed[0].alert) if failed else None


def stranger() -> Identity:
    """Somebody with a certificate of his own making."""
    key = ec.generate_private_key(ec.BrainpoolP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "EABC0000000001.SMGW\n\x1b[2J")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(days=3650))
    return Identity((builder.sign(key, hashes.SHA256()),), key)


def another_party(world: Any, name: str) -> Identity:
    return world.office.own(name).identity


@pytest.mark.parametrize("place", PLACES)
def test_an_adopted_gateway_is_let_in(place: str, tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            assert await alert_for(world, desk, identity_of(gateway), place) is None

    tell(story)


@pytest.mark.parametrize("place", PLACES)
def test_others_are_not(place: str, tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, _):
            foreign = world.gateway(desk)  # nobody has adopted it
            assert await alert_for(world, desk, identity_of(foreign), place) is Alert.CERTIFICATE_UNKNOWN
            assert await alert_for(world, desk, stranger(), place) is Alert.UNKNOWN_CA
            other = another_party(world, world.OTHER)
            assert await alert_for(world, desk, other, place) is Alert.UNSUPPORTED_CERTIFICATE

    tell(story)


def test_a_gateway_that_another_administrator_has_adopted_is_none_of_ours(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, _):
            theirs = world.desk(world.OTHER)
            async with theirs.serving():
                gateway = world.gateway(theirs)
                theirs.adopt(gateway.record)
                assert await alert_for(world, theirs, identity_of(gateway)) is None
                assert await alert_for(world, desk, identity_of(gateway)) is Alert.CERTIFICATE_UNKNOWN

    tell(story)


def test_a_gateway_whose_certificate_has_ended(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            world.time.now += 10 * 365 * 86_400
            identity = identity_of(gateway)
            endpoint_time = desk.own.certificates.tls.not_valid_before_utc
            check = exact_match([desk.own.certificates.tls], now=lambda: endpoint_time)
            endpoint = Endpoint(WAN_CLIENT, identity, check, clock=world.now)
            host, port = desk.ports["management"].split(":")
            failed: list[TlsError] = []
            transport, _ = await connect(
                asyncio.Protocol, endpoint, host, int(port), on_failure=lambda error, _: failed.append(error)
            )
            await transport.wait_closed()
            assert failed[0].alert == Alert.CERTIFICATE_EXPIRED

    tell(story)


def test_what_a_revocation_list_says_counts_at_once(tell: Tell, world: Any) -> None:
    async def story(world: Any) -> None:
        world.office.publish(world.now())
        desk = world.desk()
        desk.trust = {"crl_folder": str(world.office.folder / "published")}
        async with desk.serving():
            gateway, other = world.gateway(desk), world.gateway(desk)
            for one in (gateway, other):
                desk.adopt(one.record)
                assert await alert_for(world, desk, identity_of(one)) is None
            await world.time.advance(60)
            with world.office.opened(world.now()) as pki:
                serial = f"{gateway.current()[0].serial_number:x}"
                pki.revocations.revoke([serial], "key_compromise")
            world.office.publish(world.now())
            await world.time.advance(2)
            assert await alert_for(world, desk, identity_of(gateway)) is Alert.CERTIFICATE_REVOKED
            assert await alert_for(world, desk, identity_of(other)) is None

    tell(story)


def test_without_a_current_revocation_list_nobody_is_let_in(tell: Tell, world: Any) -> None:
    async def story(world: Any) -> None:
        world.office.publish(world.now())
        desk = world.desk()
        desk.trust = {"crl_folder": str(world.office.folder / "published")}
        async with desk.serving():
            gateway = world.gateway(desk)
            desk.adopt(gateway.record)
            world.time.now += 60 * 86_400
            assert await alert_for(world, desk, identity_of(gateway)) is Alert.CERTIFICATE_UNKNOWN

    tell(story)


def test_who_comes_again_and_again_is_noted_once(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, _):
            foreign = world.gateway(desk)
            for _ in range(3):
                await alert_for(world, desk, identity_of(foreign))
            assert desk.events().count("gwa.peer.unknown") == 1
            desk.adopt(foreign.record)
            assert await alert_for(world, desk, identity_of(foreign)) is None
            assert desk.events().count("gwa.peer.accepted") == 1

    tell(story)


def test_strangers_fill_neither_database_nor_terminal(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, _):
            for _ in range(13):
                await alert_for(world, desk, stranger())
            with desk.store.view() as view:
                told = [one for one in view.journal.events() if one.event.startswith("trust.")]
            assert len(told) == 10
            assert all(one.text.isprintable() for one in told)

    tell(story)


def test_a_gateway_that_connects_too_often_has_to_wait(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False, limits={"handshakes": 3}) as (desk, gateway):
            other = world.gateway(desk)
            desk.adopt(other.record)
            identity = identity_of(gateway)
            heard = [await alert_for(world, desk, identity) for _ in range(5)]
            assert heard == [None] * 3 + [Alert.HANDSHAKE_FAILURE] * 2
            assert desk.events(gateway).count("gwa.peer.flood") == 1
            assert await alert_for(world, desk, identity_of(other)) is None
            await world.time.advance(21)
            assert await alert_for(world, desk, identity) is None

    tell(story)


def test_new_certificates_of_another_ca_need_not_be_sent_with_their_chain(tell: Tell, opened: Any) -> None:
    """The gateway may send the CAs of its former certificates; those of the new ones are known here."""

    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            identity = replace(identity_of(gateway), certificates=identity_of(gateway).certificates[:1])
            assert desk.gateway(gateway).current.kind is CertificateType.SMGW_G
            assert await alert_for(world, desk, identity) is None

    tell(story)
