"""Gateways for an hour of their time, in which all goes wrong that can: nothing is lost, and nothing comes twice."""

import asyncio
import gc
import logging
import os
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import soak_cast as cast
import soak_faults as faults
from cryptography import x509
from soak_leaping import LeapingLoop

from smpki.gateway.readings import Obis
from smpki.gateway.status_word import NO_VALUE
from smpki.service.administrator import runner
from smpki.service.administrator.store.gateways import key_id

BAD = 0.12
"""The share of connections that fail while the weather is bad."""
HOUR = 3600

_Line = tuple[datetime, Obis, int, int]


@dataclass(frozen=True, order=True)
class Granted:
    """A triple, as the PKI knows it.

    :param number: in its holder's name, one more with each renewal
    """

    number: int
    not_after: datetime
    keys: frozenset[str]

    @classmethod
    def of(cls, rows: list[Any]) -> "Granted":
        """The certificates for one request."""
        assert sorted(row["purpose"] for row in rows) == ["enc", "sig", "tls"], "a request was granted twice"
        certificates = [x509.load_der_x509_certificate(row["der"]) for row in rows]
        return cls(
            rows[0]["dn_serial"],
            min(row["not_after"] for row in rows),
            frozenset(key_id(one.public_key()) for one in certificates),
        )


@dataclass(frozen=True)
class Plan:
    """How long, and how many.

    :param seconds: of bad weather
    :param acts: a gateway does so many before it dies
    :param administrator_acts: so does the administrator
    :param participant_acts: and the participant
    """

    gateways: int
    seconds: int
    acts: tuple[int, int]
    administrator_acts: tuple[int, int]
    participant_acts: tuple[int, int]


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(3, 600, (5, 120), (20, 120), (3, 20)), id="3 gateways, ten minutes"),
        pytest.param(Plan(50, HOUR, (5, 300), (100, 900), (5, 150)), id="50 gateways, an hour", marks=pytest.mark.slow),
    ],
)
def test_a_soak_with_faults(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seed = int(os.environ.get("SMPKI_SOAK_SEED", "4711"))
    print(f"SMPKI_SOAK_SEED={seed}")
    caplog.set_level(logging.CRITICAL, "smpki")
    monkeypatch.setattr(runner, "_LOOK", 5.0)  # orders come from this process; to look for others' takes its time
    with faults.mortal_disks(monkeypatch), asyncio.Runner(loop_factory=LeapingLoop) as loop:
        office = cast.found(tmp_path, plan.gateways)
        play = loop.run(_play(plan, office, random.Random(seed)))
        gc.collect()  # what the dead have left ends here, and not in another test
    print(play.report())
    play.judge()


async def _play(plan: Plan, office: Any, chance: random.Random) -> "Play":
    loop: Any = asyncio.get_running_loop()
    weather = faults.Weather(chance)
    loop.wrap_client, loop.wrap_server = weather.client, weather.server
    stage = cast.Stage(office, chance, weather, cast.own_addresses())
    loop.set_exception_handler(stage.noticed)
    play = Play(plan, stage)
    await play.run()
    return play


class Play:
    """All of it."""

    def __init__(self, plan: Plan, stage: cast.Stage) -> None:
        self.plan, self.stage = plan, stage
        self.administrator = cast.AdministratorComputer(stage)
        self.participant = cast.ParticipantComputer(stage)
        self.gateways = [
            cast.GatewayComputer(stage, self.administrator, number) for number in range(1, plan.gateways + 1)
        ]
        self.computers: list[cast.Computer] = [self.administrator, self.participant, *self.gateways]
        self.end = stage.now()
        self.events: Counter[str] = Counter()

    async def run(self) -> None:
        """Certificates, an hour's pause, a time of bad weather, and some time to catch up."""
        async with self._up():
            await self._personalise()
        await asyncio.sleep(HOUR - self.stage.loop.time())
        async with self._up():
            self.stage.weather.bad = BAD
            self.administrator.acts_to_live = self.plan.administrator_acts
            self.participant.acts_to_live = self.plan.participant_acts
            for gateway in self.gateways:
                gateway.acts_to_live = self.plan.acts
                self.administrator.set_profiles(gateway, self.participant)
            strikes = asyncio.create_task(self._strike())
            await asyncio.sleep(self.plan.seconds)
            strikes.cancel()
            self._clear_up()
            await self._caught_up()

    @asynccontextmanager
    async def _up(self) -> AsyncIterator[None]:
        """All are there."""
        for gateway in self.gateways:
            await gateway.meter.open()
        meters = [asyncio.create_task(gateway.meter.tick()) for gateway in self.gateways]
        stays = [asyncio.create_task(computer.stay()) for computer in self.computers]
        try:
            yield
        finally:
            for computer in self.computers:
                computer.end()
            await asyncio.wait(stays)
            for meter in meters:
                meter.cancel()
            for gateway in self.gateways:
                gateway.meter.close()

    async def _personalise(self) -> None:
        for gateway in self.gateways:
            self.administrator.adopt(gateway)
            self.administrator.order(gateway, "personalise")
        for _ in range(60):
            await asyncio.sleep(10)
            if self.administrator.done("personalise") == len(self.gateways):
                return
        self.stage.mishaps.append("the gateways have no certificates")

    async def _strike(self) -> None:
        """Every now and then one of them dies, has a full disk, or a meter falls silent."""
        chance, some = self.stage.chance, self.stage.some
        every = 3600 / (6 * len(self.computers))
        while True:
            await asyncio.sleep(some(0, 2 * every))
            gateway = chance.choice(self.gateways)
            kind = chance.choice(("death", "death", "full", "silence", "server", "server is full"))
            server = chance.choice((self.administrator, self.participant))
            self.stage.weather.happened[kind] += 1
            if kind == "death":
                gateway.die()
            elif kind == "server":
                server.die()
            elif kind == "silence":
                gateway.meter.is_silent = True
                self.stage.loop.call_later(some(30, 300), setattr, gateway.meter, "is_silent", False)
            elif (life := (gateway if kind == "full" else server).life) is not None:
                life.is_full = True
                self.stage.loop.call_later(some(5, 120), setattr, life, "is_full", False)

    def _clear_up(self) -> None:
        """The weather is fine from now on, and nobody dies any more."""
        self.stage.weather.bad = 0.0
        for computer in self.computers:
            computer.acts_to_live = None
            if computer.life:
                computer.life.acts, computer.life.is_full = None, False
        for gateway in self.gateways:
            gateway.meter.is_silent = False

    async def _caught_up(self) -> None:
        """Wait until all certificates are renewed, and what was measured until two minutes from now is delivered."""
        self.end = self.stage.now() + timedelta(seconds=2 * cast.PERIOD)
        for _ in range(60):
            await asyncio.sleep(60)
            if self._is_all_there() and self.administrator.done("renew") >= len(self.gateways):
                await asyncio.sleep(cast.SCHEDULE + cast.PERIOD)  # for what comes behind the latest
                return
        self.stage.mishaps.append("the gateways do not catch up")

    def _is_all_there(self) -> bool:
        last = defaultdict(set)
        for line in self.participant.lines():
            if datetime.fromisoformat(line["captured_at"]) >= self.end - timedelta(seconds=cast.PERIOD):
                last[line["gateway"]].add(line["obis"])
        return all(len(last[gateway.id.dns]) == len(cast.REGISTERS) for gateway in self.gateways)

    def report(self) -> str:
        """What has happened, in figures."""
        deaths = {one.name: one.deaths for one in (self.administrator, self.participant)}
        deaths["gateways"] = sum(one.deaths for one in self.gateways)
        weather = dict(self.stage.weather.happened)
        return f"{len(self.participant.lines())} readings, connections and mishaps {weather}, deaths {deaths}"

    # what has come of it

    def judge(self) -> None:
        """Compare what everybody knows."""
        assert self.stage.mishaps == []
        lines = defaultdict(list)
        for line in self.participant.lines():
            at, obis = datetime.fromisoformat(line["captured_at"]), Obis.parse(line["obis"])
            lines[line["gateway"]].append((at, obis, line["value"], int(line["status"], 16)))
        granted = self._granted()
        for gateway in self.gateways:
            self._judge_readings(gateway, lines[gateway.id.dns])
            self._judge_certificates(gateway, granted[gateway.id.dns])
            self._judge_log(gateway)
        self._judge_troubles()
        self.stage.office.pki.assert_chain_holds()

    def _judge_readings(self, gateway: cast.GatewayComputer, lines: list[_Line]) -> None:
        assert len(set(lines)) == len(lines) == len({line[:2] for line in lines}), "a reading came twice"
        with gateway.looking() as view:
            stored = {
                (one.reading.captured_at, one.reading.obis, one.reading.value, one.reading.status)
                for one in view.readings.page(limit=1_000_000)
            }
            assert not view.outbox.page(state="refused")
        assert set(lines) <= stored
        assert {line for line in stored if line[0] <= self.end} <= set(lines), "a reading was lost"
        found = {line[:2]: line[2:] for line in lines}
        for obis in cast.REGISTERS:
            first = min(line[0] for line in lines if line[1] == obis)
            marks = range(int(first.timestamp()), int(self.end.timestamp()) + 1, cast.PERIOD)
            assert {int(at.timestamp()) for at, which in found if which == obis} >= set(marks), "a mark is missing"
        meter = gateway.meter
        measured = {place: value for place, (value, status) in found.items() if not status & NO_VALUE}
        assert measured.items() <= meter.told.items(), "a value that the meter did not tell"
        heard = {place: value for place, value in meter.heard.items() if first <= place[0] <= self.end}
        assert heard.items() <= measured.items(), "a value that was heard is not there"

    def _judge_certificates(self, gateway: cast.GatewayComputer, granted: list[Granted]) -> None:
        assert [each.number for each in granted] == list(range(1, len(granted) + 1)), (
            "a number is missing or twice there"
        )
        assert len(granted) > 1, "nothing was renewed"
        with self.administrator.looking() as store, store.view() as view:
            registered = view.gateways.get(gateway.id)
            keys = frozenset().union(*(each.keys for each in granted))
            assert view.gateways.certified_keys(keys) == keys, "granted, and nobody knows"
            jobs = [job for job in view.jobs.of(gateway.id, limit=1000) if job.kind != "set"]
        assert [(job.kind, job.error) for job in jobs if job.state == "failed"] == []
        ends = {each.not_after for each in granted}
        for job in jobs:
            if job.state == "done" and job.kind == "renew":
                assert job.result and job.finished_at
                earlier = [end for end in ends if end < datetime.fromisoformat(job.result["not_after"])]
                assert job.finished_at < max(earlier), "a certificate was renewed too late"
        assert registered.current.not_after > self.stage.now()

    def _judge_troubles(self) -> None:
        """What went wrong is in the logs, and nothing is there that must not be."""
        with self.administrator.looking() as store, store.view() as view:
            events = Counter(one.event for one in view.journal.events(limit=1_000_000))
        internal = {event for event in (*events, *self.events) if event.startswith("task.") or "internal" in event}
        assert internal == set(), "an error of the program"
        assert events["gwa.start"] >= self.administrator.starts
        assert self.events["tls.transport.unreachable"] > 0
        assert sum(one.deaths for one in self.gateways) > 0 < self.administrator.deaths + self.participant.deaths

    def _granted(self) -> dict[str, list[Granted]]:
        """What the PKI has granted to each gateway in operation, in order."""
        found: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for row in self.stage.office.pki.tables()["certificate"]:
            if row["kind"] == "smgw-w":
                found[row["subject_cn"].removesuffix(".SMGW").lower()][row["request_digest"]].append(row)
        return {gateway: sorted(map(Granted.of, triples.values())) for gateway, triples in found.items()}

    def _judge_log(self, gateway: cast.GatewayComputer) -> None:
        with gateway.looking() as view:
            entries = view.logs.page("system", limit=1_000_000)
        assert [entry.record_number for entry in entries] == list(range(1, len(entries) + 1))
        events = Counter(entry.event for entry in entries)
        self.events += events
        assert events["gateway.start"] >= gateway.starts
        assert entries[-1].event == "gateway.stop"
