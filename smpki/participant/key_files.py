"""A participant's private keys in files: PKCS#8 PEM, encrypted where there is a password, mode 0600."""

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from smpki.errors import SmpkiError
from smpki.hsm.secret_file import ExposedError, read_secret, write_secret
from smpki.participant.password import Password
from smpki.requests.keys import KeyTriple

_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


def key_files(folder: Path) -> tuple[Path, Path, Path]:
    """Where :func:`write_keys` puts the TLS, SIG and ENC key."""
    return folder / "tls.key", folder / "sig.key", folder / "enc.key"


def write_keys(folder: Path, keys: KeyTriple, password: Password | None = None) -> tuple[Path, ...]:
    """Write ``tls.key``, ``sig.key`` and ``enc.key``, each whole or not at all.

    :return: the files
    :raises SmpkiError: ``keys.exist`` (a key is never overwritten), ``keys.unwritable``
    """
    files = key_files(folder)
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password.reveal())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file.exists():
                raise _exists(file)
        for file, key in zip(files, (keys.tls, keys.sig, keys.enc), strict=True):
            write_secret(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    except FileExistsError as error:
        raise _exists(error.filename) from None
    except OSError as error:
        message = f"can't be written: {error.strerror}"
        raise SmpkiError("keys.unwritable", message, where=str(folder), hint="choose another --out") from None
    return files


def read_key(
    file: Path, password: Callable[[], Password | None], *, exposed: Callable[[int], None] | None = None
) -> ec.EllipticCurvePrivateKey:
    """Read a key.

    :param password: asked for when the file is encrypted; ``None`` where there is none
    :param exposed: told the mode of a file that others can use; it is refused otherwise
    :raises SmpkiError: ``keys.missing``, ``keys.exposed``, ``keys.unreadable``, ``keys.password.missing``,
        ``keys.password.wrong``, and what ``password`` raises
    """
    try:
        content = read_secret(file, exposed=exposed)
    except FileNotFoundError:
        raise _refused("missing", "there is no private key", file, "name the key's file, or the token") from None
    except ExposedError as error:
        message = f"others than its owner can use the private key (mode {error.mode:04o})"
        raise _refused(
            "exposed", message, file, f"chmod 600 {file}; renew the key if somebody may have read it"
        ) from None
    except OSError as error:
        raise _refused("unreadable", f"can't be read: {error.strerror}", file, "check the path") from None
    encrypted = _ENCRYPTED in content
    given = password() if encrypted else None
    if encrypted and given is None:
        hint = "give a password file of mode 0600, set the environment variable, or run in a terminal"
        raise _refused("password.missing", "the private key is encrypted, and there is no password", file, hint)
    try:
        key = load_pem_private_key(content, given.reveal() if given else None)
    except Exception:  # pyca: ValueError, TypeError, UnsupportedAlgorithm; a chain could carry the key
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        if encrypted:
            raise _refused("password.wrong", "the password does not open the private key", file, "check the password")
        hint = "a key is PKCS#8 in PEM, on an elliptic curve"
        raise _refused("unreadable", "this is no private key of a participant", file, hint)
    return key


def _exists(file: Path | str) -> SmpkiError:
    hint = "choose another --out; a key that is lost takes its certificate with it"
    return SmpkiError("keys.exist", "there is a key already", where=str(file), hint=hint)


def _refused(rule: str, message: str, file: Path, hint: str) -> SmpkiError:
    return SmpkiError(f"keys.{rule}", message, where=str(file), hint=hint)
