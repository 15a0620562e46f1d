"""Options of a server by file and by environment: the command line comes first, then the environment, then the file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import click

from smpki.errors import ServiceError, SmpkiError
from smpki_cli.common import read_file

if TYPE_CHECKING:
    from pydantic import BaseModel

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)
_ON_THE_LINE_ONLY = ("config", "check", "for")
"""What is for a trial, or says where the file is."""

_LARGEST = 1024 * 1024


def with_config(prefix: str) -> Callable[[F], F]:
    """Let all options of a command stand in a file, too (``--config``), and in the environment; last of its decorators.

    A key of the file is the option's name with ``_`` for ``-``, a variable the same in capitals behind the prefix.
    Unknown keys are refused, and relative paths are relative to the file.

    :param prefix: such as ``SMPKI_SERVE``
    """

    def decorate(function: F) -> F:
        options: list[click.Option] = function.__click_params__  # type: ignore[attr-defined]
        for option in options:
            option.envvar = option.envvar or f"{prefix}_{_key(option).upper()}"
            option.show_envvar = True  # in --help, and where a value is refused: it may stand there
        return click.option(
            "--config",
            type=_FILE,
            is_eager=True,
            expose_value=False,
            callback=_read,
            envvar=f"{prefix}_CONFIG",
            help=f"Take options from this YAML file; {prefix}_* and the command line come before it.",
        )(function)

    return decorate


def file_options(command: click.Command) -> Mapping[str, click.Option]:
    """The options that may stand in a command's file, by key."""
    found = {_key(option): option for option in command.params if isinstance(option, click.Option) and option.envvar}
    return {key: option for key, option in found.items() if key not in _ON_THE_LINE_ONLY}


def _read(ctx: click.Context, param: click.Parameter, file: Path | None) -> None:
    """Make what stands in the file the defaults of this call."""
    if file is None:
        return
    options = file_options(ctx.command)
    try:
        values = _load(file, options)
    except SmpkiError as error:
        raise click.BadParameter(f"{error}\n  hint: {error.hint}", ctx, param) from None
    ctx.default_map = {
        options[key].name or "": _from(file.parent, options[key], value) for key, value in values.items()
    }


def _load(file: Path, options: Mapping[str, click.Option]) -> dict[str, Any]:
    from smpki.policy.document import Document, Wording

    hint = "mend this line; the command's --help describes the options"
    wording = Wording(ServiceError, "configuration", hint=hint, start="write `option: value` lines into it")
    try:
        text = read_file(file, _LARGEST).decode()
    except UnicodeDecodeError:
        raise ServiceError("configuration.yaml", "this is not text in UTF-8", where=str(file), hint=hint) from None
    return Document(text, str(file), wording).load(_model(options)).model_dump(exclude_unset=True)


def _model(options: Mapping[str, click.Option]) -> "type[BaseModel]":
    from pydantic import ConfigDict, create_model

    fields: dict[str, Any] = {key: (_type(option), None) for key, option in options.items()}
    return create_model("File", __config__=ConfigDict(extra="forbid"), **fields)


def _type(option: click.Option) -> Any:
    from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

    kind = option.type
    one: Any = StrictStr | StrictInt
    if isinstance(kind, click.types.BoolParamType):
        one = StrictBool
    elif isinstance(kind, click.IntRange):
        one = Annotated[StrictInt, Field(ge=kind.min, le=kind.max)]
    elif isinstance(kind, click.FloatRange):
        one = Annotated[StrictInt | StrictFloat, Field(ge=kind.min, le=kind.max)]
    elif isinstance(kind, click.Choice):
        one = Literal[tuple(kind.choices)]
    return tuple[one, ...] if option.multiple else one


def _from(folder: Path, option: click.Option, value: Any) -> Any:
    if isinstance(option.type, click.Path):
        return [str(folder / one) for one in value] if option.multiple else str(folder / value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _key(option: click.Parameter) -> str:
    return max(option.opts, key=len).removeprefix("--").replace("-", "_")
