"""Finds the error codes that the sources name."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

from smpki import errors
from smpki.requests.signature import Layer

SOURCES = Path(errors.__file__).parent
KINDS = {name for name, value in vars(errors).items() if isinstance(value, type)}

TABLES = ("conflicts.py", "failures.py")
"""Modules that keep codes in tables."""

_CODE = re.compile(r"[a-z_]+(\.[a-z_]+)+")


def codes_in(*folders: str) -> set[str]:
    """The codes of errors that are raised there; ``*`` is for a part that is only known when the code runs."""
    return {code for file in _files(folders) for code in _codes(_parsed(file), in_tables=file.name in TABLES)}


def texts_in(*folders: str) -> set[str]:
    """All literal texts there, parts of formatted ones too."""
    return {text for file in _files(folders) for text in _texts(_parsed(file))}


def _files(folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        yield from (SOURCES / folder).rglob("*.py")


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _texts(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _codes(module: ast.Module, *, in_tables: bool) -> Iterator[str]:
    if in_tables:
        yield from filter(_CODE.fullmatch, _texts(module))
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    around = {id(node): function for function in functions for node in ast.walk(function)}
    for call in _calls(module):
        if _called(call) not in KINDS or not call.args:
            continue
        match call.args[0]:
            case ast.Constant(str(code)):
                yield code
            case ast.JoinedStr(parts):
                choices = [_choices(part, around.get(id(call)), module) for part in parts]
                yield from map("".join, product(*choices))


def _choices(part: ast.expr, function: ast.FunctionDef | None, module: ast.Module) -> list[str]:
    """What a part of a formatted text may be: what stands there, the layers of signatures, what callers pass."""
    match part:
        case ast.Constant(str(text)):
            return [text]
        case ast.FormattedValue(value) if ast.unparse(value).endswith("layer"):
            return list(Layer)
        case ast.FormattedValue(ast.Name(name)) if function is not None:
            return sorted(set(_passed(function, name, module))) or ["*"]
    return ["*"]


def _passed(function: ast.FunctionDef, parameter: str, module: ast.Module) -> Iterator[str]:
    names = [argument.arg for argument in function.args.args]
    method = names[:1] == ["self"]
    if parameter not in names:
        return
    for call in _calls(module):
        if _called(call) == function.name and isinstance(call.func, ast.Attribute) == method:
            given = dict(zip(names[method:], call.args, strict=False)) | {
                word.arg: word.value for word in call.keywords
            }
            match given.get(parameter):
                case ast.Constant(str(text)):
                    yield text
                case _:
                    yield "*"


def _calls(module: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module) if isinstance(node, ast.Call))


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
