"""A server that has lost its token, though a new process could use it, starts anew in its place.

PKCS#11 modules differ in what they survive. With SoftHSM a process never sees its keys again once the folder was away,
and neither does OpenSSL's provider with any module; nobody can tell them to begin again but a new process.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from smpki.errors import SmpkiError, TokenError
from smpki.events import LogEvent

LOOK_SECONDS = 5.0
TRIAL_SECONDS = 60.0
"""How long a new process may take to say that it could serve."""

log = logging.getLogger("smpki.service")


async def token_lost(check: Callable[[], object], look: float = LOOK_SECONDS) -> None:
    """Wait until this process can't use its token, but a new one can.

    :param check: raises :class:`TokenError` while the token can't be used
    :param look: seconds from one look to the next
    """
    while True:
        await asyncio.sleep(look)
        if await _fails(check) and await _new_process_could() and await _fails(check):
            log.warning(LogEvent("token.lost", "the token is lost for this process: a new one takes its place"))
            return


def start_anew() -> NoReturn:
    """Be a new process with the same arguments and environment, under the same process id."""
    sys.stdout.flush()
    os.execv(sys.executable, _command())  # noqa: S606 - what this very process was started with


async def _fails(check: Callable[[], object]) -> bool:
    try:
        await asyncio.to_thread(check)
    except TokenError:
        return True
    except SmpkiError:  # such as a database that is away; a new process would not help
        return False
    return False


async def _new_process_could() -> bool:
    """Whether the command with ``--check`` succeeds in time; nobody is asked for a PIN."""
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *_command(), "--check", stdin=nowhere, stdout=nowhere, stderr=nowhere
    )
    try:
        return await asyncio.wait_for(process.wait(), TRIAL_SECONDS) == 0
    except TimeoutError:  # its token hangs
        return False
    finally:
        if process.returncode is None:
            process.kill()


def _command() -> list[str]:
    return [sys.executable, *sys.orig_argv[1:]]
