"""INFO-REPORT: each reading once to each participant, whatever they answer, and however late."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from smpki.errors import StoreError
from smpki.gateway import api
from smpki.gateway.status_word import NO_VALUE
from smpki.gateway.store.store import GatewayStore
from smpki.requests.model import Purpose

Tell = Callable[..., None]
PROFILE = f"{api.COMMUNICATION_PROFILES}supplier"


async def begin(world: Any, **changes: Any) -> Any:
    """Set the profiles and have one reading stored; returns the connection to the administrator."""
    talk = await world.administrator.call()
    await world.set_up(talk, **changes)
    await world.at_mark(100)
    return talk


async def due(world: Any) -> None:
    await world.time.advance(60)


def values(world: Any) -> list[int]:
    return [value for _, value in world.participant.taken if value]


async def counts(talk: Any) -> dict[str, int]:
    status = await talk.status()
    return status.deliveries["supplier"].model_dump()


@pytest.mark.requirement("REQ.Webservice.HttpClient.50")
@pytest.mark.parametrize("status", [200, 201, 202, 204, 409])
def test_what_counts_as_taken(tell: Tell, status: int) -> None:
    async def story(world: Any) -> None:
        world.participant.answer = lambda number: status
        async with world.running():
            talk = await begin(world)
            await due(world)
            await world.until(lambda: values(world) == [100])
            await world.time.advance(40)
            assert await counts(talk) == {"open": 0, "acknowledged": 1, "refused": 0}
            assert len(world.participant.messages) == 1
            talk.end()

    tell(story)


@pytest.mark.requirement("REQ.Webservice.HttpClient.50")
@pytest.mark.parametrize("status", [400, 403, 404, 413, 415, 422])
def test_what_is_refused_is_kept_told_and_sent_when_the_profile_changes(tell: Tell, status: int) -> None:
    async def story(world: Any) -> None:
        world.participant.answer = lambda number: status if number == 1 else 204
        async with world.running():
            talk = await begin(world)
            await due(world)
            await world.until(lambda: "delivery.refused" in world.administrator.events())
            assert await counts(talk) == {"open": 0, "acknowledged": 0, "refused": 1}
            await world.time.advance(40)
            assert len(world.participant.messages) == 1
            assert await talk.put(PROFILE, world.participant.profile()) == 204  # as it is: nothing changes
            assert await counts(talk) == {"open": 0, "acknowledged": 0, "refused": 1}
            await talk.put(PROFILE, world.participant.profile(suite="cbc-cmac"))
            await world.until(lambda: values(world) == [100])
            assert await counts(talk) == {"open": 0, "acknowledged": 1, "refused": 0}
            talk.end()

    tell(story)


@pytest.mark.requirement("REQ.Webservice.HttpClient.50")
@pytest.mark.parametrize("status", [408, 500, 502, 503])
def test_trouble_is_tried_again_with_the_same_octets(tell: Tell, status: int) -> None:
    async def story(world: Any) -> None:
        world.participant.answer = lambda number: status if number < 4 else 204
        async with world.running():
            talk = await begin(world)
            await due(world)
            for number, pause in ((1, 5), (2, 10), (3, 20)):  # seconds, from a moment less than 5 s ago on
                await world.until(lambda number=number: len(world.participant.messages) == number)
                await asyncio.sleep(0.02)
                await world.time.advance(pause - 5)
                await asyncio.sleep(0.02)
                assert len(world.participant.messages) == number
                await world.time.advance(6)
            await world.until(lambda: values(world) == [100])
            assert len({*world.participant.messages}) == 1
            assert world.events().count("delivery.status") == 1
            await world.until(lambda: "delivery.reached" in world.events())
            talk.end()

    tell(story)


def test_a_late_answer_is_none_and_the_delivery_is_sent_again(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async def late(number: int) -> int:
            if number == 1:
                await asyncio.sleep(1.5)
            return 204 if number == 1 else 409

        world.participant.answer = late
        async with world.running():
            talk = await begin(world)
            await due(world)
            await world.until(lambda: "http.client.late" in world.events())
            await world.time.advance(6)
            await world.until(lambda: len(world.participant.messages) == 2)
            await world.until(lambda: "delivery.acknowledged" in world.events())
            assert values(world) == [100]
            talk.end()

    tell(story)


@pytest.mark.requirement("REQ.Webservice.HttpClient.80")
def test_a_participant_who_hangs_up_amid_the_answer_gets_it_again(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async def break_off(number: int) -> int:
            if number == 1:
                for transport in world.participant.transports:
                    transport.abort()
            return 204

        world.participant.answer = break_off
        async with world.running():
            talk = await begin(world)
            await due(world)
            await world.until(lambda: len(world.participant.messages) == 1)
            await asyncio.sleep(0.05)
            await world.time.advance(6)
            await world.until(lambda: "delivery.acknowledged" in world.events())
            assert len({*world.participant.messages}) == 1
            talk.end()

    tell(story)


def test_a_dead_participant_keeps_nobody_waiting_and_misses_nothing(tell: Tell, make_triple: Any) -> None:
    async def story(world: Any) -> None:
        other = type(world.participant)(make_triple("Netzbetreiber.EMT"), world.participant.sender)
        await other.open()
        try:
            async with world.running():
                talk = await begin(world)
                grid = other.profile("grid")
                assert await talk.put(f"{api.COMMUNICATION_PROFILES}grid", grid) == 204
                path = f"{api.EVALUATION_PROFILES}load"
                load = (await talk.ask("GET", path)).json(api.EvaluationProfile)
                both = load.model_copy(update={"recipients": ("supplier", "grid")})
                assert await talk.put(path, both) == 204
                await world.participant.close()
                for value in (200, 300):
                    await world.at_mark(value)
                await due(world)
                await world.until(lambda: {100, 200, 300} <= {value for _, value in other.taken})
                assert values(world) == []
                await world.participant.open()
                await world.until(lambda: values(world) == [100, 200, 300], passing=True)
                assert sorted(world.participant.taken) == sorted({*world.participant.taken})
                talk.end()
        finally:
            await other.close()

    tell(story)


def test_another_server_in_the_participants_place_gets_nothing(tell: Tell, make_triple: Any) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            known, world.participant.triple = world.participant.triple, make_triple("Lieferant.EMT")
            await world.participant.close()
            await world.participant.open()
            await due(world)
            await world.until(lambda: "tls.peer.unknown" in world.administrator.events())
            assert world.participant.messages == []
            # it was renewed, and the administrator says so
            assert world.participant.triple != known
            await talk.put(PROFILE, world.participant.profile())
            await world.until(lambda: values(world) == [100], passing=True)
            talk.end()

    tell(story)


def test_a_participant_whose_certificates_have_ended_waits_for_new_ones(tell: Tell, make_triple: Any) -> None:
    async def story(world: Any) -> None:
        good, ended = (
            world.participant.triple,
            make_triple("Lieferant.EMT", not_after=datetime(2026, 11, 1, tzinfo=UTC)),
        )
        async with world.running():
            talk = await begin(world, enc=ended.certificates[Purpose.ENC])
            await due(world)
            await world.until(lambda: "delivery.certificate.recipient" in world.administrator.events())
            await world.time.advance(600)
            assert world.events().count("delivery.certificate.recipient") == 1

            world.participant.triple = ended
            await world.participant.close()
            await world.participant.open()
            await talk.put(PROFILE, world.participant.profile(enc=good.certificates[Purpose.ENC]))
            await world.until(lambda: "tls.peer.expired" in world.administrator.events())
            assert world.participant.messages == []

            world.participant.triple = good
            await world.participant.close()
            await world.participant.open()
            await talk.put(PROFILE, world.participant.profile())
            await world.until(lambda: 100 in values(world), passing=True)
            talk.end()

    tell(story)


def test_no_delivery_is_signed_with_a_key_whose_certificate_has_ended(
    tell: Tell, certificate_for: Any, tmp_path: Any
) -> None:
    async def story(world: Any) -> None:
        soon = datetime(2026, 11, 22, 12, 1, 30, tzinfo=UTC)
        async with world.running():
            talk = await world.administrator.call()
            await world.renew(talk, certificate_for, not_after=soon)
            await talk.post(api.ACTIVATE_WAN_KEYS)
            await talk.closed()
            talk = await world.administrator.call()
            await world.set_up(talk, schedule_seconds=300)
            await world.at_mark(100)
            await world.time.advance(360)
            await world.until(lambda: "delivery.certificate.own" in world.events())
            assert world.participant.messages == []
            await world.renew(talk, certificate_for)
            await talk.post(api.ACTIVATE_WAN_KEYS)
            await talk.closed()
            talk = await world.administrator.call()
            await talk.status()
            await world.until(lambda: values(world) == [100])
            talk.end()

    tell(story)


def test_a_full_disk_keeps_deliveries_back_and_doubles_none(tell: Tell, monkeypatch: Any) -> None:
    def full(store: GatewayStore) -> None:
        raise StoreError("store.full", "the disk is full")

    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            with monkeypatch.context() as patch:
                patch.setattr(GatewayStore, "work", full)
                await due(world)
                await world.time.advance(30)
            assert world.participant.messages == []

            def is_full_now(number: int) -> int:
                if number == 1:
                    monkeypatch.setattr(GatewayStore, "work", full)  # before the answer can be noted
                return 204 if number == 1 else 409

            world.participant.answer = is_full_now
            await world.until(lambda: len(world.participant.messages) == 1, passing=True)
            await asyncio.sleep(0.05)
            monkeypatch.undo()
            await world.until(lambda: "delivery.acknowledged" in world.events(), passing=True)
            assert len(world.participant.messages) == 2
            assert len({*world.participant.messages}) == 1
            assert values(world) == [100]
            assert "store.full" in world.events()
            talk.end()

    tell(story)


def test_a_participant_who_is_switched_off_gets_all_of_it_later(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            await talk.put(PROFILE, world.participant.profile(enabled=False))
            await world.at_mark(200)
            await due(world)
            assert world.participant.messages == []
            await talk.put(PROFILE, world.participant.profile())
            await due(world)
            await world.until(lambda: values(world) == [100, 200])
            talk.end()

    tell(story)


def test_deliveries_on_demand_with_what_was_refused(tell: Tell) -> None:
    async def story(world: Any) -> None:
        world.participant.answer = lambda number: 403 if number == 1 else 204
        async with world.running():
            talk = await begin(world, schedule_seconds=86_400)
            assert await talk.post(api.REPORT_NOW, api.ReportNow(recipient="supplier")) == 202
            await world.until(lambda: "delivery.refused" in world.events())
            assert await talk.post(api.REPORT_NOW, api.ReportNow()) == 202
            await world.until(lambda: values(world) == [100])
            assert await talk.refusal("POST", api.REPORT_NOW, api.ReportNow(recipient="nobody")) == (
                404,
                "http.missing",
            )
            talk.end()

    tell(story)


def test_what_is_waiting_after_failures_goes_on_demand(tell: Tell) -> None:
    async def story(world: Any) -> None:
        world.participant.answer = lambda number: 503 if number == 1 else 204
        async with world.running():
            talk = await begin(world)
            await due(world)
            await world.until(lambda: "delivery.status" in world.events())
            assert await talk.post(api.REPORT_NOW, api.ReportNow()) == 202
            await world.until(lambda: values(world) == [100])
            talk.end()

    tell(story, times={"report_retry_seconds": 3600, "answer_seconds": 1})


@pytest.mark.requirement("REQ.Webservice.HttpClient.60", "REQ.Webservice.HttpClient.70")
@pytest.mark.parametrize(
    "protection",
    [{"suite": "gcm"}, {"suite": "cbc-cmac"}, {"compress": True}, {"suite": "cbc-cmac", "kdf_info": "none"}],
)
def test_deliveries_are_protected_as_the_profile_says(tell: Tell, protection: dict[str, Any]) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world, **protection)
            await due(world)
            await world.until(lambda: values(world) == [100])
            talk.end()
        (protected,) = world.participant.protections
        assert protected.suite.mode.value == protection.get("suite", "gcm")
        assert protected.compress == protection.get("compress", False)
        assert protected.kdf_info.value == protection.get("kdf_info", "rfc5753")
        layers = "signedData , authEnvelopedData" + (" , compressedData" if protection.get("compress") else "")
        assert world.participant.types == [f'application/cms+json; encapsulatingContent="{layers}"']

    tell(story)


def test_a_delivery_has_a_limit_and_the_rest_comes_in_the_next(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world, schedule_seconds=86_400)
            for value in (200, 300, 400, 500):
                await world.at_mark(value)
            await talk.post(api.REPORT_NOW, api.ReportNow())
            await world.until(lambda: values(world) == [100, 200, 300, 400, 500])
            assert [len(each.readings) for each in world.participant.deliveries] == [2, 2, 1]
            talk.end()

    tell(story, limits={"readings_per_delivery": 2})


def test_deliveries_that_go_together_stand_or_fall_alone(tell: Tell) -> None:
    """Their messages are stored together, and so are their answers; one that fails keeps those behind it waiting."""

    async def story(world: Any) -> None:
        statuses = iter([204, 403, 409, 503])
        world.participant.answer = lambda number: next(statuses, 204)
        async with world.running():
            talk = await begin(world, schedule_seconds=86_400)
            for value in (200, 300, 400, 500):
                await world.at_mark(value)
            await talk.post(api.REPORT_NOW, api.ReportNow())
            await world.until(lambda: "delivery.status" in world.events())
            assert await counts(talk) == {"open": 2, "acknowledged": 2, "refused": 1}
            first = list(world.participant.messages)
            assert len(first) == 4
            await world.time.advance(8)
            await world.until(lambda: len(world.participant.messages) == 6)
            assert world.participant.messages[4] == first[3]
            await talk.post(api.REPORT_NOW, api.ReportNow())  # the refused one, too
            await world.until(lambda: len(world.participant.messages) == 7)
            await world.until(lambda: world.events().count("delivery.acknowledged") == 5)
            assert await counts(talk) == {"open": 0, "acknowledged": 5, "refused": 0}
            assert {*values(world)} == {100, 200, 300, 400, 500}
            talk.end()

    tell(story, limits={"readings_per_delivery": 1})


def test_a_restart_amid_deliveries_that_go_together(tell: Tell) -> None:
    """Whatever was sent when the gateway ended goes again in the same octets, and what was answered doesn't."""

    async def story(world: Any) -> None:
        async def stall(number: int) -> int:
            if number == 2:
                await asyncio.sleep(3600)
            return 204

        world.participant.answer = stall
        async with world.running():
            talk = await begin(world, schedule_seconds=86_400)
            for value in (200, 300):
                await world.at_mark(value)
            await talk.post(api.REPORT_NOW, api.ReportNow())
            await world.until(lambda: len(world.participant.messages) == 2)
            talk.end()
        async with world.running():
            await world.until(lambda: len(world.participant.messages) == 4, passing=True)
            await world.until(lambda: world.events().count("delivery.acknowledged") == 3)
        first, second, again, _ = world.participant.messages
        assert (first != second, second == again) == (True, True)

    tell(story, limits={"readings_per_delivery": 1}, times={"answer_seconds": 300, "report_retry_seconds": 5})


def test_a_restart_does_not_deliver_again_and_forgets_nothing(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await begin(world)
            await due(world)
            await world.until(lambda: values(world) == [100])
            await world.participant.close()
            await world.at_mark(200)
            await due(world)
            talk.end()
        await world.participant.open()
        async with world.running():
            await world.until(lambda: values(world) == [100, 200], passing=True)
            await world.time.advance(120)
        ids = [each.delivery_id for each in world.participant.deliveries]
        assert len(ids) == len({*ids})
        gaps = [reading for each in world.participant.deliveries for reading in each.readings if not reading.value]
        assert all(reading.status & NO_VALUE for reading in gaps)

    tell(story)
