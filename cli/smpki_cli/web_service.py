"""What commands share that speak to the web service of a participant's CA."""

import asyncio
import functools
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smpki_cli.common import Output
from smpki_cli.keys import Keys, clock_for
from smpki_cli.policy import policy_of
from smpki_cli.token_key import pin_of

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.participant.access import Access
    from smpki.participant.own_ca import OwnCa
    from smpki.participant.pending import PendingFolder
    from smpki.participant.web_service import WebService
    from smpki.tls.identity import Identity

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_OWN = "as_folder"


@dataclass(frozen=True)
class Caller:
    """Who calls the CA's web service, and what is taken for the CA.

    :param url: of the service; ``None``: nobody is called
    :param folder: of the triple that is shown in TLS; ``None``: the command says which
    :param seconds: for an answer
    :param tries: of what may be sent again
    """

    home: "Home"
    url: str | None
    folder: Path | None
    trust: tuple[Path, ...]
    crls: Path | None
    servers: tuple[Path, ...]
    seconds: float
    tries: int
    keys: Keys

    def identity(self, folder: Path) -> "Identity":
        """Our TLS certificate and key."""
        from smpki.service.own_triple import read_identity

        return read_identity(folder, self.keys.beside)

    def ca(self, folder: Path) -> "OwnCa":
        """Our CA."""
        from smpki.participant.signers import read_file_certificates
        from smpki.service.own_ca import read_own_ca

        now = clock_for(read_file_certificates(folder / "tls.pem")[0], policy_of(self.home, None))
        return read_own_ca(folder, now, trust=self.trust, crls=self.crls, servers=self.servers)

    def access(self, folder: Path | None = None, url: str | None = None) -> "Access":
        """How the web service is reached.

        :param folder: whose triple is shown where ``--as`` names none
        :param url: where the command has no option for it
        """
        from smpki.participant.access import Access
        from smpki.participant.web_service import Patience

        logging.getLogger("smpki.tls").addHandler(logging.NullHandler())  # what goes wrong is shown as a refusal
        own = self.own(folder)
        return Access(self.url or url or "", self.identity(own), self.ca(own), Patience(self.seconds, self.tries))

    def own(self, folder: Path | None = None) -> Path:
        """The folder of the triple that is shown."""
        found = self.folder or folder
        if found is None:
            raise click.UsageError("say who asks: --as")
        return found if found.is_dir() or not found.exists() else found.parent


def start_provider(parameters: Mapping[str, Any]) -> None:
    """OpenSSL can use a TLS key in a token only when it starts with pkcs11-provider."""
    named = (_OWN, "previous", "signer")
    folders = [*(parameters[name] for name in named if parameters.get(name)), *parameters.get("places", ())]
    calls = parameters.get("send") or parameters.get("url") or parameters.get("listen")
    if not calls or not parameters["token"] or not folders or (folders[0] / "tls.key").exists():
        return
    from smpki.hsm.module import find_module
    from smpki.tls.provider import find_provider, load_provider

    find_provider()  # before a person is asked for the PIN
    load_provider(find_module(parameters["module"]).path, pin_of(None), os.environ)


def with_web_service(option: str | None, *, own: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that say how the CA's web service is called; the command gets them as ``caller``
    (:class:`Caller`). It stands below :func:`smpki_cli.keys.with_keys`.

    :param option: names the URL: ``--url``, which is required, or ``--send``; ``None``: the command has none
    :param own: the command can't say itself whose triple is shown
    """
    options = [
        click.option(
            "--as",
            _OWN,
            type=_FOLDER,
            required=own,
            help="Who asks: the folder of a triple (tls.pem, tls.key, chain.pem)."
            + ("" if own else " Default: that of the signer."),
        ),
        click.option("--trust", multiple=True, type=_FILE, help="A file with more roots and CAs than chain.pem has."),
        click.option("--crls", type=_FOLDER, help="Revocation lists; the CA's certificates need current ones then."),
        click.option("--server-certificate", "servers", multiple=True, type=_FILE, help="The CA's, and no other."),
        click.option(
            "--timeout", type=click.FloatRange(0.1, 3600), default=60.0, show_default=True, help="Seconds an answer."
        ),
        click.option(
            "--tries", type=click.IntRange(1), default=4, show_default=True, help="Of what may be sent again."
        ),
    ]
    if option is not None:
        required = option == "--url"
        text = "The CA's web service." if required else "Send it to the CA's web service, too."
        options.insert(0, click.option(option, option.strip("-"), metavar="URL", required=required, help=text))

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(
            home: "Home",
            keys: Keys,
            as_folder: Path | None,
            trust: tuple[Path, ...],
            crls: Path | None,
            servers: tuple[Path, ...],
            timeout: float,
            tries: int,
            url: str | None = None,
            send: str | None = None,
            **parameters: Any,
        ) -> None:
            caller = Caller(home, url or send, as_folder, trust, crls, servers, timeout, tries, keys)
            function(home=home, keys=keys, caller=caller, **parameters)

        for each in reversed(options):
            run = each(run)
        return run

    return decorate


def pending_folder(folder: Path | None) -> "PendingFolder | None":
    """The requests that are answered later, if there is a folder for them."""
    if folder is None:
        return None
    from smpki.participant.pending import PendingFolder

    return PendingFolder(folder)


PENDING = click.option(
    "--pending", type=_FOLDER, help="The CA may answer later: to `smpki participant receive` with the same folder."
)


def show_brought(
    output: Output, caller: Caller, file: Path, signer: Path, bring: "Callable[[WebService], Awaitable[None]]"
) -> None:
    """Bring a signed request to the CA, if it is to be sent, and show what was done.

    :param file: what it is kept in
    :param signer: whose triple is shown where ``--as`` names none
    """

    async def sent() -> None:
        async with caller.access(signer).open() as service:
            await bring(service)

    if caller.url is not None:
        asyncio.run(sent())
    done = {} if caller.url is None else {"state": "done"}
    output.show({"files": [str(file)], **done}, "\n".join([str(file), *done.values()]))
