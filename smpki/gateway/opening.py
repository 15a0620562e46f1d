"""What a gateway's configuration names is opened: security module and database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smpki.errors import GatewayError
from smpki.gateway.configuration import Configuration
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.store.store import GatewayStore
from smpki.hsm.file_vault import FileVault
from smpki.hsm.token import Token
from smpki.hsm.token_vault import TokenVault


@contextmanager
def open_module(configuration: Configuration, token: Token | None) -> Iterator[SecurityModule]:
    """The security module.

    :param token: the configured one, if there is one
    :raises GatewayError: ``configuration.token``: neither token nor file; ``module.*``
    :raises TokenError: ``token.claimed``, ``token.file``, or what the token refuses
    """
    if configuration.software_keys is not None:
        vault: FileVault | TokenVault = FileVault(configuration.software_keys)
    elif token is not None:
        vault = TokenVault(token)
    else:
        raise GatewayError("configuration.token", "the configured token is not open", hint="open it before")
    with SecurityModule(vault) as module:
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
