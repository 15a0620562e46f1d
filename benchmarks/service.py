"""How fast are packages granted over the web service, compared with ``smpki issue-batch``?

In short rounds, one after another, on one database: a process issues a batch; a server process answers as many packages
over mutual TLS, from an administrator's clients that ask at the same time, each over a connection that it keeps. The
packages are of the same kind, made outside the measured time. The ratio is the median of what the rounds say. Beside it
the processor time of the two processes is compared, which does not depend on what else the machine does.
"""

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from common import machine, parser, print_json, print_table
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from pkis import SUB_CA, BenchmarkPki, in_memory, in_softhsm

from smpki.ca.batch import CHUNK
from smpki.ca.chain import chain_above
from smpki.ca.pki import Pki
from smpki.ca.triples import Order
from smpki.ca.unit import load
from smpki.errors import SmpkiError
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.build_signed import build_authorised_package
from smpki.requests.keys import KeyTriple, Signer
from smpki.service.web.server import Settings, web_service
from smpki.soap.messages import Operation, RequestCertificate, ReturnCode
from smpki.soap.read import read_answer
from smpki.soap.write import write_request
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.profile import WAN_CLIENT
from smpki.tls.transport import connect

_BACK_ENDS: Mapping[str, Callable[[Path, str | None], BenchmarkPki]] = {"softhsm": in_softhsm, "software": in_memory}
_QUICK, _LONG = 30.0, 120.0  # seconds from the start in which rounds have to end
_CLIENTS = 32
_ADMINISTRATOR = "Benchmark.GWA"


@dataclass(frozen=True)
class Round:
    """Packages per second, and seconds of the processor per package, in a batch and over the service."""

    batch: float
    service: float
    batch_cpu: float
    service_cpu: float


@dataclass(frozen=True)
class Administrator:
    """Who asks for gateways' certificates; DER, to be sent to another process."""

    certificates: tuple[bytes, ...]
    tls_key: bytes
    sig_key: bytes
    sig_certificate: bytes

    @classmethod
    def of(cls, pki: Pki) -> "Administrator":
        """One with new keys and a triple."""
        keys = KeyTriple(*(ec.generate_private_key(ec.BrainpoolP256R1()) for _ in range(3)))
        names = RequestedNames("post@benchmark.example", "https://benchmark.example/", ("ws.benchmark.example",))
        package = build_initial_package(_subject(_ADMINISTRATOR).to_x509(), keys, names)
        (outcome,) = pki.issue([Order("administrator", package)], SUB_CA)
        tls, sig, _ = outcome.certificates
        above = chain_above(pki.store, tls)[:0:-1]
        return cls((tls.der, *(one.der for one in above)), _packed(keys.tls), _packed(keys.sig), sig.der)

    @property
    def identity(self) -> Identity:
        """Its TLS certificate and key. The server shows them, too, so that its own need not be in a token."""
        return Identity(tuple(map(x509.load_der_x509_certificate, self.certificates)), _unpacked(self.tls_key))

    def packages(self, numbers: range) -> list[bytes]:
        """A package that it authorised for a new gateway, for each number."""
        signer = Signer(_unpacked(self.sig_key), x509.load_der_x509_certificate(self.sig_certificate))
        return [build_authorised_package(_gateway(number), signer) for number in numbers]


class Server:
    """A server process of a PKI; a context manager that ends it."""

    def __init__(self, pki: BenchmarkPki, administrator: Administrator) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_serve, args=(pki, administrator, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.port: int = self._pipe.recv()

    @property
    def cpu(self) -> float:
        """Seconds that it has had of the processor."""
        self._pipe.send("cpu")
        seconds: float = self._pipe.recv()
        return seconds

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send(None)
        self._process.join()


class Client:
    """A connection that is kept; HTTP is written by hand, so that the client costs little beside the server."""

    async def open(self, administrator: Administrator, port: int) -> "Client":
        """Connect."""
        endpoint = Endpoint(WAN_CLIENT, administrator.identity, lambda _: None, clock=lambda: datetime.now(UTC))
        self._reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(self._reader)
        self._transport, _ = await connect(lambda: protocol, endpoint, "127.0.0.1", port)
        return self

    async def ask(self, message: bytes) -> bytes:
        """The body of the answer to a SOAP message."""
        head = f"POST / HTTP/1.1\r\nhost: ca\r\ncontent-type: text/xml\r\ncontent-length: {len(message)}\r\n\r\n"
        self._transport.write(head.encode() + message)
        fields = await self._reader.readuntil(b"\r\n\r\n")
        length = int(fields.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return await self._reader.readexactly(length)

    async def close(self) -> None:
        """End the connection."""
        self._transport.close()
        await self._transport.wait_closed()


def measure(pki: BenchmarkPki, end: float) -> list[Round]:
    """Rounds as long as there is time for another; every other one in the opposite order.

    :param end: in seconds of ``time.monotonic``
    """
    with pki.open() as opened:
        administrator = Administrator.of(opened)
        with Server(pki, administrator) as server:
            return asyncio.run(_measure(opened, administrator, server, end))


async def _measure(pki: Pki, administrator: Administrator, server: Server, end: float) -> list[Round]:
    rounds: list[Round] = []
    longest = 0.0
    async with AsyncExitStack() as stack:
        clients = [await Client().open(administrator, server.port) for _ in range(_CLIENTS)]
        for client in clients:
            stack.push_async_callback(client.close)
        while not rounds or time.monotonic() + longest < end:
            begin, first = time.monotonic(), 2 * CHUNK * len(rounds)
            mine, theirs = (administrator.packages(range(at, at + CHUNK)) for at in (first, first + CHUNK))
            found: dict[str, tuple[float, float]] = {}
            for what in ("batch", "service") if len(rounds) % 2 else ("service", "batch"):
                found[what] = _batch(pki, mine) if what == "batch" else await _service(clients, server, theirs)
            (batch, batch_cpu), (service, service_cpu) = found["batch"], found["service"]
            rounds.append(Round(CHUNK / batch, CHUNK / service, batch_cpu / CHUNK, service_cpu / CHUNK))
            longest = max(longest, time.monotonic() - begin)
    return rounds


def _batch(pki: Pki, packages: Sequence[bytes]) -> tuple[float, float]:
    """Seconds for a batch as ``smpki issue-batch`` issues it, and seconds of the processor."""
    desk = pki.desk(SUB_CA)
    begin, cpu = time.perf_counter(), time.process_time()
    outcomes = desk.issue([Order(str(at), package) for at, package in enumerate(packages)])
    taken = time.perf_counter() - begin, time.process_time() - cpu
    if refused := [outcome.error for outcome in outcomes if outcome.state != "issued"]:
        raise SystemExit(f"not issued: {refused[0]}")
    return taken


async def _service(clients: Sequence[Client], server: Server, packages: Sequence[bytes]) -> tuple[float, float]:
    """Seconds for as many over the service, and what the server had of the processor."""
    messages = [write_request(RequestCertificate(package)) for package in packages]
    answers: list[bytes] = []

    async def ask(client: Client) -> None:
        while messages:
            answers.append(await client.ask(messages.pop()))

    cpu, begin = server.cpu, time.perf_counter()
    await asyncio.gather(*map(ask, clients))
    taken = time.perf_counter() - begin, server.cpu - cpu
    for answer in answers:
        read = read_answer(answer, Operation.REQUEST_CERTIFICATE)
        if read.code is not ReturnCode.OK_CERT_AVAILABLE:
            raise SystemExit(f"not issued: {read.code} {read.message}")
    return taken


def _serve(pki: BenchmarkPki, administrator: Administrator, pipe: Connection) -> None:
    async def serve() -> None:
        with pki.open() as opened:
            async with web_service(opened, Settings(SUB_CA, "127.0.0.1", 0), administrator.identity) as server:
                pipe.send(server.port)
                while await asyncio.to_thread(pipe.recv) is not None:
                    pipe.send(time.process_time())

    asyncio.run(serve())


def _gateway(number: int) -> bytes:
    keys = KeyTriple(*(ec.generate_private_key(ec.BrainpoolP256R1()) for _ in range(3)))
    subject = _subject(f"EABC{number:010}.SMGW", OU=_ADMINISTRATOR)
    return build_initial_package(subject.to_x509(), keys, RequestedNames())


def _subject(common_name: str, **more: str) -> DistinguishedName:
    return DistinguishedName.of(CN=common_name, O="SM-Test-PKI-DE", C="DE", serialNumber="1", **more)


def _packed(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _unpacked(data: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_der_private_key(data, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def check(pki: BenchmarkPki, granted: int) -> None:
    """See that every package has its triple, once, and that the audit holds.

    :raises SystemExit: otherwise
    """
    with pki.open() as opened:
        stored = opened.store.of_kinds([CertificateType.SMGW_W])
        load(stored[0]).verify_directly_issued_by(opened.authorities.sub_ca(SUB_CA).certificate)
    report = pki.verify_audit()
    if len(stored) != 3 * granted or not report.holds:
        raise SystemExit(f"{len(stored)} certificates are stored for {granted} packages; audit: {report.findings}")


def main() -> None:
    """Measure both back-ends and print."""
    options = parser("How fast packages are granted over the web service, compared with issue-batch.")
    options.add_argument("--folder", type=Path, help="where to make the PKIs: on the disk that is to be measured")
    chosen = options.parse_args()
    begin = time.monotonic()
    rounds: dict[str, list[Round]] = {}
    with tempfile.TemporaryDirectory(prefix="smpki-benchmark-", dir=chosen.folder) as folder:
        about = machine(Path(folder))
        for number, (name, make) in enumerate(_BACK_ENDS.items(), 1):
            pki = make(Path(folder) / name, None)
            rounds[name] = measure(pki, begin + (_QUICK if chosen.quick else _LONG) * number / len(_BACK_ENDS))
            check(pki, 2 * CHUNK * len(rounds[name]))
    result: dict[str, Any] = {
        "benchmark": "service",
        "ratios": {
            "service_of_batch": _median(one.service / one.batch for one in rounds["softhsm"]),
            "service_of_batch_software": _median(one.service / one.batch for one in rounds["software"]),
            "cpu_of_batch": _median(one.batch_cpu / one.service_cpu for one in rounds["softhsm"]),
            "cpu_of_batch_software": _median(one.batch_cpu / one.service_cpu for one in rounds["software"]),
        },
        "packages_per_second": {
            name: {rate: _median((getattr(one, rate) for one in those), 1) for rate in ("batch", "service")}
            for name, those in rounds.items()
        },
        "cpu_ms_per_package": {
            name: {
                rate: _median((1000 * getattr(one, f"{rate}_cpu") for one in those), 2) for rate in ("batch", "service")
            }
            for name, those in rounds.items()
        },
        "rounds": {name: len(those) for name, those in rounds.items()},
        "clients": _CLIENTS,
        "packages_per_round": CHUNK,
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
    ratios = result["ratios"]
    print_table(
        ("keys", "issue-batch", "web service", "of that", "ms", "ms", "processor of that"),
        [
            (
                name,
                f"{rates['batch']:.0f}",
                f"{rates['service']:.0f}",
                f"{ratios['service_of_batch' + end]:.2f}",
                f"{result['cpu_ms_per_package'][name]['batch']:.2f}",
                f"{result['cpu_ms_per_package'][name]['service']:.2f}",
                f"{ratios['cpu_of_batch' + end]:.2f}",
            )
            for (name, rates), end in zip(result["packages_per_second"].items(), ("", "_software"), strict=True)
        ],
    )
    about = result["machine"]
    print(
        f"\npackages a second, and processor time per package; {result['clients']} clients that keep their connections,"
        f" {result['packages_per_round']} packages in a round"
        f"\n{about['cpus']} processors, load {about['load']} at the start; {result['seconds']} s in all."
    )


if __name__ == "__main__":
    try:
        main()
    except SmpkiError as error:
        raise SystemExit(f"refused: {error}\n   hint: {error.hint}") from None
