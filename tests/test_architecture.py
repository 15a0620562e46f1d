"""docs/architecture.md holds: who imports whom, where SQL and the clock are, how long a module may be."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {"smpki": ROOT / "smpki", "smpki_cli": ROOT / "cli" / "smpki_cli"}

FLOORS = (
    {"smpki.errors", "smpki.events", "smpki.asn1"},
    {"smpki.policy", "smpki.hsm", "smpki.tls", "smpki.db"},
    {"smpki.requests", "smpki.trust", "smpki.soap"},
    {"smpki.ca", "smpki.participant", "smpki.gateway"},
    {"smpki.service"},
    {"smpki_cli"},
)
"""The rooms by floor, from the ground up; a room imports from its own floor and those below."""

STRANGERS = FLOORS[3]
"""These rooms don't import one another: what one needs of another comes in as an argument."""

COMPOSITION_ROOT = ("smpki.ca.surroundings", "smpki_cli", "smpki.hsm.inittoken")
"""Only here the clock and the environment are touched; inittoken is a program of its own, run by SoftHSM's set-up."""

LONGEST_MODULE = 400


@cache
def modules() -> Mapping[str, Path]:
    """Every module of the packages by its dotted name."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in folder.rglob("*.py"):
            parts = [package, *file.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imported_names(module: str) -> Iterator[str]:
    """Everything a module imports, wherever the statement stands: ``package.module`` or ``package.module.name``."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(module: str) -> set[str]:
    """The modules of this project that a module imports."""
    names = {name if name in modules() else name.rpartition(".")[0] for name in imported_names(module)}
    return names & modules().keys() - {module}


def room(module: str) -> str:
    """``smpki.ca`` for ``smpki.ca.store.audit``."""
    return ".".join(module.split(".")[: 2 if module.startswith("smpki.") else 1])


def floor(module: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(module) in rooms)


def imports() -> Iterator[tuple[str, str]]:
    for module in sorted(modules()):
        for other in sorted(imported_modules(module)):
            if other != "smpki":  # the package itself: its version
                yield module, other


def test_every_module_has_a_place_in_the_picture() -> None:
    known = set[str]().union(*FLOORS)
    assert {room(module) for module in modules()} - known == {"smpki"}
    assert not imported_modules("smpki")


def test_no_import_runs_upwards() -> None:
    assert [(one, other) for one, other in imports() if floor(one) < floor(other)] == []


def test_the_rooms_of_ca_participant_and_gateway_do_not_know_each_other() -> None:
    forbidden = {(one, other) for one, other in product(STRANGERS, STRANGERS) if one != other}
    assert [(one, other) for one, other in imports() if (room(one), room(other)) in forbidden] == []


def circle(edges: Iterable[tuple[str, str]]) -> list[str]:
    """A way round, if there is one."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for one, other in edges:
        if one != other:
            sorter.add(one, other)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_between_rooms() -> None:
    assert circle((room(one), room(other)) for one, other in imports()) == []


def test_no_circle_between_modules() -> None:
    assert circle(imports()) == []


def test_sql_stands_in_db_and_the_rooms_stores_only() -> None:
    sql = {"sqlalchemy", "sqlmodel", "alembic"}
    outside = [module for module in modules() if room(module) != "smpki.db" and ".store" not in module]
    assert [module for module in outside if sql & {name.split(".")[0] for name in imported_names(module)}] == []


SURROUNDINGS = {
    *("os.environ", "os.environb", "os.getenv", "os.putenv"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("time.time", "time.time_ns", "time.localtime", "time.gmtime"),
}


def surroundings_used(module: str) -> set[str]:
    attributes = (node for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute))
    used = {".".join(ast.unparse(node).split(".")[-2:]) for node in attributes}
    return SURROUNDINGS & (used | set(imported_names(module)))


def test_only_the_composition_root_looks_at_clock_and_environment() -> None:
    others = (module for module in modules() if not module.startswith(COMPOSITION_ROOT))
    assert {module: used for module in others if (used := surroundings_used(module))} == {}


def test_no_module_is_too_long() -> None:
    lines = {module: len(file.read_text(encoding="utf-8").splitlines()) for module, file in modules().items()}
    assert {module: length for module, length in lines.items() if length > LONGEST_MODULE} == {}


# One machine's folders, package indexes, notes that don't come along.
ELSEWHERE = re.compile(
    r"(?<![\w.~}$:/-])/(home|Users|work)/\w"
    r"|\b(pypi\.org|pythonhosted\.org|npmjs\.(com|org)|docker\.io|proxy\.golang\.org)\b"
    r"|shared/(reference|design)|fact[ -]sheet"
    r"|\bissues? [0-9]+\b(?!\.[0-9])",
    re.IGNORECASE,
)
FOLDERS = (*("smpki", "cli", "policies", "tests", "scripts", "deploy", ".ci"), *("docs", "examples", "benchmarks"))


def test_every_file_makes_sense_on_its_own() -> None:
    files = [*ROOT.iterdir(), *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*"))]
    found = []
    for file in files:
        if not file.is_file() or file.suffix == ".pyc" or file == Path(__file__):
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        found += [f"{file.relative_to(ROOT)}: {match[0]}" for match in ELSEWHERE.finditer(text)]
    assert found == []
