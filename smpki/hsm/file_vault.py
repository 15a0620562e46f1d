"""A software vault whose content stays: keys that nothing but a file's mode protects, for tests and demonstrations."""

import json
import os
import threading
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from smpki.errors import TokenError
from smpki.hsm.claim import FileClaim
from smpki.hsm.key import KeyInfo, KeyUse, TokenKey
from smpki.hsm.secret_file import ExposedError, read_secret, replace_secret
from smpki.hsm.software_vault import SoftwareVault
from smpki.hsm.vault import ObjectKind, StoredObject


class FileVault(SoftwareVault):
    """See :class:`smpki.hsm.vault.Vault`. The file is replaced as a whole by whatever changes the content.

    One process at a time works with it, if each claims a name first.

    :param file: of mode 0600; made where it is missing
    :raises TokenError: ``token.file``: it can't be read, or others can read it
    """

    def __init__(self, file: Path) -> None:
        super().__init__(file.name)
        self._file = file
        self._writing = threading.Lock()
        self._read()

    def claim(self, name: str) -> FileClaim:  # type: ignore[override]
        """See :meth:`Vault.claim`."""
        claim = FileClaim(self._file.with_name(f"{self._file.name}.{name}.lock"), f"{self._file}: {name}")
        with self._writing:
            self._read()  # what another process has changed before
        return claim

    def add(self, label: str, key: ec.EllipticCurvePrivateKey, use: KeyUse) -> TokenKey:
        """See :meth:`SoftwareVault.add`."""
        with self._writing:
            added = super().add(label, key, use)
            self._write()
        return added

    def destroy(self, key: KeyInfo) -> None:
        """See :meth:`Vault.destroy`."""
        with self._writing:
            super().destroy(key)
            self._write()

    def store(self, *stored: StoredObject) -> None:
        """See :meth:`Vault.store`."""
        with self._writing:
            super().store(*stored)
            self._write()

    def drop(self, stored: StoredObject) -> None:
        """See :meth:`Vault.drop`."""
        with self._writing:
            super().drop(stored)
            self._write()

    def _read(self) -> None:
        try:
            content = json.loads(read_secret(self._file))
            keys, objects = dict(map(_key, content["keys"])), [_object(each) for each in content["objects"]]
        except FileNotFoundError:
            keys, objects = {}, []
        except ExposedError as error:
            raise self._unusable(f"others than its owner can use it (mode {error.mode:04o})") from None
        except OSError as error:
            raise self._unusable(f"it can't be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):  # without the cause, which may show a key
            raise self._unusable("it does not hold what was written here") from None
        self._keys, self._objects = keys, objects

    def _write(self) -> None:
        keys = [
            {"label": info.label, "key_id": info.key_id.hex(), "use": info.use.value, "key": _der(key)}
            for info, key in self._keys.items()
        ]
        objects = [
            {
                "kind": each.kind.value,
                "label": each.label,
                "value": b64encode(each.value).decode(),
                "key_id": each.key_id.hex(),
            }
            for each in self._objects
        ]
        try:
            self._replace(json.dumps({"keys": keys, "objects": objects}).encode())
        except OSError as error:
            self._read()  # what could not be kept is not there
            raise self._unusable(f"it can't be written: {error.strerror}") from None

    def _replace(self, content: bytes) -> None:
        replace_secret(self._file, content)
        folder = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _unusable(self, why: str) -> TokenError:
        hint = "see to the file of the software keys; its mode is 0600"
        return TokenError("token.file", why, where=str(self._file), hint=hint)


def _der(key: ec.EllipticCurvePrivateKey) -> str:
    return b64encode(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())).decode()


def _key(each: dict[str, Any]) -> tuple[KeyInfo, ec.EllipticCurvePrivateKey]:
    key = load_der_private_key(b64decode(each["key"]), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError
    return KeyInfo(each["label"], bytes.fromhex(each["key_id"]), key.curve.name, KeyUse(each["use"])), key


def _object(each: dict[str, Any]) -> StoredObject:
    return StoredObject(
        ObjectKind(each["kind"]), each["label"], b64decode(each["value"]), bytes.fromhex(each["key_id"])
    )
