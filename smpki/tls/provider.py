"""TLS keys that live in a PKCS#11 token, by OpenSSL's provider ``pkcs11-provider``.

OpenSSL reads its configuration once, when the process imports cryptography for the first time. So a process that will
need such a key calls :func:`load_provider` before that; nothing in here imports cryptography by itself until then.
The provider and :class:`smpki.hsm.token.Token` share a token within one process only through p11-kit's proxy module.
"""

import ctypes
import importlib
import os
import re
import sys
from base64 import encodebytes
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING
from urllib.parse import quote

from smpki.asn1 import der
from smpki.errors import TlsError
from smpki.hsm.filelock import exclusive
from smpki.hsm.module import library_folders
from smpki.hsm.pin import Pin

if TYPE_CHECKING:
    from OpenSSL.crypto import PKey

_VISIBLE_STRING, _UTF8_STRING = 0x1A, 0x0C
LONGEST_PIN = 31
"""In octets; pkcs11-provider 1.0 cuts what is longer."""

_CONFIGURATION = """\
openssl_conf = init
[init]
providers = providers
[providers]
default = builtin
pkcs11 = token
[builtin]
activate = 1
[token]
module = {library}
pkcs11-module-path = {module}
pkcs11-module-token-pin = file:{pin_file}
# with SoftHSM a process crashes at its end otherwise
pkcs11-module-quirks = no-deinit
pkcs11-module-load-behavior = early
# who loads a key again would find the copy that is kept for the first, and lose it with that
pkcs11-module-cache-keys = false
activate = 1
"""


def find_provider(*, root: Path = Path("/")) -> Path:
    """The provider's library.

    :param root: where the file system begins
    :raises TlsError: ``tls.provider.missing``; its hint says how to get it
    """
    for folder in library_folders(root):
        library = folder / "ossl-modules" / "pkcs11.so"
        if library.is_file():
            return library
    raise TlsError(
        "tls.provider.missing",
        "a TLS key in a token needs OpenSSL's pkcs11-provider, which is not installed",
        where="ossl-modules/pkcs11.so",
        hint="apt install pkcs11-provider (Debian 13 and newer; on Debian 12 it is in bookworm-backports, which has to "
        "be among apt's sources); or choose a key in a file",
    )


def configuration(library: Path, module: Path, pin_file: Path) -> str:
    """What OPENSSL_CONF has to name so that a program can use keys of a token.

    :param library: the provider's, see :func:`find_provider`
    :param module: the PKCS#11 module, see :func:`smpki.hsm.module.find_module`
    :param pin_file: holds the PIN; it is read when the program starts
    :raises TlsError: ``tls.provider.path``
    """
    for path in (library, module, pin_file):
        if not str(path).isprintable():
            raise TlsError(
                "tls.provider.path",
                "OpenSSL's configuration can't hold this path",
                where=ascii(str(path)),
                hint="choose a path without control characters",
            )
    # the PIN's file is named as in a URI, the others by the rules of config(5)
    return _CONFIGURATION.format(library=_escaped(library), module=_escaped(module), pin_file=quote(str(pin_file)))


def load_provider(module: Path, pin: Pin, environ: MutableMapping[str, str], *, root: Path = Path("/")) -> None:
    """Import cryptography so that its OpenSSL can use the keys of tokens; the first import of the process.

    Configuration and PIN are handed over in memory and are gone when this returns. :func:`log_in` comes next. Where the
    module is not p11-kit's proxy, no :class:`smpki.hsm.token.Token` of it can be open in the same process.

    :param module: the PKCS#11 module, see :func:`smpki.hsm.module.find_module`
    :param pin: the user's PIN, up to 31 octets
    :param environ: ``os.environ``; OPENSSL_CONF is set in it for a moment
    :param root: where the file system begins
    :raises TlsError: ``tls.provider.missing``, ``tls.provider.path``, ``tls.provider.pin_length``,
        ``tls.provider.late``, ``tls.provider.refused``
    """
    library = find_provider(root=root)
    if len(pin.reveal().encode()) > LONGEST_PIN:
        raise TlsError(
            "tls.provider.pin_length",
            f"pkcs11-provider takes PINs of up to {LONGEST_PIN} octets",
            hint="choose a shorter PIN for this token, or a key in a file",
        )
    if "cryptography.hazmat.bindings._rust" in sys.modules:
        raise TlsError(
            "tls.provider.late",
            "cryptography was imported before the provider's configuration was made",
            hint="call load_provider before anything else of smpki that needs cryptography",
        )
    before = environ.get("OPENSSL_CONF")
    with (
        _in_memory(pin.reveal().encode()) as pin_file,
        _in_memory(configuration(library, module, pin_file).encode()) as file,
    ):
        environ["OPENSSL_CONF"] = str(file)
        try:
            importlib.import_module("cryptography.hazmat.bindings.openssl.binding")
        finally:
            del environ["OPENSSL_CONF"]
            if before is not None:
                environ["OPENSSL_CONF"] = before
    if not _is_loaded(library):
        raise TlsError(
            "tls.provider.refused",
            f"OpenSSL could not load {library} with the PKCS#11 module {module}",
            where=str(module),
            hint="check that both are of this machine's architecture and that the module works: p11-kit list-modules",
        )


def log_in(token: str | None, lock: Path) -> None:
    """Let OpenSSL log in to a token, once and for as long as the process lasts.

    Were this left to a :class:`smpki.hsm.token.Token` of the same process, OpenSSL's keys would end with that.

    :param token: the token's label; ``None``: every token that the module has
    :param lock: as for :meth:`smpki.hsm.token.Token.open`
    :raises TlsError: ``tls.provider.pin``
    :raises TokenError: ``token.lock.*``
    """
    try:
        with exclusive(lock):
            load_provider_key(key_uri(token, token_hex()))  # which is not there, but looked for behind the login
    except TlsError as error:
        if error.code != "tls.provider.key":
            raise TlsError(error.code, error.message, where=token or "", hint=error.hint) from None


def _escaped(path: Path) -> str:
    return re.sub(r"([\\$#\"'`])", r"\\\1", str(path))


@contextmanager
def _in_memory(content: bytes) -> Iterator[Path]:
    """A file that only this process sees, on no disk."""
    with os.fdopen(os.memfd_create("smpki"), "wb") as file:
        file.write(content)
        file.flush()
        yield Path(f"/proc/self/fd/{file.fileno()}")


def _is_loaded(library: Path) -> bool:
    """OpenSSL passes over a provider that fails, without a word, and lets go of its library."""
    try:
        ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return False
    return True


def key_uri(token: str | None, label: str) -> str:
    """The URI of a private key in a token (RFC 7512).

    :param token: the token's label; ``None``: the key is looked for in all tokens
    :param label: the key's label
    """
    named = f"token={quote(token, safe='')};" if token is not None else ""
    return f"pkcs11:{named}object={quote(label, safe='')};type=private"


def provider_key_pem(uri: str) -> bytes:
    """The container in which pkcs11-provider takes the URI of a key where OpenSSL expects PEM.

    :param uri: see :func:`key_uri`
    """
    container = der.encode(
        der.SEQUENCE,
        der.encode(_VISIBLE_STRING, b"PKCS#11 Provider URI v1.0"),
        der.encode(_UTF8_STRING, uri.encode()),
    )
    kind = b"PKCS#11 PROVIDER URI"
    return b"-----BEGIN " + kind + b"-----\n" + encodebytes(container) + b"-----END " + kind + b"-----\n"


def load_provider_key(uri: str) -> "PKey":
    """OpenSSL's handle of a key in a token.

    :param uri: see :func:`key_uri`
    :raises TlsError: ``tls.provider.key``, ``tls.provider.pin``
    """
    from OpenSSL import crypto

    asked = []

    def no_other_pin(_: object) -> bytes:
        asked.append(True)
        return b""  # gives up; the terminal would be asked otherwise

    try:
        return crypto.load_privatekey(crypto.FILETYPE_PEM, provider_key_pem(uri), no_other_pin)
    except crypto.Error:
        pass  # it says nothing but "unsupported"
    where = uri.partition("?")[0]  # behind it a PIN may stand (RFC 7512 2.4)
    if asked:
        raise TlsError(
            "tls.provider.pin", "the token refuses the PIN", where=where, hint="check the PIN; tokens lock after a few"
        )
    raise TlsError(
        "tls.provider.key",
        "OpenSSL finds no such key in a token",
        where=where,
        hint="check the labels of token and key; the process has to start with pkcs11-provider in its configuration",
    )
