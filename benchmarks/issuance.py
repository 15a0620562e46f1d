"""How fast are certificates issued, compared with the cryptography alone, and by two workers compared with one?

In short rounds, one after another: the cryptography alone on one core (verify a proof of possession, sign once with the
Sub-CA's key), the whole pipeline in one process, the whole pipeline in two; with keys in SoftHSM and in memory. The
ratios are medians of what the rounds say, so that a machine that is busy with something else for a while does not spoil
them. Packages are made outside the measured time. In the end all certificates have to be there, and the audit to hold.
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

_BACK_ENDS: Mapping[str, Callable[[Path, str | None], BenchmarkPki]] = {"softhsm": in_softhsm, "software": in_memory}
_HALF = CHUNK // 2
_QUICK, _LONG = 30.0, 120.0  # seconds from the start in which rounds have to end


@dataclass(frozen=True)
class Round:
    """Certificates per second.

    :param limit: of the cryptography alone, in one process
    :param limit_two: the same in two processes together; it shows how much of a second core there was
    :param one: issued by one worker
    :param two: issued by two workers together
    """

    limit: float
    limit_two: float
    one: float
    two: float


def measure(pkis: Mapping[str, BenchmarkPki], end: float) -> dict[str, list[Round]]:
    """Rounds as long as there is time for another; every other one in the opposite order.

    :param end: in seconds of ``time.monotonic``
    """
    rounds: dict[str, list[Round]] = {name: [] for name in pkis}
    with Workers(pkis, 2) as workers:
        number, longest = 0, 0.0
        while number == 0 or time.monotonic() + longest < end:
            begin = time.monotonic()
            batches = [workers.make(range(at * CHUNK, (at + 1) * CHUNK)) for at in range(3 * number, 3 * number + 3)]
            for name, those in rounds.items():
                those.append(_round(workers, name, *batches, backwards=number % 2 == 1))
            number, longest = number + 1, max(longest, time.monotonic() - begin)
    return rounds


def _round(
    workers: Workers, name: str, one: list[bytes], two: list[bytes], three: list[bytes], *, backwards: bool
) -> Round:
    """Measure one PKI.

    The two workers of a long run do not reach the database at the same moments. So here one of them has two halves of a
    batch.
    """
    tasks: dict[str, Sequence[Limit | Issue]] = {
        "limit": [Limit(name, one[:_HALF])],
        "limit_two": [Limit(name, one[:_HALF]), Limit(name, one[_HALF:])],
        "one": [Issue(name, [one])],
        "two": [Issue(name, [two]), Issue(name, [three[:_HALF], three[_HALF:]])],
    }
    return Round(**{what: workers.rate(tasks[what]) for what in (reversed(tasks) if backwards else tasks)})


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
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smpki-benchmark-", dir=chosen.folder) as folder:
        about = machine(Path(folder))
        pkis = {name: make(Path(folder) / name, chosen.generation) for name, make in _BACK_ENDS.items()}
        rounds = measure(pkis, begin + (_QUICK if chosen.quick else _LONG))
        for name, pki in pkis.items():
            check(pki, 3 * CHUNK * len(rounds[name]))
        with pkis["software"].open() as opened:
            issuer = opened.authorities.sub_ca(SUB_CA)
    result = {
        "benchmark": "issuance",
        "ratios": {
            **{f"{name}_of_limit": _median(one.one / one.limit for one in those) for name, those in rounds.items()},
            **{f"{name}_two_workers": _median(one.two / one.one for one in those) for name, those in rounds.items()},
        },
        "certificates_per_second": {
            name: {rate: _median((getattr(one, rate) for one in those), 1) for rate in Round.__dataclass_fields__}
            for name, those in rounds.items()
        },
        "rounds": len(rounds["software"]),
        "curve": issuer.key.curve.name,
        "hash": issuer.hash,
        "packages_per_batch": CHUNK,
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
    print(f"Sub-CA key on {result['curve']}, {result['hash']}; certificates per second\n")
    ratios = result["ratios"]
    print_table(
        ("keys", "cryptography alone", "in two processes", "one worker", "of limit", "two workers", "of one"),
        [
            (
                name,
                f"{rates['limit']:.0f}",
                f"{rates['limit_two']:.0f}",
                f"{rates['one']:.0f}",
                f"{ratios[f'{name}_of_limit']:.2f}",
                f"{rates['two']:.0f}",
                f"{ratios[f'{name}_two_workers']:.2f}",
            )
            for name, rates in result["certificates_per_second"].items()
        ],
    )
    about = result["machine"]
    print(
        f"\n{result['packages_per_batch']} packages of three certificates share two durable commits;"
        f" an fsync takes {about['fsync_ms']} ms."
        f"\n{about['cpus']} processors, load {about['load']} at the start;"
        f" medians of {result['rounds']} rounds, {result['seconds']} s in all."
    )


if __name__ == "__main__":
    try:
        main()
    except SmpkiError as error:
        raise SystemExit(f"refused: {error}\n   hint: {error.hint}") from None
