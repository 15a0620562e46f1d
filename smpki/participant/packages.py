"""Make keys and a package with them, and keep both: the same for a first package and for a renewal."""

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
    write_output(file, package)
    return (*kept, str(file))


def write_output(file: Path, data: bytes) -> None:
    """Write a file whose content can be made again.

    :raises SmpkiError: ``output.unwritable``
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    except OSError as error:
        message = f"can't be written: {error.strerror}"
        raise SmpkiError("output.unwritable", message, where=str(file), hint="choose another --out") from None
