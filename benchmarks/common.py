"""What all benchmarks share: their options, how they print, and what they say of the machine."""

import json
import os
import platform
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path

import cryptography

_FSYNCS = 25


def parser(description: str) -> ArgumentParser:
    """A parser with ``--quick`` and ``--json``."""
    made = ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="less exact, in under 40 seconds")
    made.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return made


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    widths = [max(len(row[at]) for row in (columns, *rows)) for at in range(len(columns))]
    for row in (columns, *rows):
        cells = zip(row, widths, strict=True)
        print("  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(cells)))


def print_json(result: Mapping[str, object]) -> None:
    """Print one JSON object."""
    print(json.dumps(result, indent=2))


def machine(folder: Path) -> dict[str, object]:
    """What figures depend on; measured while nothing else of the benchmark runs.

    :param folder: where the benchmark's database lies
    """
    return {
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "fsync_ms": round(_fsync_seconds(folder) * 1000, 2),
        "python": platform.python_version(),
        "cryptography": cryptography.__version__,
    }


def _fsync_seconds(folder: Path) -> float:
    """The median time to make a block durable."""
    taken = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(_FSYNCS):
            file.write(bytes(4096))
            file.flush()
            begin = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken)
