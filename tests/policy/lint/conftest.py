from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def workshop(workshop_of: Callable[[Path], Any]) -> Any:
    return workshop_of(Path(__file__).parent / "bases.yaml")
