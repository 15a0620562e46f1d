"""Modules that the soak is made of."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).parent


def _load(name: str, path: Path) -> Any:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


_gwa = _load("gwa_world", HERE.parent / "service" / "administrator" / "conftest.py")
sys.modules["soak_gwa"] = SimpleNamespace(gwa=_gwa, ca=_gwa.ca)  # type: ignore[assignment]
for part in ("leaping", "faults", "cast"):
    _load(f"soak_{part}", HERE / f"{part}.py")
