"""Market participants to whom gateways deliver only as long as their certificates hold."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import yaml

from smpki.gateway import api
from smpki.policy.load import default_policy_text, load_policy

Tell = Callable[..., None]
NAME = "Lieferant.EMT"
HOUR = 3600


def profile(world: Any, holder: str = NAME, **changes: Any) -> api.CommunicationProfile:
    certificates = {use: world.office.certificate(holder, use) for use in ("tls", "enc")}
    values = {"name": "supplier", "url": "https://127.0.0.1:1/readings", **certificates}
    return api.CommunicationProfile(**{**values, **changes})


@asynccontextmanager
async def watching(world: Any) -> AsyncIterator[tuple[Any, Any]]:
    """Our administrator, who knows the revocation lists, and a gateway."""
    world.office.enrol(NAME)
    world.office.publish(world.now())
    desk = world.desk()
    desk.trust = {"crl_folder": str(world.office.folder / "published")}
    async with desk.serving():
        gateway = world.gateway(desk)
        desk.adopt(gateway.record)
        async with gateway.running():
            yield desk, gateway


async def set_profile(desk: Any, gateway: Any, body: api.CommunicationProfile) -> Any:
    bodies = [("profile.json", body.to_json())]
    return await desk.done(desk.orders.profiles(gateway.id, api.COMMUNICATION_PROFILES, bodies))


async def take_back(world: Any, act: str, *more: str) -> None:
    """Have the CA act on the participant's certificates, and publish new lists."""
    document = yaml.safe_load(default_policy_text())
    document["revocation"]["suspension_types"]["value"].append("emt")
    workshop = world.office.pki
    workshop.now = world.now()
    with workshop.open(policy=load_policy(yaml.safe_dump(document))) as pki:
        serial = f"{world.office.certificate(NAME, 'tls').serial_number:x}"
        getattr(pki.revocations, act)([serial], *more)
    world.office.publish(world.now())
    await world.time.advance(2)


def told(desk: Any, gateway: Any) -> list[dict[str, bool]]:
    """What the gateway was told of participants, the first in front."""
    with desk.store.view() as view:
        jobs = reversed(view.jobs.of(gateway.id))
    return [job.result["stopped"] for job in jobs if job.kind == "participants" and job.state == "done"]


def test_a_participant_who_is_suspended_gets_nothing_until_it_is_resumed(tell: Tell, world: Any) -> None:
    async def story(world: Any) -> None:
        async with watching(world) as (desk, gateway):
            assert (await set_profile(desk, gateway, profile(world))).state == "done"
            await world.leap(HOUR)
            assert told(desk, gateway) == []
            await take_back(world, "suspend")
            await world.leap(HOUR)
            await world.until(lambda: told(desk, gateway))
            assert desk.events().count("trust.certificate.suspended") == 1
            status = await desk.do(gateway, "status")
            assert status.result["profiles"] == {"CommunicationProfile/supplier": 2}
            await world.leap(HOUR)
            await take_back(world, "resume")
            await world.leap(HOUR)
            await world.until(lambda: len(told(desk, gateway)) == 2)
            assert told(desk, gateway) == [{"supplier": True}, {"supplier": False}]
            assert desk.events().count("gwa.participant") == 1

    tell(story)


def test_nobody_is_set_whose_certificate_was_taken_back(tell: Tell, world: Any) -> None:
    async def story(world: Any) -> None:
        async with watching(world) as (desk, gateway):
            await take_back(world, "revoke", "key_compromise")
            job = await set_profile(desk, gateway, profile(world))
            assert (job.state, job.error["code"]) == ("failed", "trust.certificate.revoked")
            assert job.error["where"] == "supplier"
            assert desk.events(gateway)[-1] == "gwa.job.failed"
            assert (await set_profile(desk, gateway, profile(world, enabled=False))).state == "done"
            await world.leap(HOUR)
            assert told(desk, gateway) == []

    tell(story)


def test_only_participants_are_set_with_certificates_for_their_use(tell: Tell, world: Any) -> None:
    async def story(world: Any) -> None:
        async with watching(world) as (desk, gateway):
            tls = world.office.certificate(NAME, "tls")
            for body, code in (
                (profile(world, world.US), "trust.role.name"),
                (profile(world, enc=tls), "trust.use.key_usage"),
            ):
                job = await set_profile(desk, gateway, body)
                assert (job.state, job.error["code"]) == ("failed", code)

    tell(story)


def test_without_current_revocation_lists_a_profile_waits(tell: Tell, world: Any) -> None:
    async def story(world: Any) -> None:
        async with watching(world) as (desk, gateway):
            world.time.now += 20 * 86_400
            bodies = [("profile.json", profile(world).to_json())]
            job = desk.orders.profiles(gateway.id, api.COMMUNICATION_PROFILES, bodies)
            await world.until(lambda: desk.job(job).error)
            assert (desk.job(job).state, desk.job(job).step) == ("open", "check")
            world.office.publish(world.now())
            assert (await desk.done(job)).state == "done"

    tell(story)


def test_as_long_as_nobody_can_tell_what_was_told_counts(tell: Tell, world: Any) -> None:
    async def story(world: Any) -> None:
        async with watching(world) as (desk, gateway):
            await set_profile(desk, gateway, profile(world))
            await take_back(world, "suspend")
            await world.leap(HOUR)
            await world.until(lambda: told(desk, gateway))
            world.time.now += 20 * 86_400  # the lists are old
            await world.leap(HOUR)
            assert told(desk, gateway) == [{"supplier": True}]
            with desk.store.view() as view:
                (known,) = view.participants.of(gateway.id)
            assert known.stopped

    tell(story)
