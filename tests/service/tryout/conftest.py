"""A PKI, and somebody who tries."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("web_fixtures", Path(__file__).parents[1] / "web" / "conftest.py")
assert _spec is not None and _spec.loader is not None
web = sys.modules.setdefault("web_fixtures", importlib.util.module_from_spec(_spec))
if not hasattr(web, "World"):
    _spec.loader.exec_module(web)

_workshop_template, workshops, workshop, packages = web._workshop_template, web.workshops, web.workshop, web.packages
world, other_pki = web.world, web.other_pki
