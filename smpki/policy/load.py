"""Load a policy file: YAML in, a checked :class:`~smpki.policy.model.Policy` out, complaints with path and line."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import yaml
from pydantic import ValidationError

from smpki.errors import PolicyError
from smpki.policy.consistency import contradictions
from smpki.policy.model import Policy

YamlPath = tuple[str | int, ...]


def default_policy_text() -> str:
    """The text of the policy that comes with the package."""
    packaged = resources.files("smpki.policy") / "root-cp.yaml"
    source_tree = Path(__file__).parents[2] / "policies" / "root-cp.yaml"
    return (packaged if packaged.is_file() else source_tree).read_text(encoding="utf-8")


def load_policy(text: str, *, name: str = "root-cp.yaml") -> Policy:
    """Read and check a policy.

    :param text: the YAML document
    :param name: what to call the file in messages
    :raises PolicyError: ``policy.*``; ``where`` is ``file:line: path`` of the first complaint, the message
        counts the others
    """
    root = _compose(text, name)
    lines = dict(_lines(root))
    try:
        policy = Policy.model_validate(_construct(root, name))
    except ValidationError as error:
        complaints = [(_existing(found["loc"], lines), _plain(found["type"], found["msg"])) for found in error.errors()]
        raise _refused("policy.invalid", complaints, lines, name) from None
    complaints = list(contradictions(policy))
    if complaints:
        raise _refused("policy.contradiction", complaints, lines, name)
    return policy


def _compose(text: str, name: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        problem = getattr(error, "problem", None) or "not readable as YAML"
        raise PolicyError("policy.yaml", f"{problem}", where=where, hint="mend the YAML syntax in this line") from None
    except (ValueError, RecursionError):
        raise PolicyError("policy.yaml", "not readable as YAML", where=name, hint="is it a policy file?") from None
    if root is None:
        raise PolicyError("policy.yaml", "the file is empty", where=name, hint="start from: smpki policy show --yaml")
    return root


def _construct(root: yaml.Node, name: str) -> object:
    _refuse_repeated_keys(root, name)
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(root)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        raise PolicyError(
            "policy.yaml", "a value is not readable as YAML", where=where, hint="mend this line"
        ) from None
    finally:
        loader.dispose()


def _refuse_repeated_keys(root: yaml.Node, name: str) -> None:
    waiting, seen_nodes = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen_nodes:
            continue
        seen_nodes.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                where = f"{name}:{key.start_mark.line + 1}"
                if not isinstance(key, yaml.ScalarNode):
                    raise PolicyError("policy.yaml", "a key is no plain text", where=where, hint="mend this line")
                if key.value in seen:
                    message = f"the key {key.value} is there twice"
                    raise PolicyError("policy.yaml", message, where=where, hint="keep one of the two")
                seen.add(key.value)
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)


def _lines(node: yaml.Node, path: YamlPath = ()) -> Iterator[tuple[YamlPath, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), key.start_mark.line + 1
            for deeper, line in _lines(value, (*path, key.value)):
                if deeper != (*path, key.value):
                    yield deeper, line
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*path, index))


def _existing(location: tuple[str | int, ...], lines: dict[YamlPath, int]) -> YamlPath:
    """The part of pydantic's location that stands in the file (it adds words of its own) or is missing there."""
    path: YamlPath = ()
    for step in location:
        if (*path, step) in lines:
            path = (*path, step)
        elif step == location[-1]:
            return (*path, step)
    return path


def _plain(kind: str, message: str) -> str:
    known = {"extra_forbidden": "unknown key", "missing": "missing"}
    return known.get(kind, message.removeprefix("Value error, "))


def _refused(code: str, complaints: list[tuple[YamlPath, str]], lines: dict[YamlPath, int], name: str) -> PolicyError:
    path, message = complaints[0]
    line = next(lines[path[:length]] for length in range(len(path), -1, -1) if path[:length] in lines)
    more = f" ({len(complaints) - 1} more complaints)" if len(complaints) > 1 else ""
    where = f"{name}:{line}: {'.'.join(str(step) for step in path)}"
    return PolicyError(code, message + more, where=where, hint="mend this line, then run: smpki policy check FILE")
