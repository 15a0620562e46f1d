"""A PKI for the desk."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("ca_fixtures", Path(__file__).parents[2] / "ca" / "conftest.py")
assert _spec is not None and _spec.loader is not None
ca = sys.modules.get("ca_fixtures")
if ca is None:
    ca = sys.modules["ca_fixtures"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(ca)

_workshop_template, workshops, workshop, packages = ca._workshop_template, ca.workshops, ca.workshop, ca.packages
