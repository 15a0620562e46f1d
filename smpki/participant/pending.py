"""Requests that are answered later, in a folder: what was sent under which messageID, and what came of it."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from smpki.errors import ServiceError
from smpki.participant.packages import write_whole
from smpki.participant.web_service import message_id_of
from smpki.soap.messages import ReturnCode

_MESSAGE_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class PendingRequest:
    """A request package that was sent, or is about to be.

    :param package: as it is sent
    :param folder: where its triple goes
    :param url: of the service that was asked
    :param status: what SendCertificates brought; ``None``: nothing yet
    :param message: what was said beside it
    :param digest: SHA-256 of what SendCertificates brought, hexadecimal
    """

    package: bytes
    folder: Path
    url: str
    status: ReturnCode | None = None
    message: str = ""
    digest: str = ""

    @property
    def message_id(self) -> str:
        """See :func:`smpki.participant.web_service.message_id_of`."""
        return message_id_of(self.package)

    def as_dict(self) -> dict[str, object]:
        """The request as the mapping that ``--json`` prints."""
        value = {"message_id": self.message_id, "folder": str(self.folder), "url": self.url}
        return {**value, "status": self.status, "message": self.message}


class PendingFolder:
    """The requests of a participant, a file each; those that send and those that receive may be several processes.

    :param folder: made when the first request comes
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, package: bytes, folder: Path, url: str) -> PendingRequest:
        """Keep a request that is about to be sent; one that is here stays as it is.

        :param folder: where its triple goes
        :raises SmpkiError: ``output.unwritable``, ``pending.unreadable``
        """
        known = self.find(message_id_of(package))
        if known is not None:
            return known
        request = PendingRequest(package, folder.absolute(), url)
        self._write(request)
        return request

    def find(self, message_id: str) -> PendingRequest | None:
        """What was sent by a messageID; ``None``: nothing.

        :param message_id: as somebody else says it
        :raises ServiceError: ``pending.unreadable``
        """
        if not _MESSAGE_ID.fullmatch(message_id):
            return None
        file = self._file(message_id)
        try:
            value = json.loads(file.read_bytes())
            return _request(value)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            message, hint = "this is no request that was sent", "restore the file, or send the package again"
            raise ServiceError("pending.unreadable", message, where=str(file), hint=hint) from None

    def finish(
        self, request: PendingRequest, status: ReturnCode, message: str, certificates: tuple[bytes, ...]
    ) -> None:
        """Note what came of a request.

        :raises SmpkiError: ``output.unwritable``
        """
        digest = result_digest(status, certificates)
        self._write(replace(request, status=status, message=message, digest=digest))

    def all(self) -> tuple[PendingRequest, ...]:
        """All requests, by messageID.

        :raises SmpkiError: ``pending.unreadable``
        """
        files = sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []
        return tuple(one for file in files if (one := self.find(file.stem)) is not None)

    def _write(self, request: PendingRequest) -> None:
        package = base64.b64encode(request.package).decode()
        value = {**asdict(request), "package": package, "folder": str(request.folder)}
        write_whole(self._file(request.message_id), json.dumps(value, indent=2).encode())

    def _file(self, message_id: str) -> Path:
        return self._folder / f"{message_id}.json"


def result_digest(status: ReturnCode, certificates: tuple[bytes, ...]) -> str:
    """What tells one result from another: SHA-256, hexadecimal; what is said to people does not count."""
    return hashlib.sha256(b"".join((status.encode(), *sorted(certificates)))).hexdigest()


def _request(value: Mapping[str, str | None]) -> PendingRequest:
    package, folder, status = value["package"], value["folder"], value["status"]
    if package is None or folder is None:
        raise ValueError("nothing was sent")
    return PendingRequest(
        base64.b64decode(package, validate=True),
        Path(folder),
        value["url"] or "",
        None if status is None else ReturnCode(status),
        value["message"] or "",
        value["digest"] or "",
    )
