"""What ``pip install`` brings: everything that runs, nothing else, under licences that users can live with."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
GENERATED = ("smpki-", "smpki/policy/root-cp.yaml")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    build = [sys.executable, "-m", "pip", "wheel", "-q", *offline, "-w", folder, ROOT]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    return file


def test_the_wheel_holds_both_packages_whole_and_nothing_else(wheel: Path) -> None:
    packaged = {name for name in ZipFile(wheel).namelist() if not name.startswith(GENERATED)}
    sources = {
        file.relative_to(folder).as_posix()
        for folder, package in ((ROOT, "smpki"), (ROOT / "cli", "smpki_cli"))
        for file in (folder / package).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert packaged == sources
    assert {"smpki/py.typed", "smpki/db/migrations/env.py", "smpki/policy/templates/type.txt"} <= packaged


def test_the_wheel_holds_the_policy_and_the_licence(wheel: Path) -> None:
    with ZipFile(wheel) as files:
        assert files.read("smpki/policy/root-cp.yaml") == (ROOT / "policies" / "root-cp.yaml").read_bytes()
        (licence,) = (name for name in files.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert files.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_what_the_wheel_holds_makes_a_pki(wheel: Path, tmp_path: Path) -> None:
    ZipFile(wheel).extractall(tmp_path / "site")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SMPKI_")}
    environment |= {"PYTHONPATH": str(tmp_path / "site"), "SMPKI_HOME": str(tmp_path / "home")}

    def smpki(*arguments: str) -> dict[str, object]:
        program = "import smpki; print(smpki.__file__); from smpki_cli.main import main; main(prog_name='smpki')"
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments, "--json"],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        place, _, answer = done.stdout.partition("\n")
        assert Path(place) == tmp_path / "site" / "smpki" / "__init__.py"
        value: dict[str, object] = json.loads(answer)
        return value

    assert smpki("init")["environment"] == "test"
    assert smpki("policy", "show", "emt")


ALLOWED = {
    *("MIT", "MIT-0", "ISC", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0"),
    *("MPL-2.0", "LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later"),
    # names from before SPDX expressions
    *("MIT License", "BSD License", "Apache Software License", "Python Software Foundation License"),
    *("Mozilla Public License 2.0 (MPL 2.0)", "GNU Lesser General Public License v3 (LGPLv3)"),
}
"""Permissive and weak-copyleft licences."""


def runtime_dependencies() -> Iterator[Distribution]:
    """All that ``pip install smpki[postgresql]`` installs, as far as it is here."""
    waiting, seen = [Requirement("smpki[postgresql]")], set[str]()
    while waiting:
        wanted = waiting.pop()
        extras = ("", *sorted(wanted.extras))
        found = distribution(wanted.name)
        waiting += [
            below
            for below in map(Requirement, found.requires or ())
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras)
            if below.name not in seen
        ]
        if wanted.name not in seen:
            seen.add(wanted.name)
            yield found


def is_allowed(licence: str) -> bool:
    """Whether an SPDX expression (without parentheses) leaves a choice that is allowed."""
    return any(all(part in ALLOWED for part in choice.split(" AND ")) for choice in licence.split(" OR "))


def licences(found: Distribution) -> list[str]:
    """The SPDX expression, else what the classifiers say, else the free text."""
    if expression := found.metadata["License-Expression"]:
        return [expression]
    classifiers = (line.split(" :: ") for line in found.metadata.get_all("Classifier") or ())
    return [parts[-1] for parts in classifiers if parts[0] == "License"] or [found.metadata["License"] or "unknown"]


def test_licences_of_runtime_dependencies() -> None:
    found = {one.name: licences(one) for one in runtime_dependencies()}
    assert {"smpki", "cryptography", "python-pkcs11", "psycopg", "SQLAlchemy"} <= found.keys()
    assert {name: names for name, names in found.items() if not all(map(is_allowed, names))} == {}
