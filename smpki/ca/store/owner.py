"""Which process an intent belongs to, and whether that process still lives."""

import fcntl
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from smpki.errors import StoreError

_OCTETS = 8
_NAME = re.compile("(?P<place>[0-9a-f]{16})-[0-9a-f]{16}")


class OwnerLock:
    """The sign of life of one process: a lock file that the system lets go of when the process ends, however it ends.

    Its name is ``<place>-<random>``, where the place stands for the folder: what another folder's processes own cannot
    be judged from here. Make one with ``take``.
    """

    def __init__(self, folder: Path, name: str, descriptor: int) -> None:
        self._folder = folder
        self._descriptor = descriptor
        self.name = name

    @classmethod
    def take(cls, folder: Path, random: Callable[[int], bytes]) -> "OwnerLock":
        """Become an owner.

        :param folder: for lock files, such as ``HOME/run``; made with mode 0700 where it is missing
        :param random: gives that many random octets
        :raises StoreError: ``store.owner``: the folder refuses to write
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            name = f"{_place(folder, random)}-{random(_OCTETS).hex()}"
            descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"no lock file can be made: {os.strerror(error.errno or 0)}"
            hint = "check the folder's owner and mode, and the disk"
            raise StoreError("store.owner", message, where=str(folder), hint=hint) from None
        return cls(folder, name, descriptor)

    def is_here(self, owner: str) -> bool:
        """Whether an owner uses this folder, so that ``is_alive`` can tell."""
        known = _NAME.fullmatch(owner)  # names come from the database and turn into paths
        return known is not None and known["place"] == self.name.partition("-")[0]

    def is_alive(self, owner: str) -> bool:
        """Whether the process of an owner of this folder still runs."""
        try:
            descriptor = os.open(self._folder / f"{owner}.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        except PermissionError:
            return True  # another user's; better to leave it alone
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def forget(self, owner: str) -> None:
        """Remove the lock file of a dead owner."""
        (self._folder / f"{owner}.lock").unlink(missing_ok=True)

    def release(self) -> None:
        """Stop being an owner; open intents of this owner count as left behind from now on."""
        self.forget(self.name)
        os.close(self._descriptor)


def _place(folder: Path, random: Callable[[int], bytes]) -> str:
    """The folder's own name, made up once and kept in it; a link puts it in place whole, or finds another's."""
    file = folder / "place"
    if not file.exists():
        draft = folder / f"place.{random(_OCTETS).hex()}"
        draft.write_text(random(_OCTETS).hex())
        with suppress(FileExistsError):
            file.hardlink_to(draft)
        draft.unlink()
    return file.read_text()
