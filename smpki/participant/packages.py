"""Make keys and a package with them, and keep both: the same for a first package and for a renewal."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import SmpkiError
from smpki.participant.key_places import KeyPlace
from smpki.requests.keys import KeyTriple

PACKAGE = "request.der"
"""The package's file in the folder of its keys."""


def write_package(
    folder: Path, place: KeyPlace, curve: ec.EllipticCurve, build: Callable[[KeyTriple], bytes]
) -> tuple[str, ...]:
    """Make three keys and a package, and write the package to ``request.der``, once the keys are safe.

    :param place: where the keys go
    :param build: builds the package from the keys; when it refuses, no key is left behind
    :return: what was made: files, or labels of keys in a token
    :raises SmpkiError: ``output.unwritable``, and what ``place`` and ``build`` raise
    """
    file = folder / PACKAGE
    keys = place.make(curve)
    try:
        package = build(keys)
        kept = place.keep(keys)
    except SmpkiError:
        place.drop(keys)
        raise
    write_whole(file, package)
    return (*kept, str(file))


def write_output(file: Path, data: bytes) -> None:
    """Write a file whose content can be made again.

    :raises SmpkiError: ``output.unwritable``
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    except OSError as error:
        raise _unwritable(file, error) from None


def write_whole(file: Path, data: bytes) -> None:
    """Write a file whole or not at all, and durably: when this returns, power may fail.

    :raises SmpkiError: ``output.unwritable``
    """
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(file.parent)
    except OSError as error:
        raise _unwritable(file, error) from None


def sync_folder(folder: Path) -> None:
    """Have the disk know which files a folder has.

    :raises OSError: the disk refuses
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(file: Path, error: OSError) -> SmpkiError:
    hint = "choose another --out, or see to the folder and the disk"
    return SmpkiError("output.unwritable", f"can't be written: {error.strerror}", where=str(file), hint=hint)
