"""The gateway's resources: profiles, logs, status, self-test, as the administrator finds them."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from smpki.gateway import api
from smpki.gateway.api_types import to_pem
from smpki.gateway.media_type import JSON
from smpki.gateway.readings import Obis
from smpki.policy.device_id import DeviceId

Tell = Callable[..., None]
BASE = api.BASE
METER = DeviceId.parse("1ABC0012345678")
SUPPLIER = f"{api.COMMUNICATION_PROFILES}supplier"


def meter_profile(**changes: Any) -> api.MeterProfile:
    values = {"meter": METER, "obis": (Obis.parse("1-0:1.8.0"),), "registration_period_seconds": 60}
    return api.MeterProfile(**{**values, **changes})


@pytest.mark.requirement("REQ.Webservice.HttpServer.20")
def test_the_folders_list_what_there_is(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            assert await talk.get("/smgw/") == [f"{BASE}/"]
            assert await talk.get(f"{BASE}/") == [f"{BASE}/rts/", f"{BASE}/fas/", f"{BASE}/exp/"]
            actions = (
                *(api.PREPARE_WAN_KEYS, api.ACTIVATE_WAN_KEYS, api.RETIRE_WAN_KEYS),
                *(api.SELF_TEST, api.REPORT_NOW),
            )
            assert await talk.get(f"{BASE}/fas/") == [*actions]
            assert await talk.get(api.LOGS) == [f"{api.LOGS}system", f"{api.LOGS}calibration"]
            kinds = (api.COMMUNICATION_PROFILES, api.METER_PROFILES, api.EVALUATION_PROFILES, api.CERTIFICATES)
            assert (await talk.get(f"{BASE}/rts/"))[:4] == [*kinds]
            assert api.STATUS in await talk.get(f"{BASE}/rts/Status/")
            assert api.ADMINISTRATOR in await talk.get(f"{BASE}/rts/Administrator/")
            assert await talk.get(api.ADMINISTRATOR) == json.loads(world.administrator.body().to_json())
            talk.end()

    tell(story)


@pytest.mark.requirement(
    "REQ.Webservice.HttpServer.110",
    "REQ.Webservice.HttpServer.120",
    "REQ.Webservice.HttpServer.130",
    "REQ.Webservice.HttpServer.140",
)
def test_profiles_are_made_read_changed_and_removed(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            profile = world.participant.profile()
            assert await talk.post(api.COMMUNICATION_PROFILES, profile) == 201
            assert await talk.refusal("POST", api.COMMUNICATION_PROFILES, profile) == (409, "profile.exists")
            assert await talk.get(api.COMMUNICATION_PROFILES) == [SUPPLIER]
            assert await talk.get(SUPPLIER) == json.loads(profile.to_json())
            changed = world.participant.profile(schedule_seconds=900)
            assert await talk.put(SUPPLIER, changed) == 204
            assert (await talk.get(SUPPLIER))["schedule_seconds"] == 900
            assert (await talk.status()).profiles == {"CommunicationProfile/supplier": 2}
            assert (await talk.ask("DELETE", SUPPLIER)).status == 204
            assert await talk.refusal("DELETE", SUPPLIER) == (404, "http.missing")
            assert await talk.refusal("GET", SUPPLIER) == (404, "http.missing")
            talk.end()
        events = world.events()
        assert (events.count("profile.set"), events.count("profile.removed")) == (2, 1)

    tell(story)


def test_profiles_survive_a_restart(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            await world.set_up(talk)
            before = (await talk.status()).profiles
            talk.end()
        async with world.running():
            talk = await world.administrator.call()
            assert (await talk.status()).profiles == before
            assert len(before) == 3
            talk.end()
        assert [entry.event for entry in world.log("calibration")] == ["profile.set", "profile.set"]

    tell(story)


def test_contradictions_are_refused_and_change_nothing(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            await world.set_up(talk)
            before = await talk.status()
            load = f"{api.EVALUATION_PROFILES}load"
            present = (await talk.ask("GET", load)).json(api.EvaluationProfile)
            unknown = present.model_copy(update={"recipients": ("nobody",)})
            assert await talk.refusal("PUT", load, unknown) == (409, "profile.recipient")
            path = f"{api.METER_PROFILES}{METER.dns}"
            assert await talk.refusal("PUT", path, meter_profile(registration_period_seconds=900)) == (
                409,
                "profile.period",
            )
            other = meter_profile(meter=DeviceId.parse("1ABC0000000001"))
            assert await talk.refusal("PUT", path, other) == (409, "profile.id")
            assert await talk.refusal("DELETE", SUPPLIER) == (409, "profile.used")
            wrong = world.participant.profile(enc=world.participant.triple.tls)
            assert await talk.refusal("PUT", SUPPLIER, wrong) == (409, "profile.certificate")
            after = await talk.status()
            assert after.profiles == before.profiles
            talk.end()
        told = [entry for entry in world.log() if entry.outcome == "failure"]
        assert [entry.event for entry in told] == [
            *("profile.recipient", "profile.period", "profile.id", "profile.used", "profile.certificate"),
        ]
        assert "EvaluationProfile/load" in told[0].text
        assert told[0].text.endswith("refused with 409: there is no communication profile nobody")

    tell(story)


@pytest.mark.requirement("REQ.Webservice.HttpServer.62")
def test_bodies_that_are_none_are_422(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            good = json.loads(world.participant.profile().to_json())
            for body in (
                b"",
                b"{",
                b"[]",
                b"{}",
                json.dumps({**good, "more": 1}).encode(),
                json.dumps({**good, "url": "http://x/"}).encode(),
                json.dumps({**good, "enc": "none"}).encode(),
            ):
                answer = await talk.caller.ask("PUT", SUPPLIER, body, JSON)
                assert (answer.status, answer.json(api.Problem).code.partition(".")[0]) == (422, "json"), body
            assert (await talk.status()).profiles == {}
            talk.end()

    tell(story)


@pytest.mark.requirement("REQ.Webservice.HttpServer.210")
def test_logs_are_exported_by_time_type_level_and_number(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            await world.set_up(talk, schedule_seconds=86_400)
            await world.time.advance(120)
            await talk.post(api.SELF_TEST)

            async def log(query: str, name: str = "system") -> list[api.LogRecord]:
                answer = await talk.ask("GET", f"{api.LOGS}{name}{query}")
                return [*answer.json(api.LogExport).entries]

            everything = await log("")
            assert [entry.record_number for entry in everything] == [*range(1, len(everything) + 1)]
            assert everything[0].event == "gateway.start"
            assert await log("?q.count=2") == everything[:2]
            assert {entry.event for entry in await log("?q.type=profile.set")} == {"profile.set"}
            assert {entry.level for entry in await log("?q.level=I")} == {"I"}
            moment = everything[-1].timestamp.isoformat().replace("+00:00", "Z")
            assert await log(f"?q.fromtime={moment}") == [
                entry for entry in everything if entry.timestamp >= everything[-1].timestamp
            ]
            assert await log(f"?q.totime={moment}") == [
                entry for entry in everything if entry.timestamp < everything[-1].timestamp
            ]
            assert len(await log("", "calibration")) == 2
            assert await talk.refusal("GET", f"{api.LOGS}consumer") == (404, "http.missing")
            assert await talk.refusal("GET", f"{api.LOGS}system?q.obis=1-0:1.8.0") == (400, "http.query.idle")
            talk.end()

    tell(story)


def test_the_self_test_says_what_does_not_work(tell: Tell, monkeypatch: Any) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            result = (await talk.ask("POST", api.SELF_TEST)).json(api.SelfTest)
            assert result.passed
            assert [check.name for check in result.checks] == [
                *("store", "disk", "random", "keys", "certificates", "time", "meters"),
            ]
            await world.time.advance(4_000)
            result = (await talk.ask("POST", api.SELF_TEST)).json(api.SelfTest)
            assert [check.name for check in result.checks if not check.passed] == ["meters"]
            talk.end()
            await world.until(lambda: "self_test.failed" in world.administrator.events())

    tell(story)


def test_the_self_test_checks_the_chain_of_the_own_certificates(tell: Tell, make_triple: Any) -> None:
    async def story(world: Any) -> None:
        (world.folder / "root.pem").write_text(to_pem(make_triple("Root.CA").tls))
        world.settings["trust"] = {"anchors": [str(world.folder / "root.pem")]}
        async with world.running():
            talk = await world.administrator.call()
            result = (await talk.ask("POST", api.SELF_TEST)).json(api.SelfTest)
            assert [check.name for check in result.checks if not check.passed] == ["certificates"]
            talk.end()

    tell(story)


def test_certificates_that_end_soon_are_told(tell: Tell, certificate_for: Any) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            await world.renew(talk, certificate_for, not_after=world.now() + timedelta(days=5))
            await talk.post(api.ACTIVATE_WAN_KEYS)
            await talk.closed()
            talk = await world.administrator.call()
            await talk.status()
            await world.time.advance(86_400)
            talk.end()
            await world.until(lambda: "certificate.ending" in world.administrator.events())

    tell(story, meters=[])
