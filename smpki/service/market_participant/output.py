"""Files of readings that only ever grow by whole deliveries."""

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smpki.errors import GatewayError, TokenError
from smpki.hsm.claim import FileClaim
from smpki.service.market_participant.store.deliveries import Position

log = logging.getLogger("smpki.emt")


def file_name(file: int) -> str:
    """What the file of a number is called."""
    return f"readings-{file:08}.jsonl"


@contextmanager
def exclusive_folder(folder: Path) -> Iterator[None]:
    """Hold a folder of readings, which is made where it is missing: one server at a time writes there.

    :raises GatewayError: ``emt.data.in_use``, ``emt.data.unusable``
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        claim = FileClaim(folder / "lock", str(folder))
    except OSError as error:
        raise _unusable(folder, str(error.strerror)) from None
    except TokenError as error:
        if error.code != "token.claimed":
            raise _unusable(folder, error.message) from None
        message, hint = "another server writes into this folder", "end it, or give this one a folder of its own"
        raise GatewayError("emt.data.in_use", message, where=str(folder), hint=hint) from None
    try:
        yield
    finally:
        claim.release()


class Output:
    """The files in a folder. What is behind the position that the database knows was never acknowledged.

    :param folder: there is nobody else who writes into it
    :param limit: octets; a file that has so many is followed by another
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit

    def path(self, file: int) -> Path:
        """The file of a number."""
        return self._folder / file_name(file)

    def recover(self, position: Position) -> None:
        """Make the files end at a position. What is behind it goes into a file beside, ``*.uncommitted``.

        That is what a process had written that ended before its deliveries were taken. The gateways send it again.

        :raises GatewayError: ``emt.output.torn``, ``emt.output.newer``; ``emt.output.full`` and ``emt.output.failed``
        """
        self._require_whole(position)
        newest = max((int(path.stem.rpartition("-")[2]) for path in self._folder.glob("readings-*.jsonl")), default=0)
        if newest > position.file + 1:
            message = f"there is {self.path(newest).name}, and the database knows of no more than {position.file} files"
            hint = "it is older than the readings: restore the database of the same time"
            raise GatewayError("emt.output.newer", message, where=str(self._folder), hint=hint)
        for file, octets in ((position.file, position.octets), (position.file + 1, 0)):
            path = self.path(file)
            if _size(path) > octets:
                with _explained(path):
                    _move_tail(path, octets)
                log.warning("%s: what was written there before its delivery was taken is in *.uncommitted", path.name)

    def append(self, position: Position, data: bytes) -> Position:
        """Write behind a position, and wait until it is on the disk. It counts once the database says so.

        :return: where it begins
        :raises GatewayError: ``emt.output.torn``, ``emt.output.full``, ``emt.output.failed``
        """
        self._require_whole(position)
        begin = position if position.octets < self._limit else Position(position.file + 1)
        path = self.path(begin.file)
        with _explained(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                _write(descriptor, begin.octets, data)
            finally:
                os.close(descriptor)
            if begin.octets == 0:
                _sync_folder(self._folder)
        return begin

    def _require_whole(self, position: Position) -> None:
        path = self.path(position.file)
        size = _size(path)
        if size < position.octets:
            message = f"{position.octets} octets were written, {size} are there"
            hint = "restore the file; gateways don't send again what was acknowledged"
            raise GatewayError("emt.output.torn", message, where=str(path), hint=hint)


def _write(descriptor: int, offset: int, data: bytes) -> None:
    """Let a file have these octets from there on, and no more."""
    os.ftruncate(descriptor, offset)
    try:
        left, at = memoryview(data), offset
        while left:
            written = os.pwrite(descriptor, left, at)
            left, at = left[written:], at + written
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, offset)
        raise


def _move_tail(path: Path, octets: int) -> None:
    with path.open("r+b") as file, path.with_suffix(".uncommitted").open("ab") as beside:
        file.seek(octets)
        shutil.copyfileobj(file, beside)
        beside.flush()
        os.fsync(beside.fileno())
        file.truncate(octets)
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _failed(path, error) from None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _failed(path, error) from None


def _failed(path: Path, error: OSError) -> GatewayError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        rule, hint = "full", "free some space; gateways send again what was not acknowledged"
    else:
        rule, hint = "failed", "check the disk, and the right to write there"
    return GatewayError(f"emt.output.{rule}", f"can't be written: {error.strerror}", where=str(path), hint=hint)


def _unusable(folder: Path, why: str) -> GatewayError:
    hint = "check its path, and the right to write there"
    return GatewayError("emt.data.unusable", f"the folder can't be used: {why}", where=str(folder), hint=hint)
