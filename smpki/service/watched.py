"""Files that are read again when they change."""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

from smpki.errors import SmpkiError
from smpki.events import LogEvent, why

T = TypeVar("T")
_State = tuple[tuple[Path, int, int, int], ...]

PAUSE = timedelta(seconds=1)
"""Between two looks; a folder may have thousands of files."""

log = logging.getLogger("smpki.service")


class Watched(Generic[T]):
    """What files say. Asked again, it is the same object until one of them changes, comes or goes.

    When they can't be read any more, what they said last counts, and the log has a line. Threads may share it.

    :param files: which files there are now
    :param load: reads them
    :param now: the clock
    :raises SmpkiError: what ``load`` raises the first time
    """

    def __init__(
        self, files: Callable[[], Iterable[Path]], load: Callable[[Sequence[Path]], T], now: Callable[[], datetime]
    ) -> None:
        self._files, self._load, self._now = files, load, now
        self._lock = threading.Lock()
        self._looked_at = now()
        self._state = self._look()
        self._value = self._read()

    def __call__(self) -> T:
        """What they say now, or said a moment ago."""
        with self._lock:
            now = self._now()
            if not self._looked_at <= now < self._looked_at + PAUSE:
                self._looked_at = now
                self._update()
            return self._value

    def _update(self) -> None:
        state = self._look()
        if state == self._state:
            return
        self._state = state
        try:
            self._value = self._read()
        except SmpkiError as error:
            log.error(LogEvent("files.old", "what was read before goes on to count", **why(error)))

    def _read(self) -> T:
        return self._load([path for path, *_ in self._state])

    def _look(self) -> _State:
        """The files, and what of them is different after a change."""
        found = []
        for path in self._files():
            try:
                status = path.stat()
            except OSError:  # reading it will tell
                found.append((path, 0, 0, 0))
            else:
                found.append((path, status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


def in_folder(folder: Path, *endings: str) -> Callable[[], list[Path]]:
    """The files of a folder that there are now, by name.

    :param endings: of their names
    """

    def files() -> list[Path]:
        try:
            with os.scandir(folder) as entries:
                return sorted(Path(entry.path) for entry in entries if entry.name.endswith(endings))
        except OSError:
            return [folder]  # reading it will tell

    return files
