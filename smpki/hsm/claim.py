"""One user at a time, for as long as it wants."""

import fcntl
import os
from pathlib import Path
from weakref import WeakSet

from smpki.errors import TokenError

_held: "WeakSet[FileClaim]" = WeakSet()


class FileClaim:
    """A file's lock (flock), held until it is released or the process ends; a forked child does not hold it.

    :param file: created with mode 0600 where it is missing; its content means nothing
    :param name: what is claimed, for the error
    :raises TokenError: ``token.claimed``, ``token.lock.unusable``
    """

    def __init__(self, file: Path, name: str) -> None:
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException:
                os.close(self._descriptor)
                raise
        except BlockingIOError:
            raise claimed(name) from None
        except OSError as error:
            raise TokenError(
                "token.lock.unusable",
                f"the lock file cannot be used: {error.strerror}",
                where=str(file),
                hint="check that the folder exists and that this user may write to it",
            ) from None
        _held.add(self)

    def release(self) -> None:
        """Give the lock back; a second time does nothing."""
        if self in _held:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # for the copies of a fork that has just begun, too
            self.abandon()

    def abandon(self) -> None:
        """Close a copy, lest the lock outlive the process that holds it."""
        _held.discard(self)
        os.close(self._descriptor)


def claimed(name: str) -> TokenError:
    """Somebody else has it."""
    return TokenError(
        "token.claimed",
        "it is in use already, by this process or another",
        where=name,
        hint="one process at a time works with it; end the other one, or use it there",
    )


def _after_fork() -> None:
    for claim in tuple(_held):
        claim.abandon()


os.register_at_fork(after_in_child=_after_fork)
