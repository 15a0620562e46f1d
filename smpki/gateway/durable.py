"""A small file that survives power loss: what was written last is there, whole."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkstemp

from smpki.errors import GatewayError


class DurableFile:
    """A JSON object in a file, replaced as a whole; counters and last seen times are kept in it.

    One process has the file at a time. The file belongs to its owner alone (mode 0600).

    :param path: the file; its folder exists
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Mapping[str, object] | None:
        """What was written last; ``None`` when nothing was.

        :raises GatewayError: ``durable.unreadable``: the file is there and is not ours. It is never taken for empty,
            since a counter that starts anew accepts what it accepted before.
        """
        try:
            value = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "this is not JSON"
            raise self._refused("unreadable", f"can't be read: {reason}", "restore the file") from None
        if not isinstance(value, dict):
            raise self._refused("unreadable", "this is no JSON object", "restore the file")
        return value

    def write(self, value: Mapping[str, object]) -> None:
        """Replace the content; when this returns, power may fail.

        :raises GatewayError: ``durable.unwritable``; then the former content is still there
        """
        draft = None
        try:
            descriptor, draft = mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)  # made with mode 0600
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(value, stream)
                stream.flush()
                os.fsync(descriptor)
            Path(draft).replace(self.path)
            draft = None
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            hint = "see to the folder and the disk"
            raise self._refused("unwritable", f"can't be written: {error.strerror}", hint) from None
        finally:
            if draft is not None:
                Path(draft).unlink(missing_ok=True)

    def _refused(self, rule: str, message: str, hint: str) -> GatewayError:
        return GatewayError(f"durable.{rule}", message, where=str(self.path), hint=hint)
