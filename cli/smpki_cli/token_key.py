"""What commands share that use one private key: in a file, or in a token outside a PKI's home."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smpki.errors import SmpkiError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from smpki.ca.home import Home
    from smpki.hsm.pin import Pin
    from smpki.hsm.token import Token
    from smpki.participant.password import Password

_FILE = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class KeyChoice:
    """The private key that a command is to use: ``file``, or ``label`` in a token.

    :param home: the token's lock is there; nothing else of it is used, and it need not exist
    :param file: PEM, PKCS#8 or SEC 1; ``None``: it is in the token
    :param password_file: of an encrypted key file
    :param label: of the key in the token; ``None``: it is in a file
    :param module: as :func:`smpki.hsm.module.find_module` takes it
    :param token: label of the token; ``None``: the only one that the module has
    :param pin_file: of the token, mode 0600
    """

    home: "Home"
    file: Path | None
    password_file: Path | None
    label: str | None
    module: str | None
    token: str | None
    pin_file: Path | None

    @contextmanager
    def open(self) -> "Iterator[ec.EllipticCurvePrivateKey]":
        """The key, usable as long as the context lasts; a key file that others can use is warned of, not refused.

        :raises SmpkiError: ``keys.*`` for a file
        :raises TokenError: what the token refuses
        """
        if self.file is not None:
            from smpki.participant.key_files import read_key

            yield read_key(self.file, self._password, exposed=self._warn)
            return
        with open_token(self.home, self.module, self.token, self.pin_file) as token:
            yield token.key(label=self.label)

    def pin(self) -> "Pin":
        """The token's PIN, see :func:`pin_of`."""
        return pin_of(self.pin_file)

    def _password(self) -> "Password | None":
        if (given := given_password(self.password_file)) or not sys.stdin.isatty():
            return given
        from smpki.participant.password import Password

        return Password(click.prompt("Password of the private key", hide_input=True, err=True))

    def _warn(self, mode: int) -> None:
        click.echo(f"warning: others than its owner can use the private key {self.file} (mode {mode:04o})", err=True)


def with_key(option: str, *, required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that say which private key to use; the command gets them as ``key`` (:class:`KeyChoice`).

    :param option: names the key's file, such as ``--sender-key``
    :param required: otherwise ``key`` is ``None`` where no key was given
    """
    options = [
        click.option(option, "key_file", type=_FILE, help="File of the private key (PEM)."),
        click.option("--password-file", type=_FILE, help="Password of the key's file (or SMPKI_KEY_PASSWORD[_FILE])."),
        click.option("--token-key", metavar="LABEL", help="The private key is this one in a PKCS#11 token."),
        click.option("--module", help="PKCS#11 module: a name that p11-kit knows, or a path. Default: SoftHSM."),
        click.option("--token", metavar="LABEL", help="The token. Default: the only one there is."),
        click.option("--pin-file", type=_FILE, help="The token's PIN, mode 0600 (or SMPKI_PIN[_FILE])."),
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(
            home: "Home",
            key_file: Path | None,
            password_file: Path | None,
            token_key: str | None,
            module: str | None,
            token: str | None,
            pin_file: Path | None,
            **parameters: Any,
        ) -> None:
            if key_file and token_key:
                raise click.UsageError(f"give {option} or --token-key, not both")
            if required and not key_file and not token_key:
                raise click.UsageError(f"give the private key: {option} or --token-key")
            chosen = KeyChoice(home, key_file, password_file, token_key, module, token, pin_file)
            function(home=home, key=chosen if key_file or token_key else None, **parameters)

        for each in reversed(options):
            run = each(run)
        return run

    return decorate


@contextmanager
def open_token(home: "Home", module: str | None, label: str | None, pin_file: Path | None) -> "Iterator[Token]":
    """A token that is not the PKI's own: of SoftHSM's, the one that SOFTHSM2_CONF says.

    :param home: where processes lock one another out while they log in
    :param label: the token's; ``None``: the only one that the module has
    :raises SmpkiError: ``home.unwritable``
    :raises TokenError: what the token refuses
    """
    from smpki.hsm.token import Token

    pin = pin_of(pin_file)
    with Token.open(module, label, pin, lock=token_lock(home)) as token:
        yield token


def token_lock(home: "Home") -> Path:
    """The lock of such a token, in a folder that exists.

    :raises SmpkiError: ``home.unwritable``
    """
    try:
        home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        message = f"can't be made: {error.strerror}"
        hint = "the token's lock is here; choose another --home"
        raise SmpkiError("home.unwritable", message, where=str(home.folder), hint=hint) from None
    return home.token_lock


def pin_of(file: Path | None) -> "Pin":
    """A token's PIN: from the file, SMPKI_PIN_FILE, SMPKI_PIN or the terminal, in this order.

    :raises TokenError: ``token.pin.*``
    """
    from smpki.hsm.pin import read_pin

    def ask() -> str:
        answer: str = click.prompt("PIN of the token", hide_input=True, err=True)
        return answer

    return read_pin(
        file=file or _named("SMPKI_PIN_FILE"),
        value=os.environ.get("SMPKI_PIN"),
        prompt=ask if sys.stdin.isatty() else None,
    )


def given_password(file: Path | None) -> "Password | None":
    """The password of key files: from the file, SMPKI_KEY_PASSWORD_FILE or SMPKI_KEY_PASSWORD, in this order.

    :raises SmpkiError: ``keys.password.*``
    """
    from smpki.participant.password import Password, read_password

    if file := file or _named("SMPKI_KEY_PASSWORD_FILE"):
        return read_password(file)
    value = os.environ.get("SMPKI_KEY_PASSWORD")
    return Password(value) if value else None


def _named(variable: str) -> Path | None:
    name = os.environ.get(variable)
    return Path(name) if name else None
