"""How long does a CRL of a thousand, a hundred thousand, a million entries take, and how much memory?

For each size a process of its own opens the PKI, whose Sub-CA has revoked so many certificates by then, and issues the
Sub-CA's CRL: reads the rows, builds, lints, records, signs and stores. Then it revokes single certificates beside all
the others. The rows are made by the database beforehand and are not part of the time.
"""

import itertools
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import machine, parser, print_json, print_table
from packages import make_packages
from pkis import SUB_CA, BenchmarkPki, in_memory
from revoked import revoke_many

from smpki.ca.triples import Order

_SIZES = (1_000, 100_000, 1_000_000)
_REVOCATIONS = 9


def measure(pki: BenchmarkPki, number: int) -> dict[str, float]:
    """Issue the CRL, then revoke. In a process of its own, so that its memory is that of this work alone.

    :param number: of the measurement
    """
    with pki.open() as opened:
        begin = time.perf_counter()
        (outcome,) = opened.crls.issue(names=[SUB_CA])
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if outcome.record is None:
            raise SystemExit(f"no CRL was issued: {outcome.error}")
        taken = []
        issued = opened.store.page(kind="emt", limit=_REVOCATIONS * (number + 1)).certificates
        for listed in issued[-_REVOCATIONS:]:
            begin = time.perf_counter()
            opened.revocations.revoke([listed.serial], "superseded", triple=False)
            taken.append(time.perf_counter() - begin)
        size = len(opened.store.crls.der(outcome.record))
    return {
        "entries": outcome.record.entries,
        "seconds": round(seconds, 2),
        "max_rss_mb": round(peak, 1),
        "size_mb": round(size / 1_000_000, 1),
        "revoke_ms": round(statistics.median(taken) * 1000, 2),
    }


def make(folder: Path, generation: str | None, measurements: int) -> tuple[BenchmarkPki, str]:
    """A PKI that has issued what each measurement will revoke, and the serial number of its Sub-CA."""
    pki = in_memory(folder, generation)
    with pki.open() as opened:
        issuer = opened.store.authorities(cn=SUB_CA)[0]
        made = make_packages(opened.policy, range(measurements * _REVOCATIONS // 3))
        opened.issue([Order(str(number), data) for number, data in enumerate(made)], SUB_CA)
    return pki, issuer.serial


def main() -> None:
    """Measure each size and print."""
    options = parser("How long CRLs take, and how much memory.")
    options.add_argument("--generation", help="of the Sub-CA's key, such as 2015; what the policy says today otherwise")
    options.add_argument("--folder", type=Path, help="where to make the PKIs: on the disk that is to be measured")
    chosen = options.parse_args()
    begin = time.monotonic()
    sizes: list[dict[str, float]] = []
    rounds = 1 if chosen.quick else 3
    with tempfile.TemporaryDirectory(prefix="smpki-benchmark-", dir=chosen.folder) as name:
        about = machine(Path(name))
        folder = Path(name) / "pki"
        pki, issuer_serial = make(folder, chosen.generation, rounds * len(_SIZES))
        numbers = itertools.count()
        for entries in _SIZES:
            revoke_many(folder / "smpki.db", issuer_serial, entries)
            found = [in_a_process(pki, next(numbers)) for _ in range(rounds)]
            sizes.append({field: statistics.median(one[field] for one in found) for field in found[0]})
    result = {
        "benchmark": "crl",
        **sizes[-1],
        "sizes": sizes,
        "machine": about,
        "seconds_in_all": round(time.monotonic() - begin, 1),
    }
    if chosen.json:
        print_json(result)
    else:
        _print(result)


def in_a_process(pki: BenchmarkPki, number: int) -> dict[str, float]:
    """What :func:`measure` says in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (pki, number))


def _print(result: Mapping[str, Any]) -> None:
    print_table(
        ("entries", "seconds", "memory at most", "size", "to revoke one"),
        [
            (
                f"{one['entries']:,}",
                f"{one['seconds']:.2f}",
                f"{one['max_rss_mb']:.0f} MB",
                f"{one['size_mb']:.1f} MB",
                f"{one['revoke_ms']:.1f} ms",
            )
            for one in result["sizes"]
        ],
    )
    about = result["machine"]
    print(
        f"\nAn fsync takes {about['fsync_ms']} ms."
        f"\n{about['cpus']} processors, load {about['load']} at the start; {result['seconds_in_all']} s in all."
    )


if __name__ == "__main__":
    main()
