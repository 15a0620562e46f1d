"""A small file that survives power loss: what was written last is there, whole."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

from smpki.errors import GatewayError
from smpki.hsm.secret_file import replace_secret

_RESTORE = "restore the file as it was last; an older copy accepts again what came since"


class DurableFile:
    """A JSON object in a file, replaced as a whole; counters and last seen times are kept in it.

    One process has the file at a time: what somebody else wrote since it was read is noticed and never replaced. The
    file belongs to its owner alone (mode 0600).

    :param path: the file; its folder exists
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: bytes | None = None  # what it held when it was last read or written

    def read(self) -> Mapping[str, object] | None:
        """What was written last; ``None`` when nothing was.

        :raises GatewayError: ``durable.unreadable``: the file is there and is not ours. It is never taken for empty,
            since a counter that starts anew accepts what it accepted before.
        """
        try:
            content = self._content()
            value = {} if content is None else json.loads(content)
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else "this is not JSON"
            raise self._refused("unreadable", f"can't be read: {reason}", _RESTORE) from None
        if not isinstance(value, dict):
            raise self._refused("unreadable", "this is no JSON object", _RESTORE)
        self._known = content
        return None if content is None else value

    def write(self, value: Mapping[str, object]) -> None:
        """Replace the content; when this returns, power may fail.

        :raises GatewayError: ``durable.unwritable``; then the former content is still there. ``durable.changed``:
            somebody else has written the file, removed it, or put a copy in its place; it stays as it is
        """
        content = json.dumps(value).encode("ascii")
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # nobody writes between the look and the write
            if self._content() != self._known:
                hint = "let one process alone use the file; an older copy in its place is as good as none"
                raise self._refused("changed", "somebody else has changed the file", hint)
            replace_secret(self.path, content)
            self._known = content
            os.fsync(folder)
        except OSError as error:
            raise self._unwritable(error) from None
        finally:
            os.close(folder)  # which gives up the lock too

    def _content(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def _unwritable(self, error: OSError) -> GatewayError:
        return self._refused("unwritable", f"can't be written: {error.strerror}", "see to the folder and the disk")

    def _refused(self, rule: str, message: str, hint: str) -> GatewayError:
        return GatewayError(f"durable.{rule}", message, where=str(self.path), hint=hint)
