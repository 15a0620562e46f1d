"""Run every benchmark, one after another, and write what they say to docs/performance.md."""

import json
import subprocess
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HERE = Path(__file__).parent
_BENCHMARKS = ("issuance", "renewal", "crl", "gateway", "provisioning", "delivery", "service", "portal")


def main() -> None:
    """Measure and write."""
    options = ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="less exact, in under five minutes")
    options.add_argument("--out", type=Path, default=_HERE.parent / "docs" / "performance.md")
    chosen = options.parse_args()
    results = {name: _run(name, quick=chosen.quick) for name in _BENCHMARKS}
    templates = Environment(loader=FileSystemLoader(_HERE), undefined=StrictUndefined, keep_trailing_newline=True)
    text = templates.get_template("performance.md.j2").render(date=f"{datetime.now(UTC):%Y-%m-%d}", **results)
    chosen.out.write_text(text, encoding="utf-8")
    print(chosen.out)


def _run(name: str, *, quick: bool) -> object:
    print(f"{name} ...", file=sys.stderr, flush=True)
    command = [sys.executable, str(_HERE / f"{name}.py"), "--json", *(["--quick"] if quick else [])]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


if __name__ == "__main__":
    main()
