"""What all commands share: --home and --json, refusals on the error stream, the way to the PKI."""

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from smpki.errors import SmpkiError

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.ca.surroundings import Surroundings

F = TypeVar("F", bound=Callable[..., Any])
_FOLDER = click.Path(file_okay=False, path_type=Path)

JsonValue = Mapping[str, object] | list[object]


class Output:
    """Where a command prints: one JSON value, or text for people."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def show(self, value: JsonValue, text: str) -> None:
        """Print ``value`` as JSON, or ``text``."""
        if self.as_json:
            click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
        elif text:
            click.echo(text)

    def table(self, value: JsonValue, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Print ``value`` as JSON, or ``rows`` as a table."""
        if self.as_json:
            self.show(value, "")
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        width = None if sys.stdout.isatty() else 200
        Console(width=width, highlight=False).print(table)


def printable(text: str) -> str:
    """Text that can't move the terminal's cursor or reorder what stands beside it."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )


def command(
    name: str, *, first: Callable[[Mapping[str, Any]], None] | None = None, **keywords: Any
) -> Callable[[F], click.Command]:
    """A click command with --home and --json, whose refusals are printed and end with 1.

    The function gets ``home`` (:class:`smpki.ca.home.Home`) and ``output`` (:class:`Output`) before its own parameters.

    :param first: called with the parameters before anything is imported that brings cryptography along
    """

    def decorate(function: F) -> click.Command:
        @functools.wraps(function)
        def run(home: Path | None, as_json: bool, **parameters: Any) -> None:
            context = click.get_current_context()
            for name, value in parameters.items():
                if isinstance(value, str) and not value.isprintable() and not _is_text(value):
                    raise click.BadParameter("this is not text in UTF-8", param_hint=name)
            try:
                if first:
                    first(parameters)
                function(home=_home(home or context.obj), output=Output(as_json), **parameters)
            except SmpkiError as error:
                refuse(error, as_json)
                context.exit(1)

        made = click.command(name, click.Command, **keywords)(run)
        made.params += [
            click.Option(["--home"], type=_FOLDER, help="The PKI's folder (SMPKI_HOME)."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ]
        return made

    return decorate


def _is_text(value: str) -> bool:
    """Whether an argument can be encoded; octets that are no UTF-8 reach Python as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def refuse(error: SmpkiError, as_json: bool) -> None:
    """Print a refusal: JSON on the output where JSON was asked for, text on the error stream otherwise."""
    if as_json:
        click.echo(json.dumps({"error": error.as_dict()}, indent=2, ensure_ascii=False))
        return
    click.echo(printable(f"refused: {error}"), err=True)
    if error.hint:
        click.echo(printable(f"   hint: {error.hint}"), err=True)


def _home(folder: Path | None) -> "Home":
    from smpki.ca.home import Home

    return Home(home_folder(folder))


def home_folder(given: Path | None) -> Path:
    """The PKI's folder: the given one, or where data of programs is kept."""
    return given or Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "smpki"


def surroundings() -> "Surroundings":
    """This process's environment; a PIN is asked for at a terminal only."""
    from smpki.ca.surroundings import process_surroundings

    def ask() -> str:
        answer: str = click.prompt("PIN of the token", hide_input=True, err=True)
        return answer

    said: set[str] = set()

    def warn(message: str) -> None:
        if message not in said:
            said.add(message)
            click.echo(message, err=True)

    return process_surroundings(ask if sys.stdin.isatty() else None, warn)


def rfc3339(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Callback of an option that is a time: RFC 3339, with a time zone; ``None`` where it was not given."""
    try:
        given = datetime.fromisoformat(value) if value else None
        if given is None or given.tzinfo is not None:
            return given and given.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise click.BadParameter(f"{value!r} is no RFC 3339 time with a time zone, such as 2026-11-22T12:00:00Z")


def host_and_port(text: str, default: int, *, lowest: int = 1) -> tuple[str, int]:
    """Host and port of ``HOST``, ``HOST:PORT``, ``[IPV6]:PORT`` or a bare IPv6 address.

    :param default: port where there is none
    :raises click.BadParameter: it is none of these
    """
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, str(default)
    if port.isascii() and port.isdigit() and lowest <= int(port) < 0x10000 and (host := host.strip("[]")):
        return host, int(port)
    raise click.BadParameter(f"{text!r} is not HOST or HOST:PORT", param_hint="HOST[:PORT]")


def read_file(path: Path, limit: int = 256 * 1024 * 1024) -> bytes:
    """The content of a file that the user named, at most ``limit`` octets of it.

    :raises SmpkiError: ``file.unreadable``
    """
    try:
        with path.open("rb") as stream:
            return stream.read(limit)
    except OSError as error:
        message = f"can't be read: {error.strerror}"
        raise SmpkiError("file.unreadable", message, where=str(path), hint="check the path") from None
