"""How fast are certificates issued, compared with the cryptography alone, and by two workers compared with one?

In short rounds, one after another: the cryptography alone on one core (verify a proof of possession, sign once with the
Sub-CA's key), the whole pipeline in one process, the whole pipeline in two. The ratios are medians of what the rounds
say, so that a machine that is busy with something else for a while does not spoil them.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import machine, parser, print_json, print_table
from pkis import SUB_CA, BenchmarkPki, in_memory, in_softhsm
from workers import Issue, Limit, Workers

from smpki.ca.batch import CHUNK
from smpki.ca.store.records import ListedCertificate
from smpki.ca.store.store import Store
from smpki.ca.unit import load
from smpki.errors import SmpkiError

_FEWEST_ROUNDS = 3
_BACK_ENDS: Mapping[str, Callable[[Path, str | None], BenchmarkPki]] = {"softhsm": in_softhsm, "software": in_memory}


@dataclass(frozen=True)
class Round:
    """Certificates per second.

    :param limit: of the cryptography alone
    :param one: issued by one worker
    :param two: issued by two workers together
    """

    limit: float
    one: float
    two: float


class Packages:
    """Fresh packages in lots, made outside the measured time; every PKI gets the same.

    :param each: packages in a lot
    """

    def __init__(self, each: int) -> None:
        self.each = each
        self._lots: list[list[bytes]] = []

    def lot(self, number: int, workers: Workers) -> list[bytes]:
        """A lot by its number."""
        while len(self._lots) <= number:
            first = len(self._lots) * self.each
            self._lots.append(workers.make(range(first, first + self.each)))
        return self._lots[number]


def measure(pki: BenchmarkPki, packages: Packages, seconds: float) -> list[Round]:
    """Rounds until the time is over; every other one in the opposite order."""
    end = time.monotonic() + seconds
    rounds: list[Round] = []
    with Workers(pki, 2) as workers:
        while len(rounds) < _FEWEST_ROUNDS or time.monotonic() < end:
            one, *two = (packages.lot(3 * len(rounds) + at, workers) for at in range(3))
            tasks: dict[str, Sequence[Limit | Issue]] = {
                "limit": [Limit(one)],
                "one": [Issue(one)],
                "two": [Issue(lot) for lot in two],
            }
            rates = {}
            for name in tasks if len(rounds) % 2 == 0 else reversed(tasks):
                certificates = 3 * packages.each * len(tasks[name])
                rates[name] = certificates / workers.seconds(tasks[name])
            rounds.append(Round(**rates))
    return rounds


def check(pki: BenchmarkPki, granted: int) -> None:
    """See that everything is stored, that signatures hold (of one certificate in fifty) and that the audit does.

    :param granted: packages
    :raises SystemExit: otherwise
    """
    with pki.open() as opened:
        authority = opened.authorities.sub_ca(SUB_CA).certificate
        serials = [listed.serial for listed in _issued(opened.store)]
        for serial in serials[::50]:
            load(opened.store.get(serial)).verify_directly_issued_by(authority)
    report = pki.verify_audit()
    if len(serials) != 3 * granted or report.entries < granted or not report.holds:
        raise SystemExit(f"{len(serials)} certificates are stored for {granted} packages; audit: {report.findings}")


def _issued(store: Store) -> Iterator[ListedCertificate]:
    after = None
    while True:
        page = store.page(kind="emt", after=after, limit=1000)
        yield from page.certificates
        if (after := page.next) is None:
            return


def main() -> None:
    """Measure both back-ends and print."""
    options = parser("How fast certificates are issued, compared with the cryptography alone, and by two workers.")
    options.add_argument("--generation", help="of the Sub-CA's key, such as 2015; what the policy says today otherwise")
    options.add_argument("--folder", type=Path, help="where to make the PKIs: on the disk that is to be measured")
    chosen = options.parse_args()
    seconds, chunks = (7.0, 2) if chosen.quick else (60.0, 4)
    packages = Packages(chunks * CHUNK)
    begin = time.monotonic()
    rounds: dict[str, list[Round]] = {}
    with tempfile.TemporaryDirectory(prefix="smpki-benchmark-", dir=chosen.folder) as name:
        about = machine(Path(name))
        for back_end, make in _BACK_ENDS.items():
            pki = make(Path(name) / back_end, chosen.generation)
            rounds[back_end] = measure(pki, packages, seconds)
            check(pki, 3 * packages.each * len(rounds[back_end]))
        with pki.open() as opened:
            issuer = opened.authorities.sub_ca(SUB_CA)
    result = {
        "benchmark": "issuance",
        "ratios": {
            **{f"{name}_of_limit": _median(one.one / one.limit for one in those) for name, those in rounds.items()},
            **{f"{name}_two_workers": _median(one.two / one.one for one in those) for name, those in rounds.items()},
        },
        "certificates_per_second": {
            name: {rate: _median((getattr(one, rate) for one in those), 1) for rate in ("limit", "one", "two")}
            for name, those in rounds.items()
        },
        "rounds": {name: len(those) for name, those in rounds.items()},
        "curve": issuer.key.curve.name,
        "hash": issuer.hash,
        "packages_per_batch": CHUNK,
        "packages_per_measurement": packages.each,
        "machine": about,
        "seconds": round(time.monotonic() - begin, 1),
    }
    if chosen.json:
        print_json(result)
    else:
        _print(result)


def _median(values: Iterable[float], digits: int = 3) -> float:
    return round(statistics.median(values), digits)


def _print(result: Mapping[str, Any]) -> None:
    print(f"Sub-CA key on {result['curve']}, {result['hash']}; certificates per second, medians of the rounds\n")
    ratios = result["ratios"]
    print_table(
        ("keys", "cryptography alone", "one worker", "of that", "two workers", "of one", "rounds"),
        [
            (
                name,
                f"{rates['limit']:.0f}",
                f"{rates['one']:.0f}",
                f"{ratios[f'{name}_of_limit']:.2f}",
                f"{rates['two']:.0f}",
                f"{ratios[f'{name}_two_workers']:.2f}",
                str(result["rounds"][name]),
            )
            for name, rates in result["certificates_per_second"].items()
        ],
    )
    about = result["machine"]
    print(
        f"\n{result['packages_per_batch']} packages of three certificates share two durable commits;"
        f" an fsync takes {about['fsync_ms']} ms."
        f"\n{about['cpus']} processors, load {about['load']} at the start; {result['seconds']} s in all."
    )


if __name__ == "__main__":
    try:
        main()
    except SmpkiError as error:
        raise SystemExit(f"refused: {error}\n   hint: {error.hint}") from None
