"""Have on disk what a token has written."""

import ctypes
import os
from pathlib import Path

from smpki.errors import TokenError


def settle(file: Path) -> None:
    """Write out what the file system of this file still keeps in memory.

    SoftHSM leaves that to the system, so that a loss of power can undo minutes, and in any order.

    :raises TokenError: ``token.unsettled``
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Linux; Python has no call for it, and os.sync() waits for every other file system too
        done = ctypes.CDLL(None, use_errno=True).syncfs(descriptor) == 0
    finally:
        os.close(descriptor)
    if not done:
        raise TokenError(
            "token.unsettled",
            f"what the token has written may not be on disk: {os.strerror(ctypes.get_errno())}",
            where=str(file),
            hint="check the disk, then look what the token holds",
        )
