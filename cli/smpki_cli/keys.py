"""What the participant's commands share: where private keys are, who signs, what time it is."""

import functools
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smpki.errors import SmpkiError
from smpki_cli.common import surroundings
from smpki_cli.token_key import given_password, open_token

if TYPE_CHECKING:
    from cryptography import x509

    from smpki.ca.home import Home
    from smpki.hsm.token import Token
    from smpki.participant.key_places import KeyPlace, KeySource
    from smpki.participant.password import Password
    from smpki.policy.model import EnvironmentName, Policy
    from smpki.requests.keys import Signer

_FILE = click.Path(dir_okay=False, path_type=Path)

SIGNER = click.option(
    "--signer",
    required=True,
    type=click.Path(path_type=Path),
    help="Who signs: a folder with sig.pem and sig.key, or a SIG certificate.",
)
OUT_FILE = click.option("--out", required=True, type=_FILE, help="File for what is made.")


@dataclass
class Keys:
    """The private keys of one call of a command; its key files have one password.

    :param token: open, or ``None``: keys are in files
    :param label: begins the labels of new keys in the token
    :param key_file: of the key that signs; ``None``: beside its certificate
    :param encrypt: new key files, though no password was given yet
    """

    token: "Token | None"
    label: str | None
    key_file: Path | None
    password_file: Path | None
    encrypt: bool
    _asked: "Password | None" = None

    def place(self, folder: Path, label: str) -> "KeyPlace":
        """Where new keys go.

        :param folder: for files
        :param label: begins labels in a token where none was given
        """
        from smpki.participant.key_places import FilePlace, TokenPlace

        if self.token is not None:
            return TokenPlace(self.token, self.label or label)
        password = self._password("Password for the new keys", confirm=True) if self._encrypts else None
        if password is None and self.encrypt:
            hint = "give --password-file, set SMPKI_KEY_PASSWORD, or run in a terminal"
            raise SmpkiError("keys.password.missing", "there is no password for the new keys", hint=hint)
        return FilePlace(folder, password)

    @property
    def source(self) -> "KeySource":
        """Where the keys of certificates are."""
        from smpki.participant.key_places import FileSource, TokenSource

        if self.token is not None and self.key_file is None:
            return TokenSource(self.token)
        return FileSource(lambda: self._password("Password of the private key"), self.key_file)

    @property
    def beside(self) -> "KeySource":
        """Where the keys of certificates are of which no option says it: beside them, or in the token."""
        from smpki.service.own_triple import FileOrTokenSource

        return FileOrTokenSource(self.token, lambda: self._password("Password of the private key"))

    def signer(self, place: Path) -> "Signer":
        """Who signs: the SIG certificate in a file or folder, with its key."""
        from smpki.participant.signers import open_signer

        return open_signer(place, self.source)

    @property
    def _encrypts(self) -> bool:
        """Whether new key files are encrypted: as the old one is, too."""
        given = self.password_file or self._asked
        named = ("SMPKI_KEY_PASSWORD_FILE", "SMPKI_KEY_PASSWORD")
        return self.encrypt or given is not None or any(os.environ.get(name) for name in named)

    def _password(self, question: str, *, confirm: bool = False) -> "Password | None":
        """As :func:`given_password`, or from the terminal."""
        from smpki.participant.password import Password

        if given := given_password(self.password_file):
            return given
        if self._asked is None and sys.stdin.isatty():
            self._asked = Password(click.prompt(question, hide_input=True, confirmation_prompt=confirm, err=True))
        return self._asked


def with_keys(*, new: bool = False, signer: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that say where private keys are; the command gets them as ``keys`` (:class:`Keys`).

    :param new: the command makes keys
    :param signer: the command signs with a key that is there
    """
    options = [
        click.option("--token", metavar="LABEL", help="Keys are in this PKCS#11 token, and not in files."),
        click.option("--module", help="PKCS#11 module: a name that p11-kit knows, or a path. Default: SoftHSM."),
        click.option("--password-file", type=_FILE, help="Password of key files (or SMPKI_KEY_PASSWORD[_FILE])."),
    ]
    if new:
        options += [
            click.option(
                "--encrypt", is_flag=True, help="Encrypt new key files; asks for a password if none is given."
            ),
            click.option("--key-label", metavar="LABEL", help="Begins the labels of new keys in the token."),
        ]
    if signer:
        options += [click.option("--key", type=_FILE, help="The signer's key. Default: beside its certificate, .key.")]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(
            home: "Home",
            token: str | None,
            module: str | None,
            password_file: Path | None,
            encrypt: bool = False,
            key_label: str | None = None,
            key: Path | None = None,
            **parameters: Any,
        ) -> None:
            with open_token(home, module, token, None) if token is not None else nullcontext() as opened:
                function(home=home, keys=Keys(opened, key_label, key, password_file, encrypt), **parameters)

        for option in reversed(options):
            run = option(run)
        return run

    return decorate


def clock_in(environment: "EnvironmentName") -> Callable[[], datetime]:
    """The clock; SMPKI_CLOCK sets that of the test PKI."""
    if not os.environ.get("SMPKI_CLOCK"):
        return lambda: datetime.now(UTC)
    from smpki.ca.home import Settings

    clock, _ = surroundings().clock(Settings(environment=environment))
    return clock


def now_in(environment: "EnvironmentName") -> datetime:
    """The time now, see :func:`clock_in`."""
    return clock_in(environment)()


def clock_for(certificate: "x509.Certificate", policy: "Policy") -> Callable[[], datetime]:
    """The clock in the PKI of a certificate."""
    from smpki.policy.lint.classify import environment_of

    return clock_in(environment_of(certificate.subject, policy) or "production")


def now_for(certificate: "x509.Certificate", policy: "Policy") -> datetime:
    """The time now in the PKI of a certificate."""
    return clock_for(certificate, policy)()
