"""Certificates are renewed before they end, without anybody asking for it."""

from collections.abc import Callable
from typing import Any

from smpki.errors import IssuingError

Tell = Callable[..., None]
DAY = 86_400
WEEKLY = {"look_seconds": 3600, "renew_before_days": 60, "job_seconds": DAY, "renew_again_seconds": DAY}


def jobs(desk: Any, gateway: Any, kind: str = "renew") -> list[str]:
    """The states of a gateway's renewals, the first in front."""
    with desk.store.view() as view:
        return [job.state for job in reversed(view.jobs.of(gateway.id)) if job.kind == kind]


def leap_to_days_before_the_end(world: Any, desk: Any, gateway: Any, days: int) -> None:
    world.time.now += (desk.gateway(gateway).current.not_after - world.now()).total_seconds() - days * DAY


def test_certificates_are_renewed_in_time(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(times=WEEKLY) as (desk, gateway):
            await desk.do(gateway, "personalise")
        leap_to_days_before_the_end(world, desk, gateway, 61)
        first = desk.gateway(gateway).current
        async with desk.serving():
            await world.leap(7200)
            assert jobs(desk, gateway) == []
        world.time.now += DAY
        async with desk.serving(), gateway.running():
            await world.until(lambda: jobs(desk, gateway) == ["done"])
            assert desk.gateway(gateway).current.not_after > first.not_after
            await world.leap(7200)
            assert jobs(desk, gateway) == ["done"]

    tell(story)


def test_a_renewal_that_failed_is_tried_again_after_a_while(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(times=WEEKLY) as (desk, gateway):
            await desk.do(gateway, "personalise")
        leap_to_days_before_the_end(world, desk, gateway, 30)
        desk.ca.troubles = [IssuingError("issuing.issuer.expired", "the Sub-CA has ended")]
        async with desk.serving(), gateway.running():
            await world.until(lambda: jobs(desk, gateway) == ["failed"])
            await world.leap(DAY - 7200)
            assert jobs(desk, gateway) == ["failed"]
            await world.leap(3 * 3600)
            await world.until(lambda: jobs(desk, gateway) == ["failed", "done"])

    tell(story)


def test_not_all_at_once(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(times=WEEKLY, limits={"renewals": 2}) as (desk, gateway):
            gateways = [gateway]
            await desk.do(gateway, "personalise")
            for _ in range(2):
                gateways.append(world.gateway(desk))
                desk.adopt(gateways[-1].record)
                async with gateways[-1].running():
                    await desk.do(gateways[-1], "personalise")
        leap_to_days_before_the_end(world, desk, gateway, 30)
        async with desk.serving():
            await world.leap(7200)
            assert sorted(len(jobs(desk, one)) for one in gateways) == [0, 1, 1]
            (waiting,) = (one for one in gateways if not jobs(desk, one))
            ordered = next(one for one in gateways if jobs(desk, one))
            async with ordered.running():
                await world.until(lambda: jobs(desk, ordered) == ["done"])
            await world.leap(3600)
            await world.until(lambda: jobs(desk, waiting) == ["open"])

    tell(story)


def test_a_seal_that_ends_is_told_once_and_left(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False, times=WEEKLY) as (desk, gateway):
            pass
        leap_to_days_before_the_end(world, desk, gateway, 10)
        async with desk.serving():
            await world.leap(5 * 3600)
            assert desk.events(gateway).count("gwa.renew.kind") == 1
            assert jobs(desk, gateway) == []

    tell(story)


def test_our_own_certificates_that_end_are_told_of(tell: Tell, world: Any) -> None:
    async def story(world: Any) -> None:
        desk = world.desk(times=WEEKLY)
        async with desk.serving():
            await world.leap(7200)
            assert "gwa.own.ends" not in desk.events()
        world.time.now += (desk.own.certificates.tls.not_valid_after_utc - world.now()).total_seconds() - 30 * DAY
        async with desk.serving():
            await world.leap(7200)
            assert desk.events().count("gwa.own.ends") == 1

    tell(story)
