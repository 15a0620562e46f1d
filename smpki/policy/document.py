"""YAML documents that people write and review: read into a pydantic model, complaints with path and line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from smpki.errors import SmpkiError

M = TypeVar("M", bound=BaseModel)

YamlPath = tuple[str | int, ...]
Complaint = tuple[YamlPath, str]
"""The path in the document, and what is wrong there."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # reads the same, ten times as fast where libyaml is at hand
_DEEPEST = 32  # levels; a policy needs nine, and libyaml's recursion has no limit of its own


@dataclass(frozen=True)
class Wording:
    """What complaints about one kind of document are called.

    :param error: the class of the errors
    :param area: the first part of their codes: ``policy`` stands for ``policy.yaml`` and ``policy.invalid``
    :param hint: what to do about a complaint
    :param start: what to do about an empty file
    """

    error: type[SmpkiError]
    area: str
    hint: str
    start: str


class Document:
    """A document whose YAML was read; :meth:`load` makes values of it.

    :param text: YAML without aliases, tags and repeated keys
    :param name: what to call the file in messages
    :raises SmpkiError: ``<area>.yaml``; ``where`` is ``file:line: path``, as far as it is known
    """

    def __init__(self, text: str, name: str, wording: Wording) -> None:
        self._name = name
        self._wording = wording
        self._root = self._compose(text)
        self._lines = self._find_lines()

    def load(self, model: type[M], context: Mapping[str, object] | None = None) -> M:
        """The document as a value of a pydantic model.

        :param context: what the model's validators are told besides
        :raises SmpkiError: ``<area>.invalid``
        """
        try:
            return model.model_validate(self._construct(), context=context)
        except ValidationError as error:
            complaints = [
                (self._existing(found["loc"]), _plain(found["type"], found["msg"])) for found in error.errors()
            ]
            raise self.refusal("invalid", complaints) from None

    def refusal(self, rule: str, complaints: Sequence[Complaint]) -> SmpkiError:
        """The error for what speaks against the document.

        :param rule: the last part of its code
        :param complaints: at least one; ``where`` is that of the first, the message counts the others
        """
        path, message = complaints[0]
        line = next(self._lines[path[:length]] for length in range(len(path), -1, -1) if path[:length] in self._lines)
        more = f" ({len(complaints) - 1} more complaints)" if len(complaints) > 1 else ""
        return self._error(rule, message + more, line, path)

    def _error(self, rule: str, message: str, line: int | None, path: YamlPath = ()) -> SmpkiError:
        """``line`` counts from 0."""
        place = self._name if line is None else f"{self._name}:{line + 1}"
        where = f"{place}: {_dotted(path)}" if path else place
        return self._wording.error(f"{self._wording.area}.{rule}", message, where=where, hint=self._wording.hint)

    def _compose(self, text: str) -> yaml.Node:
        try:
            self._check_shape(text)
            root = yaml.compose(text, Loader=_LOADER)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or "not readable as YAML"
            raise self._error("yaml", problem, mark.line if mark else None) from None
        except ValueError:  # half a surrogate pair
            raise self._error("yaml", "not readable as YAML", None) from None
        if root is None:
            code, hint = f"{self._wording.area}.yaml", self._wording.start
            raise self._wording.error(code, "the file is empty", where=self._name, hint=hint)
        return root

    def _check_shape(self, text: str) -> None:
        """Refuse what nobody needs here and what could fill memory or stack: aliases, tags, deep nesting."""
        depth = 0
        for event in yaml.parse(text, Loader=_LOADER):
            line = event.start_mark.line if event.start_mark else None
            if isinstance(event, yaml.AliasEvent):
                raise self._error("yaml", "an alias; write the value out where it is meant", line)
            if getattr(event, "tag", None) is not None:
                raise self._error("yaml", "a tag; values are plain YAML", line)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _DEEPEST:
                    raise self._error("yaml", f"more than {_DEEPEST} levels", line)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1

    def _find_lines(self) -> dict[YamlPath, int]:
        lines: dict[YamlPath, int] = {}
        for path, line, _ in _nodes(self._root, (), self._root.start_mark.line):
            if path and isinstance(path[-1], list):
                raise self._error("yaml", "a key is no plain text", line)
            if path in lines:
                raise self._error("yaml", f"the key {_dotted(path)} is there twice; keep one of the two", line)
            lines[path] = line
        return lines

    def _construct(self) -> object:
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(self._root)
        except (yaml.YAMLError, ValueError):
            raise self._unreadable_value() from None
        finally:
            loader.dispose()

    def _unreadable_value(self) -> SmpkiError:
        """Which value it was that PyYAML could not make sense of, such as the date 2025-02-30."""
        for path, line, node in _nodes(self._root, (), self._root.start_mark.line):
            try:
                if isinstance(node, yaml.ScalarNode):
                    yaml.SafeLoader("").construct_object(node)
            except (yaml.YAMLError, ValueError):
                return self._error("yaml", "a value that is not readable as YAML", line, path)
        return self._error("yaml", "a value is not readable as YAML", None)

    def _existing(self, location: YamlPath) -> YamlPath:
        """The part of pydantic's location that stands in the file (it adds words of its own) or is missing there."""
        path: YamlPath = ()
        location = tuple(step for step in location if step != "[key]")
        for step in location:
            if (*path, step) in self._lines:
                path = (*path, step)
            elif step == location[-1]:
                return (*path, step)
        return path


def _nodes(node: yaml.Node, path: YamlPath, line: int) -> Iterator[tuple[YamlPath, int, yaml.Node]]:
    """Every node from ``node`` down with its path, and the line (from 0) of its key or item."""
    yield path, line, node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _nodes(value, (*path, key.value), key.start_mark.line)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _nodes(value, (*path, index), value.start_mark.line)


def _plain(kind: str, message: str) -> str:
    known = {"extra_forbidden": "unknown key", "missing": "missing"}
    return known.get(kind, message.removeprefix("Value error, "))


def _dotted(path: YamlPath) -> str:
    return ".".join(str(step) for step in path)
