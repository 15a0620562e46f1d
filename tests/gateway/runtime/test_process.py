"""``smpki gateway run``: a process with its keys in a token, or in a file; killed at any time it goes on afterwards."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from smpki.gateway import api
from smpki.gateway.configuration import Configuration, dump_configuration
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Group
from smpki.hsm.pin import write_pin
from smpki.hsm.token_vault import TokenVault

COMMAND = (sys.executable, "-c", "from smpki_cli.main import main; main()", "gateway", "run")
PATIENCE = 30.0
Tell = Callable[..., None]


class RealTime:
    """Seconds that pass by themselves."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def now(self) -> float:
        return time.monotonic() - self._begun

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


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
    tell: Tell, token_home: Any, tmp_path: Path, fill_next: Callable[..., None], certificate_for: Any
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

    tell(story, time=RealTime())
