"""Tokens of servers, which their configuration files name.

OpenSSL has to start with a token's provider before anything imports cryptography, and to read a configuration properly
imports it. So the file is looked into beforehand.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smpki_cli.common import home_folder

if TYPE_CHECKING:
    from smpki.gateway.configuration import TokenConfiguration
    from smpki.hsm.pin import Pin
    from smpki.hsm.token import Token


def start_provider_of(parameters: Mapping[str, Any]) -> None:
    """What a command with the argument ``config`` does first: get OpenSSL ready for the token, if there is one.

    A file that is not as it should be is left to whoever reads it properly.

    :raises SmpkiError: the token or its provider refuses
    """
    file: Path = parameters["config"]
    found = _token(file)
    if found is None:
        return
    from smpki.hsm.module import find_module
    from smpki.hsm.softhsm import SoftHsm
    from smpki.tls.provider import load_provider, log_in

    module, folder, label, pin_file = found
    softhsm = SoftHsm(file.parent / folder)
    if module is None:
        softhsm.activate(os.environ)
    load_provider(find_module(module).path, _pin(file.parent / pin_file), os.environ)
    log_in(label, softhsm.lock)


def start_provider_of_home(parameters: Mapping[str, Any]) -> None:
    """What a command does first that serves with a TLS key of the PKI's token; with ``tls_folder`` it has its own.

    :raises SmpkiError: the token or its provider refuses
    """
    if parameters["tls_folder"] is not None:
        return
    import yaml

    context = click.get_current_context()
    home = home_folder(context.params["home"] or context.obj)
    try:
        settings = yaml.safe_load((home / "settings.yaml").read_text(encoding="utf-8"))
        module, label = settings.get("module"), settings.get("token", "smpki")
    except (OSError, ValueError, yaml.YAMLError, AttributeError):
        return  # who reads it properly says what is wrong
    from smpki.hsm.module import find_module
    from smpki.hsm.softhsm import SoftHsm
    from smpki.tls.provider import find_provider, load_provider, log_in

    find_provider()  # before a person is asked for the PIN
    softhsm, lock = SoftHsm(home / "softhsm"), home / "token.lock"
    if module is None:
        if not softhsm.tokens.is_dir():
            return
        softhsm.activate(os.environ)
        lock = softhsm.lock
    load_provider(find_module(module).path, _home_pin(home / "pin"), os.environ)
    log_in(label, lock)


@contextmanager
def open_configured(token: "TokenConfiguration | None") -> "Iterator[Token | None]":
    """The token of a configuration; ``None`` where it names none.

    :raises TokenError: what the token refuses
    """
    if token is None:
        yield None
        return
    from smpki.hsm.softhsm import SoftHsm
    from smpki.hsm.token import Token

    lock = SoftHsm(token.folder).lock  # of another module's token, too
    with Token.open(token.module, token.label, _pin(token.pin_file), lock=lock) as opened:
        yield opened


def _token(file: Path) -> tuple[str | None, str, str, str] | None:
    """Module, folder, label and PIN file."""
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    token = content.get("token") if isinstance(content, dict) else None
    if not isinstance(token, dict):
        return None
    module, folder, label, pin_file = (token.get(name) for name in ("module", "folder", "label", "pin_file"))
    if not isinstance(module, str | None):
        return None
    if isinstance(folder, str) and isinstance(label, str) and isinstance(pin_file, str):
        return module, folder, label, pin_file
    return None


def _home_pin(kept: Path) -> "Pin":
    """From where :meth:`smpki.ca.opening.Surroundings.pin` gets it."""
    from smpki_cli.token_key import pin_of

    is_given = os.environ.get("SMPKI_PIN_FILE") or os.environ.get("SMPKI_PIN")
    return pin_of(None if is_given or not kept.exists() else kept)


def _pin(file: Path) -> "Pin":
    from smpki.hsm.pin import read_pin

    return read_pin(file=file, value=None, prompt=None)
