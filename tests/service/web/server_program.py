"""A server in a process of its own: its port on standard output, then it serves until it is told to end."""

import asyncio
import importlib.util
import json
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from smpki.ca.home import Home
from smpki.service.web.runner import Pace
from smpki.service.web.server import Settings, web_service


def _program() -> Any:
    file = Path(__file__).parents[2] / "ca" / "issuing_program.py"
    spec = importlib.util.spec_from_file_location("issuing_program", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def _serve(folder: str, database: str, now: str) -> None:
    program, home, at = _program(), Home(Path(folder)), datetime.fromisoformat(now)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    settings = Settings("Beispiel.CA", "127.0.0.1", 0, pace=Pace(look=0.1))
    with program.compose(home, program.FileKeys(home.folder / "keys"), lambda: at, database=database) as pki:
        async with web_service(pki, settings) as server:
            print(server.port, flush=True)
            await told.wait()


if __name__ == "__main__":
    asyncio.run(_serve(*json.loads(sys.argv[1])))
