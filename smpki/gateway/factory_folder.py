"""A factory's folder: a folder for each gateway. What is in it says what is done; nothing else is kept about a run."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from smpki.errors import GatewayError
from smpki.gateway.json_text import write_json
from smpki.hsm.settle import settle
from smpki.policy.device_id import DeviceId

_OWNER = "factory.json"
_LOCK = ".lock"


@dataclass(frozen=True)
class GatewayFolder:
    """One gateway's folder, as it is delivered."""

    path: Path

    @property
    def pin(self) -> Path:
        """The token's PIN; the first thing that is made."""
        return self.path / "pin"

    @property
    def token(self) -> Path:
        """SoftHSM's folder."""
        return self.path / "token"

    @property
    def package(self) -> Path:
        """The authorised request package. Once it is there no other is made, for it may have been granted."""
        return self.path / "request.der"

    @property
    def delivery(self) -> Path:
        """The signed delivery record; the last thing that is made."""
        return self.path / "delivery.json"


@dataclass(frozen=True)
class FactoryFolder:
    """The folder that gateways are made in."""

    path: Path

    def gateway(self, device: DeviceId) -> GatewayFolder:
        """The folder of a gateway, there or not."""
        return GatewayFolder(self.path / device.dns)

    @contextmanager
    def used_by(self, owner: Mapping[str, str]) -> Iterator[None]:
        """Have the folder alone; it is made where it is missing.

        :param owner: who makes gateways here, and who issues their certificates; it stays so for good
        :raises GatewayError: ``provision.out.busy``: another run is going on, ``.foreign``: something else is in the
            folder, ``.owner``: it is somebody else's; ``provision.unwritable``, ``provision.unreadable``
        """
        with _locked(self.path):
            there = read_file(self.path / _OWNER)
            if there is None:
                self._take(owner)
            elif there != _stored(owner):
                message = f"gateways are made here for {there.decode(errors='replace').strip()}"
                raise _out_refused("owner", message, self.path, "choose another folder: --out")
            yield

    def settle(self) -> None:
        """Have on disk what was written in this folder up to now, tokens too.

        :raises TokenError: ``token.unsettled``
        """
        settle(self.path)

    def _take(self, owner: Mapping[str, str]) -> None:
        foreign = sorted(path.name for path in self.path.iterdir() if not path.name.startswith((_LOCK, f".{_OWNER}")))
        if foreign:
            message = f"the folder holds something else: {foreign[0]}"
            raise _out_refused("foreign", message, self.path, "choose an empty folder, or one of an earlier run")
        write_file(self.path / _OWNER, _stored(owner))
        self.settle()


def read_file(file: Path) -> bytes | None:
    """A file's content; ``None`` where there is none.

    :raises GatewayError: ``provision.unreadable``
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"can't be read: {error.strerror}"
        raise GatewayError("provision.unreadable", message, where=str(file), hint="check who may read it") from None


def write_file(file: Path, content: bytes) -> None:
    """Write a file, whole or not at all; one process at a time. :meth:`FactoryFolder.settle` has it on disk.

    :raises GatewayError: ``provision.unwritable``
    """
    write_draft(file, content)
    finish(file)


def write_draft(file: Path, content: bytes) -> None:
    """Write what :func:`finish` puts in a file's place.

    :raises GatewayError: ``provision.unwritable``
    """
    try:
        _draft(file).write_bytes(content)
    except OSError as error:
        raise unwritable(file, error) from None


def finish(file: Path) -> None:
    """Put the draft of a file in its place.

    :raises GatewayError: ``provision.unwritable``
    """
    try:
        _draft(file).replace(file)
    except OSError as error:
        raise unwritable(file, error) from None


def unwritable(file: Path, error: OSError) -> GatewayError:
    """A file or folder can't be written."""
    message = f"can't be written: {error.strerror}"
    hint = "see to folder and disk, then start again: what was done is found again"
    return GatewayError("provision.unwritable", message, where=str(file), hint=hint)


def _draft(file: Path) -> Path:
    return file.with_name(f".{file.name}.draft")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; processes that end without a word give it back."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unwritable(folder, error) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait for it, or choose another --out"
            raise _out_refused("busy", "another run makes gateways in this folder", folder, hint) from None
        yield
    finally:
        os.close(lock)


def _stored(owner: Mapping[str, str]) -> bytes:
    return write_json(owner) + b"\n"


def _out_refused(rule: str, message: str, folder: Path, hint: str) -> GatewayError:
    return GatewayError(f"provision.out.{rule}", message, where=str(folder), hint=hint)
