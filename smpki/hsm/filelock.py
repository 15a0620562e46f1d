"""One process at a time at the token's files, and only while the disk takes data."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from smpki.errors import TokenError

_PROBE = bytes(65536)
_POLL_SECONDS = 0.01


@contextmanager
def exclusive(lock: Path, *, timeout: float = 30.0) -> Iterator[None]:
    """Hold ``lock`` (flock) and have seen that its file system takes data.

    Every login rewrites a file of a SoftHSM token. Another process that initialises or logs in at that moment fails,
    and on a full disk the rewritten file ends up empty and the token with all its keys is lost; a key made on a full
    disk is reported as made and gone with the process. So the file system is tried out first: keep the lock beside
    the token's files.

    :param lock: created with mode 0600 where it is missing; its content means nothing
    :param timeout: seconds to wait for other processes
    :raises TokenError: ``token.lock.timeout``, ``token.lock.unusable``, ``token.full``
    """
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TokenError(
            "token.lock.unusable",
            f"the lock file beside the token cannot be written: {error.strerror}",
            where=str(lock),
            hint="check that the folder exists and that this user may write to it",
        ) from None
    try:
        _wait(descriptor, lock, timeout)
        _probe(descriptor, lock)
        yield
    finally:
        os.close(descriptor)  # which also gives up the lock


def _wait(descriptor: int, lock: Path, timeout: float) -> None:
    end = time.monotonic() + timeout
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise TokenError(
                    "token.lock.timeout",
                    f"another process has held the token's lock for {timeout:g} seconds",
                    where=str(lock),
                    hint="look for a process that hangs while it opens the token, or makes many keys",
                ) from None
        time.sleep(_POLL_SECONDS)


def _probe(descriptor: int, lock: Path) -> None:
    reason = "it took only a part of the data"
    try:
        taken = os.pwrite(descriptor, _PROBE, 0)
    except OSError as error:
        taken, reason = 0, str(error.strerror)
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
    if taken < len(_PROBE):
        raise TokenError(
            "token.full",
            f"the file system of the token takes no more data: {reason}",
            where=str(lock),
            hint="free some space, then try again; the token was not touched",
        )
