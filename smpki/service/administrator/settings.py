"""What is asked of a gateway in one step: profiles, its status, its logs, a self-test, a delivery."""

from typing import Any

from smpki.gateway import api
from smpki.gateway.api_types import Body
from smpki.gateway.profiles import Profile
from smpki.service.administrator.participants import check, noted
from smpki.service.administrator.plan import Advance, Plan, Step, Work

PROFILES: dict[str, type[Profile]] = {
    api.COMMUNICATION_PROFILES: api.CommunicationProfile,
    api.METER_PROFILES: api.MeterProfile,
    api.EVALUATION_PROFILES: api.EvaluationProfile,
}
"""The bodies below the paths of profiles."""


async def _put(work: Work) -> Advance:
    """Set the profiles one after the other, in the order in which they were given."""
    profiles = work.job.arguments["profiles"]
    for one in profiles:
        await work.management.put(one["path"], PROFILES[one["folder"]].model_validate_json(one["body"]))
    return Advance(result={"set": [one["path"] for one in profiles]}, also=noted(work))


async def _connect(work: Work) -> Advance:
    """It is connected: that was all."""
    return Advance(result={"connected": True})


async def _status(work: Work) -> Advance:
    return Advance(result=_json(await work.management.status()))


async def _log(work: Work) -> Advance:
    wanted = work.job.arguments
    return Advance(result=_json(await work.management.log(wanted["log"], wanted["query"])))


async def _self_test(work: Work) -> Advance:
    return Advance(result=_json(await work.management.self_test()))


async def _report(work: Work) -> Advance:
    await work.management.report(api.ReportNow.model_validate(work.job.arguments))
    return Advance(result={"asked": True})


async def _introduce(work: Work) -> Advance:
    """Tell the gateway our present addresses and certificates."""
    await work.management.put(api.ADMINISTRATOR, work.office.administrator)
    return Advance(result={"told": work.office.administrator.name})


def _json(body: Body) -> dict[str, Any]:
    return body.model_dump(mode="json")


def _single(name: str, take: Any) -> Plan:
    return Plan((Step(name, take),))


SET = Plan((Step("check", check, connected=False), Step("put", _put)))
WAKE = _single("connect", _connect)
STATUS = _single("ask", _status)
LOG = _single("ask", _log)
SELF_TEST = _single("ask", _self_test)
REPORT = _single("ask", _report)
INTRODUCE = _single("put", _introduce)
