"""Files that hold a secret which must not be lost: a PIN, a key."""

import os
from pathlib import Path
from tempfile import mkstemp


def write_secret(file: Path, content: bytes) -> None:
    """Write a new file that only its owner can read, durably, whole or not at all, however the process ends.

    :raises FileExistsError: a secret is never overwritten
    :raises OSError: the folder or the disk refuses
    """
    descriptor, draft = mkstemp(prefix=f".{file.name}.", dir=file.parent)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        file.hardlink_to(draft)  # unlike a rename, this does not replace what is there
    finally:
        Path(draft).unlink()
