"""Load a policy file: YAML in, a checked :class:`~smpki.policy.model.Policy` out, complaints with path and line."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import yaml
from pydantic import ValidationError

from smpki.errors import PolicyError
from smpki.policy.consistency import Complaint, contradictions, missing_parts
from smpki.policy.model import Policy

YamlPath = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # reads the same, ten times as fast where libyaml is at hand
_HINT = "mend this line, then run: smpki policy check FILE"
_DEEPEST = 32  # levels; a policy needs nine, and libyaml's recursion has no limit of its own


def default_policy_text() -> str:
    """The text of the policy that comes with the package."""
    packaged = resources.files("smpki.policy") / "root-cp.yaml"
    source_tree = Path(__file__).parents[2] / "policies" / "root-cp.yaml"
    return (packaged if packaged.is_file() else source_tree).read_text(encoding="utf-8")


def load_policy(text: str, *, name: str = "root-cp.yaml") -> Policy:
    """Read and check a policy.

    :param text: the YAML document
    :param name: what to call the file in messages
    :raises PolicyError: ``policy.yaml``, ``policy.invalid`` or ``policy.contradiction``; ``where`` is
        ``file:line: path`` of the first complaint, the message counts the others
    """
    root = _compose(text, name)
    lines = _lines(root, name)
    try:
        policy = Policy.model_validate(_construct(root, name))
    except ValidationError as error:
        complaints = [(_existing(found["loc"], lines), _plain(found["type"], found["msg"])) for found in error.errors()]
        raise _refused("policy.invalid", complaints, lines, name) from None
    if complaints := list(missing_parts(policy)):
        raise _refused("policy.invalid", complaints, lines, name)
    if complaints := list(contradictions(policy)):
        raise _refused("policy.contradiction", complaints, lines, name)
    return policy


def _compose(text: str, name: str) -> yaml.Node:
    try:
        _check_shape(text, name)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not readable as YAML"
        raise _yaml_error(problem, name, mark.line if mark else None) from None
    except ValueError:  # half a surrogate pair
        raise _yaml_error("not readable as YAML", name, None) from None
    if root is None:
        raise PolicyError("policy.yaml", "the file is empty", where=name, hint="start from: smpki policy show --yaml")
    return root


def _check_shape(text: str, name: str) -> None:
    """Refuse what a policy has no use for and what could fill memory or stack: aliases, tags, deep nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            raise _yaml_error("an alias; write the value out, each has a source of its own", name, line)
        if getattr(event, "tag", None) is not None:
            raise _yaml_error("a tag; values are plain YAML", name, line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise _yaml_error(f"more than {_DEEPEST} levels", name, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _nodes(node: yaml.Node, path: YamlPath, line: int) -> Iterator[tuple[YamlPath, int, yaml.Node]]:
    """Every node from ``node`` down with its path, and the line (from 0) of its key or item."""
    yield path, line, node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _nodes(value, (*path, key.value), key.start_mark.line)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _nodes(value, (*path, index), value.start_mark.line)


def _lines(root: yaml.Node, name: str) -> dict[YamlPath, int]:
    lines: dict[YamlPath, int] = {}
    for path, line, _ in _nodes(root, (), root.start_mark.line):
        if path and isinstance(path[-1], list):
            raise _yaml_error("a key is no plain text", name, line)
        if path in lines:
            raise _yaml_error(f"the key {_dotted(path)} is there twice; keep one of the two", name, line)
        lines[path] = line
    return lines


def _construct(root: yaml.Node, name: str) -> object:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(root)
    except (yaml.YAMLError, ValueError):
        raise _unreadable_value(root, name) from None
    finally:
        loader.dispose()


def _unreadable_value(root: yaml.Node, name: str) -> PolicyError:
    """Which value it was that PyYAML could not make sense of, such as the date 2025-02-30."""
    for path, line, node in _nodes(root, (), root.start_mark.line):
        try:
            if isinstance(node, yaml.ScalarNode):
                yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError):
            return _yaml_error("a value that is not readable as YAML", name, line, path)
    return _yaml_error("a value is not readable as YAML", name, None)


def _existing(location: tuple[str | int, ...], lines: dict[YamlPath, int]) -> YamlPath:
    """The part of pydantic's location that stands in the file (it adds words of its own) or is missing there."""
    path: YamlPath = ()
    location = tuple(step for step in location if step != "[key]")
    for step in location:
        if (*path, step) in lines:
            path = (*path, step)
        elif step == location[-1]:
            return (*path, step)
    return path


def _plain(kind: str, message: str) -> str:
    known = {"extra_forbidden": "unknown key", "missing": "missing"}
    return known.get(kind, message.removeprefix("Value error, "))


def _refused(code: str, complaints: list[Complaint], lines: dict[YamlPath, int], name: str) -> PolicyError:
    path, message = complaints[0]
    line = next(lines[path[:length]] for length in range(len(path), -1, -1) if path[:length] in lines)
    more = f" ({len(complaints) - 1} more complaints)" if len(complaints) > 1 else ""
    return PolicyError(code, message + more, where=_where(name, line, path), hint=_HINT)


def _yaml_error(message: str, name: str, line: int | None, path: YamlPath = ()) -> PolicyError:
    return PolicyError("policy.yaml", message, where=_where(name, line, path), hint=_HINT)


def _where(name: str, line: int | None, path: YamlPath = ()) -> str:
    """``file:line: path``, as far as it is known; ``line`` counts from 0."""
    place = name if line is None else f"{name}:{line + 1}"
    return f"{place}: {_dotted(path)}" if path else place


def _dotted(path: YamlPath) -> str:
    return ".".join(str(step) for step in path)
