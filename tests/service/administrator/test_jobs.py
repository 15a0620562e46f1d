"""Jobs: when they wait for what, how often they are tried, and how they end."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from smpki.errors import GatewayError, StoreError
from smpki.gateway import api
from smpki.gateway.readings import Obis
from smpki.gateway.wakeup import Claim, WakeUpReader, Window
from smpki.policy.device_id import DeviceId
from smpki.service.administrator.again import TryAgain
from smpki.service.administrator.management import Management
from smpki.service.administrator.store.jobs import Jobs

Tell = Callable[..., None]
METER = DeviceId.parse("1ABC0012345678")


def test_a_gateway_is_woken_until_it_comes(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False, times={"wake_seconds": 10, "longest_wake_seconds": 40}) as (desk, gateway):
            desk.adopt(gateway.record, "gateway.example:22357")
            job = desk.order(gateway, "wake")
            await world.time.advance(100)
            assert [place for _, *place in desk.wake_ups] == [["gateway.example", 22357]] * 4
            assert desk.job(job).state == "open"
            reader = WakeUpReader(gateway.id, [desk.own.certificates.sig], Window(timedelta(hours=1)))
            claims = [reader.read(message, world.now()) for message, *_ in desk.wake_ups]
            assert all(isinstance(claim, Claim) and claim.verify() for claim in claims)
            pauses = [later.seconds - one.seconds for one, later in pairwise(claims)]
            assert pauses == [10, 20, 40]
            async with gateway.running():
                assert (await desk.done(job)).result == {"connected": True}
            count = len(desk.wake_ups)
            await world.leap(300)
            assert len(desk.wake_ups) == count

    tell(story)


def test_a_gateway_without_an_address_comes_on_its_own_schedule(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            job = desk.order(gateway, "wake")
            await world.leap(3600)
            assert desk.events(gateway).count("gwa.wake.address") == 1
            async with gateway.running():
                assert (await desk.done(job)).state == "done"

    tell(story)


def test_a_wake_up_brings_a_gateway_that_runs(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(times={"linger_seconds": 1}) as (desk, gateway):
            await desk.do(gateway, "wake")
            await world.leap(120)
            seen_at = desk.gateway(gateway).seen_at
            await desk.do(gateway, "wake")
            assert desk.gateway(gateway).seen_at > seen_at
            assert desk.wake_ups

    tell(story)


def test_a_job_that_takes_too_long_says_what_held_it_up(
    tell: Tell, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: Any) -> None:
        async with opened(times={"job_seconds": 900}) as (desk, gateway):
            asked: list[Any] = []

            async def busy(self: Management) -> api.Status:
                asked.append(world.now())
                raise TryAgain("gwa.gateway.later", "the gateway can't do it now (503)")

            await desk.do(gateway, "wake")
            monkeypatch.setattr(Management, "status", busy)
            job = desk.order(gateway, "status")
            await world.until(lambda: desk.job(job).attempts == 3)
            first, second, third = asked[:3]
            assert (second - first, third - second) >= (timedelta(seconds=10), timedelta(seconds=20))
            over = await desk.late(job)
            assert (over.state, over.error["code"]) == ("failed", "gwa.job.late")
            assert "the gateway can't do it now (503) [gwa.gateway.later]" in over.error["message"]
            assert desk.events(gateway).count("gwa.gateway.later") <= 2  # by the job, and by a later greeting

    tell(story)


@pytest.mark.parametrize("error", [StoreError("store.full", "the disk is full"), RuntimeError("a mistake")])
def test_a_step_that_can_not_be_noted_is_taken_again(
    error: Exception, tell: Tell, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: Any) -> None:
        async with opened() as (desk, gateway):

            def failing(*_: Any, **__: Any) -> None:
                monkeypatch.undo()
                raise error

            monkeypatch.setattr(Jobs, "finish", failing)
            await desk.do(gateway, "wake")
            assert desk.events(gateway).count(getattr(error, "code", "gwa.internal")) == 1

    tell(story)


def test_jobs_of_a_gateway_wait_for_one_another_and_for_no_others(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, silent):
            waiting = [desk.order(silent, kind) for kind in ("status", "wake", "status")]
            other = world.gateway(desk)
            desk.adopt(other.record)
            async with other.running():
                await desk.do(other, "status")
            assert {desk.job(job).state for job in waiting} == {"open"}
            async with silent.running():
                finished = [(await desk.done(job)).finished_at for job in waiting]
            assert finished == sorted(finished)

    tell(story)


def test_orders_that_are_given_while_nobody_is_at_work(tell: Tell, world: Any) -> None:
    async def story(world: Any) -> None:
        desk = world.desk()
        async with desk.serving():
            gateway = world.gateway(desk)
        desk.adopt(gateway.record)
        job = desk.order(gateway, "status")
        async with gateway.running(), desk.serving():
            assert (await desk.done(job)).result["gateway"] == gateway.id.dns

    tell(story)


def profile_for(world: Any, **changes: Any) -> api.CommunicationProfile:
    values = {
        "name": "supplier",
        "url": "https://127.0.0.1:1/readings",
        "tls": world.office.certificate("Lieferant.EMT", "tls"),
        "enc": world.office.certificate("Lieferant.EMT", "enc"),
    }
    return api.CommunicationProfile(**{**values, **changes})


OBIS = (Obis.parse("1-0:1.8.0"),)
METER_PROFILE = api.MeterProfile(meter=METER, obis=OBIS)


def evaluation(*recipients: str) -> bytes:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return api.EvaluationProfile(name="load", meter=METER, obis=OBIS, recipients=recipients, start=start).to_json()


def test_profiles_are_set_in_the_order_in_which_they_are_given(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        world.office.enrol("Lieferant.EMT")
        async with opened() as (desk, gateway):
            for folder, body in (
                (api.COMMUNICATION_PROFILES, profile_for(world).to_json()),
                (api.METER_PROFILES, METER_PROFILE.to_json()),
                (api.EVALUATION_PROFILES, evaluation("supplier")),
            ):
                job = await desk.done(desk.orders.profiles(gateway.id, folder, [("profile.json", body)]))
                assert job.state == "done", job.error
            status = await desk.do(gateway, "status")
            assert status.result["profiles"] == {
                "CommunicationProfile/supplier": 1,
                "EvaluationProfile/load": 1,
                f"MeterProfile/{METER.dns}": 1,
            }

    tell(story)


def test_a_profile_that_the_gateway_refuses_fails_with_its_reason(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened() as (desk, gateway):
            meter = [("meter.json", METER_PROFILE.to_json())]
            await desk.done(desk.orders.profiles(gateway.id, api.METER_PROFILES, meter))
            bodies = [("load.json", evaluation("nobody"))]
            job = await desk.done(desk.orders.profiles(gateway.id, api.EVALUATION_PROFILES, bodies))
            assert (job.state, job.error["code"]) == ("failed", "gwa.gateway.refused")
            assert "there is no communication profile nobody [profile.recipient]" in job.error["message"]

    tell(story)


@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        (b"{", "json.syntax", "profile.json"),
        (b'{"meter": "1ABC0012345678", "obis": ["1-0:1.8.0"]}', "json.content", "profile.json: meter"),
        (b'{"meter": "1abc0012345678", "obis": [], "colour": 1}', "json.content", "profile.json: obis"),
    ],
)
def test_profiles_that_are_none_are_not_ordered(body: bytes, code: str, where: str, tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            with pytest.raises(GatewayError) as caught:
                desk.orders.profiles(gateway.id, api.METER_PROFILES, [("profile.json", body)])
            assert (caught.value.code, caught.value.where) == (code, where)

    tell(story)


def test_what_a_gateway_is_asked_for_comes_back(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened() as (desk, gateway):
            log = await desk.do(gateway, "log", {"log": "system", "query": {"q.count": "2"}})
            assert log.result["entries"][0]["event"] == "gateway.start"
            assert len(log.result["entries"]) == 2
            test = await desk.do(gateway, "self-test")
            assert "passed" in test.result
            await desk.do(gateway, "report", {"recipient": None})

    tell(story)


def test_a_gateway_is_told_our_present_certificates(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened() as (desk, gateway):
            assert (await desk.do(gateway, "introduce")).result == {"told": world.US}
            assert (await desk.do(gateway, "status")).result["administrator"] == world.US

    tell(story)


def test_orders_that_make_no_sense_are_refused_at_once(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened() as (desk, gateway):

            def refused(act: Callable[[], Any]) -> str:
                with pytest.raises(GatewayError) as caught:
                    act()
                assert caught.value.hint
                return caught.value.code

            nobody = DeviceId.parse("EABC9900000001")
            assert refused(lambda: desk.orders.order(nobody, "wake")) == "gwa.gateway.unknown"
            assert refused(lambda: desk.order(gateway, "resume")) == "gwa.gateway.state"
            assert refused(lambda: desk.order(gateway, "renew")) == "gwa.renew.kind"
            assert refused(lambda: desk.orders.hand_over(gateway.id, desk.body())) == "gwa.hand_over.self"
            job = desk.order(gateway, "personalise")
            assert refused(lambda: desk.order(gateway, "personalise")) == "gwa.job.open"
            await desk.done(job)
            assert refused(lambda: desk.order(gateway, "personalise")) == "gwa.personalise.done"

    tell(story)
