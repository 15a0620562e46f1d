"""What of a gateway can be reached from the WAN: in network namespaces, one for the gateway and one for the WAN."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smpki.gateway.configuration import Configuration, dump_configuration

GATEWAY, WAN = "192.0.2.2", "192.0.2.1"
WAKE_UP, MANAGEMENT = 22357, 8440
PATIENCE = 120.0

LISTENER = """
import socket
with socket.create_server(("192.0.2.1", 8440)) as server:
    print("listening", flush=True)
    print(server.accept()[1][0], flush=True)
"""
CONNECTS = """
import socket, sys
def opens(port):
    try:
        socket.create_connection(("192.0.2.2", port), 2).close()
    except ConnectionRefusedError:
        return False
    return True
print([port for port in range(1, 65536, int(sys.argv[1])) if opens(port)])
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two hosts with a wire between them: the names of the gateway's and of the WAN's namespace."""
    if not (shutil.which("ip") and shutil.which("ss")):
        pytest.skip("ip and ss (iproute2) are not here")
    gateway, wan = (f"smpki-{os.getpid()}-{name}" for name in ("gw", "wan"))
    try:
        ip("netns", "add", gateway)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces may be made here: {error.stderr.decode().strip()}")
    try:
        ip("netns", "add", wan)
        ip("link", "add", "wan", "netns", gateway, "type", "veth", "peer", "name", "gw", "netns", wan)
        for host, device, address in ((gateway, "wan", GATEWAY), (wan, "gw", WAN)):
            ip("-n", host, "address", "add", f"{address}/30", "dev", device)
            ip("-n", host, "link", "set", device, "up")
            ip("-n", host, "link", "set", "lo", "up")
        yield gateway, wan
    finally:
        for host in (gateway, wan):
            subprocess.run(["ip", "netns", "del", host], capture_output=True)


def inside(host: str, *words: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", host, *words)


async def answer(host: str, *words: str) -> str:
    done = await asyncio.create_subprocess_exec(*inside(host, *words), stdout=asyncio.subprocess.PIPE)
    said, _ = await done.communicate()
    assert done.returncode == 0
    return said.decode()


def test_a_gateway_calls_and_can_only_be_woken(
    hosts: tuple[str, str], tell: Callable[..., None], real_time: Any
) -> None:
    gateway, wan = hosts

    async def story(world: Any) -> None:
        values = world.configuration().model_dump(mode="json", exclude_defaults=True)
        values["wake_up"] = {"listen": f"0.0.0.0:{WAKE_UP}"}
        values["administrator"]["management"] = f"{WAN}:{MANAGEMENT}"
        file = Path(world.folder) / "gateway.yaml"
        file.write_text(dump_configuration(Configuration.model_validate(values)))

        pipe = asyncio.subprocess.PIPE
        administrator = await asyncio.create_subprocess_exec(*inside(wan, sys.executable, "-c", LISTENER), stdout=pipe)
        assert administrator.stdout
        assert await asyncio.wait_for(administrator.stdout.readline(), PATIENCE) == b"listening\n"
        program = (sys.executable, "-c", "from smpki_cli.main import main; main()")
        command = inside(gateway, *program, "gateway", "run", str(file), "--json")
        running = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.DEVNULL)
        try:
            assert running.stdout
            assert json.loads(await asyncio.wait_for(running.stdout.readline(), PATIENCE))["ready"]
            # the gateway calls its administrator
            assert (await asyncio.wait_for(administrator.stdout.readline(), PATIENCE)).decode().strip() == GATEWAY
            # one port is open, for wake-ups
            listening = [line.split() for line in (await answer(gateway, "ss", "-H", "-lntu")).splitlines()]
            assert [(protocol, local) for protocol, _, _, _, local, _ in listening] == [("udp", f"0.0.0.0:{WAKE_UP}")]
            # and no TCP port lets the WAN in; every 97th is tried
            assert await answer(wan, sys.executable, "-c", CONNECTS, "97") == "[]\n"
        finally:
            for process in (running, administrator):
                if process.returncode is None:
                    process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), PATIENCE)

    tell(story, time=real_time)
