"""What a gateway's configuration names is opened: data folder, security module and database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smpki.errors import GatewayError, TokenError
from smpki.gateway.configuration import Configuration
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.store.store import GatewayStore
from smpki.hsm.claim import FileClaim
from smpki.hsm.file_vault import FileVault
from smpki.hsm.token import Token
from smpki.hsm.token_vault import TokenVault

_LOCK = "lock"


@contextmanager
def at_work(configuration: Configuration) -> Iterator[None]:
    """Hold the data folder, which is made where it is missing: one process at a time is the gateway.

    :raises GatewayError: ``gateway.at_work``: another process is; ``configuration.data``: the folder can't be used
    """
    folder = configuration.data
    _make(folder)
    try:
        claim = FileClaim(folder / _LOCK, str(folder))
    except TokenError as error:
        if error.code != "token.claimed":
            raise _unusable(folder, error.message) from None
        message = "another process is this gateway already"
        hint = "end it; each gateway has a data folder of its own"
        raise GatewayError("gateway.at_work", message, where=str(folder), hint=hint) from None
    try:
        yield
    finally:
        claim.release()


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
    """The database, which a new gateway does not have yet; that of an older program is brought up to date.

    :raises StoreError: ``store.missing``: there is other state, so the database was there; ``store.*``
    :raises GatewayError: ``configuration.data``: the folder can't be made
    """
    folder = configuration.data
    file = folder / "gateway.db"
    _make(folder)
    try:
        is_new = all(path.name == _LOCK for path in folder.iterdir())
    except OSError as error:
        raise _unusable(folder, str(error.strerror)) from None
    return GatewayStore.create(file) if is_new or file.is_file() else GatewayStore.open(file)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, str(error.strerror)) from None


def _unusable(folder: Path, why: str) -> GatewayError:
    return GatewayError(
        "configuration.data", f"the folder can't be used: {why}", where=str(folder), hint="see to the path"
    )
