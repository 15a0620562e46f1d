"""Many packages in one run: a folder of them, or NDJSON; resumable, by one process or several.

Nothing is kept about a run: a package that was granted before gets its certificates again, so a run that was
interrupted is simply started again.

Each line of NDJSON is an object with

=============  =================================================================================================
``package``    the request package, base64 or PEM (required)
``id``         what to call it in the report; the line number otherwise
``role``       ``emt``, ``gwa``, ``gwh``, ``smgw-g`` or ``smgw-w``; what the subject's CN says otherwise
``again``      true: issue the next number though the subject has a valid triple
=============  =================================================================================================
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Annotated, TextIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smpki.ca.chain import chain_above
from smpki.ca.output import triple_files, triple_folder, write_files
from smpki.ca.pki import Pki
from smpki.ca.store.records import StoredCertificate
from smpki.ca.triples import Order, Outcome, TripleDesk
from smpki.errors import RequestError, SmpkiError
from smpki.policy.model import END_USERS, CertificateType
from smpki.requests.read import MAX_SIZE

CHUNK = 128
"""Packages that share two commits: enough that commits cost little, few enough that a crash undoes little."""

_MAX_LINE = 1024 * 1024


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    package: str
    id: Annotated[str, Field(max_length=200)] | None = None
    role: Annotated[CertificateType, Field(strict=False)] | None = None
    again: bool = False


@dataclass(frozen=True)
class Report:
    """One line of the report.

    :param name: the file or the ``id``
    :param state: ``issued``, ``known`` (granted before) or ``refused``
    :param subject: the CN, empty when refused
    :param number: the DN serialNumber
    :param serials: of the TLS, SIG and ENC certificate
    :param folder: where the files are, below the output folder
    :param error: code, message, where and hint of a refusal
    """

    name: str
    state: str
    subject: str = ""
    number: int | None = None
    serials: tuple[str, ...] = ()
    folder: str = ""
    error: dict[str, str] | None = None


def read_orders(source: Path) -> Iterator[Order]:
    """The packages of a folder (every file, by name) or of an NDJSON file.

    A line that is no such object becomes an order that the counter refuses, with its number.

    :raises RequestError: ``batch.source`` when the source can't be read
    """
    try:
        if source.is_dir():
            for file in sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith(".")):
                yield Order(file.name, _head(file))
        else:
            with source.open("rb") as stream:
                for number, line in enumerate(iter(lambda: stream.readline(_MAX_LINE), b""), start=1):
                    if line.strip():
                        yield _order(number, line)
    except OSError as error:
        message = f"can't be read: {error.strerror}"
        raise RequestError("batch.source", message, where=str(source), hint="a folder or an NDJSON file") from None


def _head(file: Path) -> bytes:
    """All that the package reader could want of a file, and one octet more if there is more."""
    with file.open("rb") as stream:
        return stream.read(MAX_SIZE + 1)


def open_report(out: Path) -> TextIO:
    """The report of a run, ``OUT/report.ndjson``: a line for each package.

    :raises SmpkiError: ``output.unwritable``
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        return (out / "report.ndjson").open("w", encoding="utf-8", buffering=1)
    except OSError as error:
        message = f"can't be written: {error.strerror}"
        raise SmpkiError("output.unwritable", message, where=str(out), hint="choose another --out") from None


def _order(number: int, line: bytes) -> Order:
    name = f"line {number}"
    try:
        read = _Line.model_validate_json(line)
        if read.role is not None and read.role not in END_USERS:
            raise ValueError
    except ValidationError as error:
        return Order(name, b"", fault=f"not a line of the schema: {error.errors()[0]['msg']}")
    except ValueError:
        return Order(name, b"", fault="the role is none of an end user")
    return Order(read.id or name, read.package.encode(), role=read.role, again=read.again)


def run_batch(
    orders: Iterable[Order],
    sub_ca: str,
    out: Path,
    open_pki: Callable[[], AbstractContextManager[Pki]],
    *,
    workers: int = 1,
) -> Iterator[Report]:
    """Grant packages in chunks and write each triple to its folder.

    :param open_pki: opens the PKI, once in each process; with several workers it crosses into other processes
    :param workers: processes; each has its own token session and database connection
    :return: a report for each package, in no particular order
    :raises SmpkiError: when the work can't go on; ``batch.worker`` when a process died
    """
    chunks = _chunks(iter(orders), workers)
    if workers == 1:
        with open_pki() as pki:
            worker = _Worker(pki, sub_ca, out)
            for chunk in chunks:
                yield from worker.grant(chunk)
        return
    with open_pki() as pki:
        pki.desk(sub_ca)  # what stands against all of it is said here, and not by a worker that dies of it
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (open_pki, sub_ca, out)) as pool:
        pending: set[Future[list[Report]]] = set()
        try:
            while True:
                pending |= {pool.submit(_work, chunk) for chunk in islice(chunks, 2 * workers - len(pending))}
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        except BrokenProcessPool:
            hint = "start the same batch again: what was granted is not granted twice"
            raise SmpkiError("batch.worker", "a worker process died", hint=hint) from None
        finally:
            for future in pending:
                future.cancel()


def _chunks(orders: Iterator[Order], workers: int) -> Iterator[list[Order]]:
    """Share packages out; where they run short, evenly, so that no worker is idle while another has many."""
    while some := list(islice(orders, CHUNK * workers)):
        size = -(-len(some) // workers)
        yield from (some[at : at + size] for at in range(0, len(some), size))


class _Worker:
    """One process's counter, and the folder it writes to."""

    def __init__(self, pki: Pki, sub_ca: str, out: Path) -> None:
        self._pki = pki
        self._desk: TripleDesk = pki.desk(sub_ca)
        self._out = out
        self._chains: dict[str | None, tuple[StoredCertificate, ...]] = {}

    def grant(self, orders: list[Order]) -> list[Report]:
        return [self._deliver(outcome) for outcome in self._desk.issue(orders)]

    def _deliver(self, outcome: Outcome) -> Report:
        if outcome.error is not None:
            return Report(outcome.name, outcome.state, error=outcome.error.as_dict())
        first = outcome.certificates[0]
        if first.issuer_serial not in self._chains:
            self._chains[first.issuer_serial] = chain_above(self._pki.store, first)
        folder = triple_folder(self._out, outcome.certificates)
        write_files(folder, triple_files(outcome.certificates, self._chains[first.issuer_serial]))
        return Report(
            outcome.name,
            outcome.state,
            first.subject_cn,
            first.dn_serial,
            tuple(certificate.serial for certificate in outcome.certificates),
            folder.name,
        )


_worker: _Worker | None = None


def _start_worker(open_pki: Callable[[], AbstractContextManager[Pki]], sub_ca: str, out: Path) -> None:
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    stack = ExitStack()
    _worker = _Worker(stack.enter_context(open_pki()), sub_ca, out)
    Finalize(None, stack.close, exitpriority=10)


def _end_with_parent() -> None:
    """End when the batch was killed: a worker holds both ends of the pipe it waits on, and would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)  # what it was doing is as after a kill of its own, and the next start closes it


def _work(orders: list[Order]) -> list[Report]:
    if _worker is None:
        raise RuntimeError("the worker was not started")
    return _worker.grant(orders)
