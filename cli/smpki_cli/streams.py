"""Files of any size that commands read and write, ``-`` for standard input and output."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile, mkstemp
from typing import BinaryIO

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

    :raises SmpkiError: ``output.unwritable``
    """
    place = path.resolve()
    regular = path != STANDARD and (place.is_file() or not place.exists())
    try:
        # made with mode 0600, and on the same disk, so that it can be renamed
        descriptor, draft = mkstemp(prefix=".smpki-", dir=place.parent if regular else None)
        try:
            with os.fdopen(descriptor, "w+b") as stream:
                yield stream
                if not regular:
                    _copy(stream, path)
            if regular:
                Path(draft).replace(place)
        finally:
            Path(draft).unlink(missing_ok=True)
    except OSError as error:
        message = f"can't be written: {error.strerror or error}"
        hint = "check the path, and the space that is left"
        raise SmpkiError("output.unwritable", message, where=str(path), hint=hint) from None


def scratch_file(beside: Path) -> BinaryIO:
    """A file that has no name, on the same disk as another; it is gone when it is closed."""
    return TemporaryFile(dir=None if beside == STANDARD else beside.resolve().parent)


def _copy(draft: BinaryIO, path: Path) -> None:
    draft.seek(0)
    if path == STANDARD:
        shutil.copyfileobj(draft, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        with path.open("wb") as target:
            shutil.copyfileobj(draft, target)
