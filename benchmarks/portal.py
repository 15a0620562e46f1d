"""Do lists and pages answer as fast beside a million certificates as beside a thousand?

Two PKIs that differ in nothing but the number of their certificates and audit entries, which the database itself makes
up. Each page and each list of REST is asked for in memory, in turns at both, by whom it is for.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from common import machine, parser, print_json, print_table
from packages import make_packages
from pkis import SUB_CA, in_memory

from smpki.ca.triples import Order
from smpki.service.accounts.actor import Role
from smpki.service.desk.desk import Desk
from smpki.service.people import beside, rest_by_token
from smpki.service.portal.rooms import whole_portal
from smpki.service.portal.site import Site
from smpki.service.portal.visit import SESSION

_FEW, _MANY = 1_000, 1_000_000
_LIMIT_MS = 100
_LEAST_MS = 5.0
"""What a page takes at least, for the ratio: below it is noise."""

# Each row is made from one that was issued, with a serial number, subject and key of its own; serial numbers rise,
# since rows in their order are made much faster.
_COPY = """
INSERT INTO {table} ({columns})
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :total)
SELECT {values} FROM {table} one, number WHERE one.serial = :serial
"""
_OWN = {
    "id": "NULL",
    "serial": "printf('5%07x', number.n) || substr(one.serial, 9)",
    "subject_cn": "'Firma ' || number.n || '.EMT'",
    "subject_key": "'CN=firma ' || number.n || '.emt,O=sm-test-pki-de'",
    "key_hash": "printf('%064x', number.n)",
    "request_digest": "NULL",
    "not_after": "datetime(:now, '+' || (number.n % 1000) || ' days') || '.000000'",
}
_AUDIT = """
INSERT INTO audit ({columns})
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :total)
SELECT {values} FROM audit one, number WHERE one.seq = (SELECT max(seq) FROM audit)
"""


def fill(database: Path, serial: str, total: int) -> None:
    """Make up certificates and audit entries until there are so many more."""
    now = str(datetime.now(UTC).replace(tzinfo=None, microsecond=0))
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in ("certificate", "intent"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(_OWN.get(name, f"one.{name}") for name in columns)
            statement = _COPY.format(table=table, columns=", ".join(columns), values=values)
            connection.execute(statement, {"total": total, "serial": serial, "now": now})
        columns = [row[1] for row in connection.execute("PRAGMA table_info(audit)")]
        values = ", ".join("one.seq + number.n" if name == "seq" else f"one.{name}" for name in columns)
        connection.execute(_AUDIT.format(columns=", ".join(columns), values=values), {"total": total})


class Visitors:
    """Whoever asks a PKI's portal and its REST.

    :param headers: of each one's requests
    """

    def __init__(self, desk: Desk, headers: Mapping[str, Mapping[str, str]]) -> None:
        self._runner = asyncio.Runner()
        application = beside(rest_by_token(desk), whole_portal(Site(desk, "http://portal.example")))
        transport = httpx.ASGITransport(application)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://portal.example")
        self._headers = headers

    def milliseconds(self, who: str, path: str) -> float:
        """How long one answer takes."""
        begin = time.perf_counter()
        response = self._runner.run(self._client.get(path, headers=self._headers[who]))
        seconds = time.perf_counter() - begin
        if response.status_code != 200:
            raise SystemExit(f"{path}: {response.status_code} {response.text[:500]}")
        return seconds * 1000


def let_in(desk: Desk) -> dict[str, dict[str, str]]:
    """An auditor and a participant: what their requests carry."""
    headers = {}
    for name, role, cn in (("auditor", Role.AUDITOR, None), ("participant", Role.PARTICIPANT, "Company 0.EMT")):
        account = desk.accounts.join(desk.accounts.invite(name, role, by="benchmark", common_name=cn))
        token, _ = desk.accounts.new_token(account.actor, "benchmark")
        cookie = f"{SESSION}={desk.accounts.open_session(account)}"
        headers[name] = {"cookie": cookie, "authorization": f"Bearer {token}", "accept-language": "en"}
    return headers


def places(serial: str, later: str) -> Mapping[str, tuple[str, str]]:
    """What is asked for: a name, and by whom at which path.

    :param serial: of the participant's own certificate
    :param later: of one in the middle of the list
    """
    return {
        "home of a participant": ("participant", "/home"),
        "calendar of a participant": ("participant", "/calendar"),
        "overview": ("auditor", "/home"),
        "certificates": ("auditor", "/certificates"),
        "certificates, further on": ("auditor", f"/certificates?after={later}"),
        "certificates of a type": ("auditor", "/certificates?kind=sub-ca"),
        "certificates of a name": ("auditor", "/certificates?cn=Firma%20500.EMT"),
        "certificate": ("auditor", f"/certificates/{serial}"),
        "calendar": ("auditor", "/calendar"),
        "audit": ("auditor", "/audit"),
        "audit, further on": ("auditor", "/audit?before=900"),
        "hierarchy": ("auditor", "/hierarchy"),
        "packages": ("auditor", "/packages"),
        "REST certificates": ("auditor", "/api/v1/certificates"),
        "REST certificates, own": ("participant", "/api/v1/certificates"),
        "REST audit": ("auditor", "/api/v1/audit"),
    }


@contextmanager
def town(folder: Path, total: int) -> Iterator[tuple[Visitors, str]]:
    """A PKI with so many certificates; who visits it, and a serial number."""
    pki = in_memory(folder, None)
    with pki.open() as opened:
        (package,) = make_packages(opened.policy, range(1))
        (outcome,) = opened.issue([Order("package", package)], SUB_CA)
        serial = outcome.certificates[0].serial
        headers = let_in(Desk(opened, SUB_CA))  # before the audit entries that are made up, behind which none fits
    fill(folder / "smpki.db", serial, total)
    with pki.open() as opened:
        yield Visitors(Desk(opened, SUB_CA), headers), serial


def main() -> None:
    """Measure and print."""
    options = parser("How fast pages answer beside many certificates.")
    options.add_argument("--folder", type=Path, help="where to make the PKIs")
    chosen = options.parse_args()
    begin = time.monotonic()
    many = _MANY // 10 if chosen.quick else _MANY
    rounds = 9 if chosen.quick else 25
    with tempfile.TemporaryDirectory(prefix="smpki-benchmark-", dir=chosen.folder) as name:
        folder = Path(name)
        about = machine(folder)
        with town(folder / "few", _FEW) as (few, few_serial), town(folder / "many", many) as (full, full_serial):
            rows = measure(few, few_serial, full, full_serial, rounds)
    result: dict[str, Any] = {
        "benchmark": "portal",
        "certificates": {"few": _FEW, "many": many},
        "pages": rows,
        "slowest_ms": max(row["many_ms"] for row in rows.values()),
        "ratios": {"pages_of_many": max(row["ratio"] for row in rows.values())},
        "machine": about,
        "seconds_in_all": round(time.monotonic() - begin, 1),
    }
    if chosen.json:
        print_json(result)
        return
    print_table(["page", "few ms", "many ms", "ratio"], [[name, *map(str, row.values())] for name, row in rows.items()])
    print(f"at most {result['ratios']['pages_of_many']} times; slowest {result['slowest_ms']} ms of {_LIMIT_MS}")


def measure(
    few: Visitors, few_serial: str, full: Visitors, full_serial: str, rounds: int
) -> dict[str, dict[str, float]]:
    """Medians of answers, in turns."""
    small = places(few_serial, "5" + f"{_FEW // 2:07x}" + few_serial[8:])
    large = places(full_serial, "5" + f"{_FEW * 50:07x}" + full_serial[8:])
    rows = {}
    for name in small:
        times: dict[str, list[float]] = {"few": [], "many": []}
        for turn in range(rounds + 1):
            for size, visitors, where in (("few", few, small[name]), ("many", full, large[name])):
                taken = visitors.milliseconds(*where)
                if turn:  # the first one fills caches
                    times[size].append(taken)
        few_ms, many_ms = (statistics.median(times[size]) for size in ("few", "many"))
        ratio = max(many_ms, _LEAST_MS) / max(few_ms, _LEAST_MS)
        rows[name] = {"few_ms": round(few_ms, 1), "many_ms": round(many_ms, 1), "ratio": round(ratio, 2)}
    return rows


if __name__ == "__main__":
    main()
