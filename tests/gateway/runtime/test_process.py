"""``smpki gateway run``: a process with its keys in a token, or in a file; killed at any time it goes on afterwards."""

import asyncio
import itertools
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from smpki.errors import GatewayError
from smpki.gateway import api
from smpki.gateway.configuration import Configuration, dump_configuration
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Group
from smpki.hsm.pin import write_pin
from smpki.hsm.token_vault import TokenVault

COMMAND = (sys.executable, "-c", "from smpki_cli.main import main; main()", "gateway", "run")
PATIENCE = 120.0
Tell = Callable[..., None]


@asynccontextmanager
async def process(world: Any, **changes: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """The gateway as a process of its own, until SIGTERM."""
    file = world.folder / "gateway.yaml"
    values = world.configuration().model_dump(mode="json", exclude_defaults=True)
    file.write_text(dump_configuration(Configuration.model_validate({**values, **changes})))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SOFTHSM")}
    log = (world.folder / "log").open("ab")
    started = await asyncio.create_subprocess_exec(
        *COMMAND, str(file), "--json", stdout=asyncio.subprocess.PIPE, stderr=log, env=environment
    )
    try:
        assert started.stdout
        line = await asyncio.wait_for(started.stdout.readline(), PATIENCE)
        assert line, (world.folder / "log").read_text()
        ready = json.loads(line)
        assert ready.get("gateway") == "eabc0000000001", line
        yield started
    finally:
        if started.returncode is None:
            started.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(started.wait(), PATIENCE) in (0, -signal.SIGKILL)
        log.close()


def test_a_gateway_whose_keys_are_in_a_token(
    tell: Tell,
    real_time: Any,
    token_home: Any,
    tmp_path: Path,
    fill_next: Callable[..., None],
    certificate_for: Any,
) -> None:
    with token_home.open() as token, SecurityModule(TokenVault(token)) as module:
        fill_next(module, name="EABC0000000001.SMGW")
        module.activate(Group.WAN)
        first = module.certificate(Group.WAN.slots[0])
    write_pin(tmp_path / "pin", token_home.pin)

    async def story(world: Any) -> None:
        token = {"folder": str(token_home.softhsm.folder), "label": token_home.label, "pin_file": str(tmp_path / "pin")}
        async with process(world, token=token, software_keys=None):
            talk = await world.administrator.call()
            assert world.administrator.seen[-1] == first
            await world.renew(talk, certificate_for)
            assert await talk.post(api.ACTIVATE_WAN_KEYS) == 204
            await talk.closed()
            talk = await world.administrator.call()
            assert await talk.post(api.RETIRE_WAN_KEYS) == 204
            second = world.administrator.seen[-1]
            assert second != first
            talk.end()
        async with process(world, token=token, software_keys=None):
            talk = await world.administrator.call()
            assert world.administrator.seen[-1] == second
            assert (await talk.status()).wan_keys == "settled"
            talk.end()

    tell(story, time=real_time)


async def feed(world: Any) -> None:
    """The meter sends a telegram four times a second; its register counts them."""
    for value in itertools.count(1):
        world.measure(value)
        await asyncio.sleep(0.25)


async def wait_for(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kills", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_a_gateway_that_is_killed_delivers_each_reading_once(tell: Tell, real_time: Any, kills: int) -> None:
    async def story(world: Any) -> None:
        chance = random.Random(4711)
        meter = asyncio.create_task(feed(world))
        async with process(world):
            talk = await world.administrator.call()
            await world.set_up(talk, schedule_seconds=1)
            path = f"{api.METER_PROFILES}1abc0012345678"
            profile = (await talk.ask("GET", path)).json(api.MeterProfile)
            each_second = profile.model_copy(update={"registration_period_seconds": 1})
            assert await talk.put(path, each_second) == 204
            talk.end()
            await wait_for(lambda: world.participant.taken)
        for _ in range(kills):
            async with process(world) as started:
                before = len(world.participant.messages)
                await wait_for(lambda before=before: len(world.participant.messages) > before)
                await asyncio.sleep(chance.random())
                started.kill()
                await started.wait()
        async with process(world):
            before = len(world.participant.messages)
            await wait_for(lambda: len(world.participant.messages) > before + 1)
        meter.cancel()
        store = world.store()
        with store.view() as view:
            stored = [one.reading for one in view.readings.page(limit=100_000)]
            undelivered = view.outbox.page(state="open")
        store.close()
        store_moments = [one.captured_at for one in stored]
        assert len(store_moments) == len({*store_moments})
        taken = [moment for moment, _ in world.participant.taken]
        assert len(taken) == len({*taken})  # no reading in two deliveries
        assert {*taken} <= {*store_moments}
        if not undelivered:
            assert len(store_moments) - len(taken) < 5  # made since the last delivery
        by_id: dict[str, set[bytes]] = {}
        for message in world.participant.messages:
            by_id.setdefault(world.participant.read(message).delivery_id, set()).add(message)
        assert {len(octets) for octets in by_id.values()} == {1}  # the same octets each time

    tell(story, time=real_time)


@pytest.mark.slow
def test_keys_that_become_current_while_it_is_killed(tell: Tell, real_time: Any, certificate_for: Any) -> None:
    async def story(world: Any) -> None:
        chance = random.Random(815)
        for _ in range(3):
            async with process(world) as started:
                talk = await world.administrator.call()
                status = await talk.status()
                if status.wan_keys == "settled":
                    prepared = api.PrepareWanKeys(kind="renewal", anew=True)
                    await talk.ask("POST", api.PREPARE_WAN_KEYS, prepared)
                    await world.renew(talk, certificate_for)
                with suppress(GatewayError):
                    await talk.post(api.ACTIVATE_WAN_KEYS)
                await asyncio.sleep(chance.random() / 10)
                started.kill()
                await started.wait()
                talk.end()
            while not world.administrator.calls.empty():
                (await world.administrator.call()).end()
        async with process(world):
            talk = await world.administrator.call()
            status = await talk.status()
            assert status.wan_keys in ("settled", "confirmed")
            assert status.slots["wan-tls"].fingerprint == world.administrator.seen[-1].fingerprint(SHA256()).hex()
            talk.end()

    tell(story, time=real_time)
