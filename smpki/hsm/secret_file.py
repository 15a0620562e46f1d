"""Files that hold a secret which must not be lost: a PIN, a password, a key."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp


class ExposedError(Exception):
    """Others than its owner can use the file of a secret.

    :param mode: the file's permissions
    """

    def __init__(self, mode: int) -> None:
        super().__init__(f"{mode:04o}")
        self.mode = mode


def read_secret(file: Path, *, exposed: Callable[[int], None] | None = None) -> bytes:
    """Read a file that only its owner can use, or a credential that systemd hands over (``LoadCredential=``).

    :param exposed: told the mode where others can; they are refused otherwise
    :raises ExposedError: others can
    :raises OSError: it can't be read
    """
    with file.open("rb") as stream:
        # the mode of what was opened, so that no other file can take its place in between
        status = os.fstat(stream.fileno())
        mode = status.st_mode & 0o777
        if mode & 0o077 and not _is_credential(status):
            if exposed is None:
                raise ExposedError(mode)
            exposed(mode)
        return stream.read()


def _is_credential(status: os.stat_result) -> bool:
    """Whether a file looks as systemd's credentials do since version 254: root's, mode 0440, where the bit of the group
    stands for the access list that lets the service's user in (acl(5)); group root itself is no news to root."""
    return (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, 0, 0o440)


def write_secret(file: Path, content: bytes) -> None:
    """Write a new file that only its owner can read, durably, whole or not at all, however the process ends.

    :raises FileExistsError: a secret is never overwritten
    :raises OSError: the folder or the disk refuses
    """
    with _draft(file, content) as draft:
        file.hardlink_to(draft)  # unlike a rename, this does not replace what is there


def replace_secret(file: Path, content: bytes) -> None:
    """Replace a file, or write a new one, that only its owner can read: by this content as a whole, or not at all.

    It is durable once its folder is synced (fsync).

    :raises OSError: the folder or the disk refuses; the former content is still there
    """
    with _draft(file, content) as draft:
        draft.replace(file)


@contextmanager
def _draft(file: Path, content: bytes) -> Iterator[Path]:
    """A file beside another one, with what that one is to hold, for as long as the block."""
    descriptor, name = mkstemp(prefix=f".{file.name}.", dir=file.parent)  # made with mode 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        yield draft
    finally:
        draft.unlink(missing_ok=True)
