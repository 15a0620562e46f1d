"""A gateway goes from one administrator to another, and back."""

from collections.abc import Callable
from typing import Any

import pytest

Tell = Callable[..., None]


@pytest.mark.parametrize("kind", ["seal", "operation"])
def test_a_gateway_changes_hands(kind: str, tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        theirs = world.desk(world.OTHER, times={"retry_seconds": 5, "longest_retry_seconds": 20})
        async with opened(times={"hand_over_seconds": 60}) as (desk, gateway), theirs.serving():
            if kind == "operation":
                await desk.do(gateway, "personalise")
            job = desk.orders.hand_over(gateway.id, theirs.body())
            record = (await world.until(lambda: desk.job(job).result))["record"].encode()
            assert theirs.adopt(record, gateway.wake_up).as_dict() == {
                "gateway": gateway.id.dns,
                "state": "adopted",
                "sender": world.US,
                "warning": "",
            }
            await world.until(lambda: theirs.gateway(gateway).seen_at)
            personalise = theirs.order(gateway, "personalise")  # before the CA knows
            assert (await desk.done(job)).state == "done"
            assert desk.gateway(gateway).state == "handed-over"
            assert len(desk.ca.requests) == (kind == "operation")  # the CA knows no administrator of a seal
            assert (await theirs.done(personalise)).state == "done"
            assert theirs.gateway(gateway).current.administrator == world.OTHER
            assert theirs.gateway(gateway).current.certificates == gateway.current()
            assert (await theirs.do(gateway, "status")).result["administrator"] == world.OTHER

    tell(story)


def test_who_has_not_adopted_the_gateway_yet_gets_it_later(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        theirs = world.desk(world.OTHER)
        times = {"retry_seconds": 1, "longest_retry_seconds": 2, "trial_attempts": 1}
        waiting = {"hand_over_seconds": 60}
        async with theirs.serving(), opened(gateway={"times": times}, times=waiting) as (desk, gateway):
            job = desk.orders.hand_over(gateway.id, theirs.body())
            await world.until(lambda: "gwa.hand_over.back" in desk.events(gateway))
            assert "gwa.peer.unknown" in theirs.events()
            theirs.adopt(desk.job(job).result["record"].encode(), gateway.wake_up)
            assert (await desk.done(job)).state == "done"
            assert (await theirs.do(gateway, "status")).result["administrator"] == world.OTHER

    tell(story)


def test_nobody_is_there_and_the_gateway_stays(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        theirs = world.desk(world.OTHER)
        async with theirs.serving():
            body = theirs.body()
        times = {"retry_seconds": 1, "longest_retry_seconds": 2, "trial_attempts": 1}
        settings = {"hand_over_seconds": 60, "job_seconds": 900}
        async with opened(gateway={"times": times}, times=settings) as (desk, gateway):
            job = desk.orders.hand_over(gateway.id, body)
            await world.until(lambda: "gwa.hand_over.back" in desk.events(gateway))
            failed = await desk.late(job)
            assert failed.error["code"] == "gwa.job.late"
            assert "[gwa.hand_over.back]" in failed.error["message"]
            assert desk.gateway(gateway).state == "active"
            assert desk.ca.requests == []
            assert (await desk.do(gateway, "status")).result["administrator"] == world.US

    tell(story)


def test_a_gateway_comes_back_by_a_later_record_only(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        theirs = world.desk(world.OTHER, times={"hand_over_seconds": 60})
        async with opened(times={"hand_over_seconds": 60}) as (desk, gateway), theirs.serving():
            job = desk.orders.hand_over(gateway.id, theirs.body())
            there = (await world.until(lambda: desk.job(job).result))["record"].encode()
            theirs.adopt(there, gateway.wake_up)
            await desk.done(job)
            assert desk.adopt(gateway.record).state == "known"
            assert desk.gateway(gateway).state == "handed-over"
            back = theirs.orders.hand_over(gateway.id, desk.body())
            record = (await world.until(lambda: theirs.job(back).result))["record"].encode()
            assert desk.adopt(record, gateway.wake_up).state == "adopted"
            assert (await theirs.done(back)).state == "done"
            assert (await desk.do(gateway, "status")).result["administrator"] == world.US
            assert theirs.gateway(gateway).state == "handed-over"

    tell(story)


@pytest.mark.parametrize("step", ["export", "tell", "gone"])
def test_a_restart_at_any_step(step: str, tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        theirs = world.desk(world.OTHER)
        desk = world.desk(times={"hand_over_seconds": 60})
        async with theirs.serving():
            async with desk.serving():
                gateway = world.gateway(desk)
                desk.adopt(gateway.record)
                async with gateway.running():
                    await desk.do(gateway, "personalise")
                job = desk.orders.hand_over(gateway.id, theirs.body())
                if step != "export":
                    await world.until(lambda: desk.job(job).step == "tell")
            async with gateway.running():
                if desk.job(job).result:
                    theirs.adopt(desk.job(job).result["record"].encode(), gateway.wake_up)
                if step == "gone":
                    async with desk.serving():
                        await world.until(lambda: desk.job(job).step == "gone")
                async with desk.serving():
                    record = (await world.until(lambda: desk.job(job).result))["record"].encode()
                    theirs.adopt(record, gateway.wake_up)
                    assert (await desk.done(job)).state == "done"
                await theirs.do(gateway, "wake")
            assert len(set(desk.ca.requests)) == 1

    tell(story)
