"""A participant's private keys in files."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.errors import SmpkiError
from smpki.requests.keys import KeyTriple


def write_keys(folder: Path, keys: KeyTriple) -> tuple[Path, ...]:
    """Write ``tls.key``, ``sig.key`` and ``enc.key`` (PKCS#8 PEM, mode 0600 from the first octet on).

    :return: the files
    :raises SmpkiError: ``keys.exist`` (a key is never overwritten), ``keys.unwritable``
    """
    files = {
        folder / f"{purpose}.key": key for purpose, key in (("tls", keys.tls), ("sig", keys.sig), ("enc", keys.enc))
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file.exists():
                hint = "choose another --out; a key that is lost takes its certificate with it"
                raise SmpkiError("keys.exist", "there is a key already", where=str(file), hint=hint)
        for file, key in files.items():
            _write(file, key)
    except OSError as error:
        message = f"can't be written: {error.strerror}"
        raise SmpkiError("keys.unwritable", message, where=str(folder), hint="choose another --out") from None
    return tuple(files)


def _write(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        stream.flush()
        os.fsync(stream.fileno())
