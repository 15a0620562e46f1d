"""Files of any size that commands read and write, ``-`` for standard input and output."""

import os
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile, mkstemp
from typing import BinaryIO, NoReturn

from smpki.errors import SmpkiError

STANDARD = Path("-")
"""Standard input or output."""


@contextmanager
def source_file(path: Path) -> Iterator[BinaryIO]:
    """A file to read, seekable; what can't be sought in is copied first.

    :raises SmpkiError: ``file.unreadable``
    """
    with ExitStack() as stack:
        try:
            source: BinaryIO = sys.stdin.buffer if path == STANDARD else stack.enter_context(path.open("rb"))
            if path == STANDARD or not source.seekable():
                copy = stack.enter_context(TemporaryFile())
                shutil.copyfileobj(source, copy)
                source = copy
        except OSError as error:
            message = f"can't be read: {error.strerror}"
            raise SmpkiError("file.unreadable", message, where=str(path), hint="check the path") from None
        yield source


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that only its owner can read; it is at its place when the block ends well, and never half.

    Only when the process is killed outright is a draft left beside it (``.smpki-*``), for its owner alone to read.

    :raises SmpkiError: ``output.unwritable``
    """
    try:
        folder = _folder(path)
        with _ended_by_exceptions():
            descriptor, draft = mkstemp(prefix=".smpki-", dir=folder)  # made with mode 0600
            try:
                with os.fdopen(descriptor, "w+b") as stream:
                    yield stream
                    if folder is None:
                        _copy(stream, path)
                if folder is not None:
                    Path(draft).replace(path.resolve())
            finally:
                Path(draft).unlink(missing_ok=True)
    except OSError as error:
        message = f"can't be written: {error.strerror or error}"
        hint = "check the path, and the space that is left"
        raise SmpkiError("output.unwritable", message, where=str(path), hint=hint) from None


def scratch_file(beside: Path) -> BinaryIO:
    """A file that has no name, on the same disk as another; it is gone when it is closed."""
    return TemporaryFile(dir=_folder(beside))


def _folder(path: Path) -> Path | None:
    """Where a file's draft is made, so that it can be renamed; ``None``: the path is a device or a pipe, or standard.

    :raises OSError: there can't be a file
    """
    if path == STANDARD:
        return None
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        regular = True
    return path.resolve().parent if regular else None


@contextmanager
def _ended_by_exceptions() -> Iterator[None]:
    """Signals that would end the process at once are exceptions within the block, so that it can tidy up."""

    def end(number: int, frame: object) -> NoReturn:
        sys.exit(128 + number)

    # not under nohup, which ignores one
    replaced = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def _copy(draft: BinaryIO, path: Path) -> None:
    draft.seek(0)
    if path == STANDARD:
        shutil.copyfileobj(draft, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        with path.open("wb") as target:
            shutil.copyfileobj(draft, target)
