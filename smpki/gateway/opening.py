"""What a gateway's configuration names is opened: security module and database."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from smpki.errors import GatewayError
from smpki.gateway.configuration import Configuration
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.store.store import GatewayStore
from smpki.hsm.file_vault import FileVault
from smpki.hsm.pin import read_pin
from smpki.hsm.softhsm import SoftHsm
from smpki.hsm.token import Token
from smpki.hsm.token_vault import TokenVault
from smpki.hsm.vault import Vault
from smpki.tls.provider import log_in


@contextmanager
def open_module(configuration: Configuration, environ: MutableMapping[str, str]) -> Iterator[SecurityModule]:
    """The security module. The process has begun with :func:`smpki.tls.provider.load_provider` if it is in a token.

    :param environ: ``os.environ``, where SoftHSM looks for its configuration
    :raises TokenError: what the token refuses
    :raises TlsError: ``tls.provider.*``
    :raises GatewayError: ``module.*``
    """
    with _open_vault(configuration, environ) as vault, SecurityModule(vault) as module:
        yield module


def open_store(configuration: Configuration) -> GatewayStore:
    """The database, which a new gateway does not have yet.

    :raises StoreError: ``store.missing``: there is other state, so the database was there; ``store.*``
    :raises GatewayError: ``configuration.data``: the folder can't be made
    """
    folder = configuration.data
    file = folder / "gateway.db"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not any(folder.iterdir())
    except OSError as error:
        message = f"the folder can't be used: {error.strerror}"
        raise GatewayError("configuration.data", message, where=str(folder), hint="see to the path") from None
    return GatewayStore.create(file) if is_new or _is_begun(file) else GatewayStore.open(file)


def _is_begun(file: Path) -> bool:
    """Whether an empty database is there, as the first start leaves it when it is interrupted."""
    return file.is_file() and file.stat().st_size == 0


@contextmanager
def _open_vault(configuration: Configuration, environ: MutableMapping[str, str]) -> Iterator[Vault]:
    if configuration.software_keys is not None:
        yield FileVault(configuration.software_keys)
        return
    chosen = configuration.token
    if chosen is None:  # which the configuration does not allow
        raise GatewayError("configuration.invalid", "there is neither a token nor software_keys")
    lock = chosen.folder / "lock"
    if chosen.module is None:
        softhsm = SoftHsm(chosen.folder)
        softhsm.activate(environ)
        lock = softhsm.lock
    pin = read_pin(file=chosen.pin_file, value=None, prompt=None)
    log_in(chosen.label, lock)
    with Token.open(chosen.module, chosen.label, pin, lock=lock) as token:
        yield TokenVault(token)
