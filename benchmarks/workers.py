"""Processes that issue: each opens its PKIs once, as a worker of ``smpki issue-batch`` does; timed when ready."""

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from packages import make_packages
from pkis import SUB_CA, BenchmarkPki

from smpki.ca.issuer import HASHES
from smpki.ca.pki import Pki
from smpki.ca.triples import Order
from smpki.policy.load import default_policy_text, load_policy
from smpki.requests.read import read_package


@dataclass(frozen=True)
class Make:
    """Make packages; the answer is a list of them."""

    numbers: range


@dataclass(frozen=True)
class Limit:
    """Do the cryptography of these packages with the key of a PKI, and nothing else."""

    pki: str
    packages: Sequence[bytes]

    @property
    def certificates(self) -> int:
        """How many signatures are made."""
        return 3 * len(self.packages)


@dataclass(frozen=True)
class Issue:
    """Let a PKI issue to these batches of packages."""

    pki: str
    batches: Sequence[Sequence[bytes]]

    @property
    def certificates(self) -> int:
        """How many are issued."""
        return 3 * sum(map(len, self.batches))


class Workers:
    """Worker processes that have the same PKIs open; a context manager that ends them.

    :param pkis: by name
    """

    def __init__(self, pkis: Mapping[str, BenchmarkPki], count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(pkis, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            _receive(pipe)

    def make(self, numbers: range) -> list[bytes]:
        """Packages for these numbers, made by all workers."""
        count = len(self._pipes)
        for at, pipe in enumerate(self._pipes):
            pipe.send(Make(numbers[at::count]))
        return [package for pipe in self._pipes for package in _receive(pipe)]

    def rate(self, tasks: Sequence[Limit | Issue]) -> float:
        """Certificates per second when the first workers do a task each, all begun at the same moment.

        It is the sum of the workers' own rates: a worker that is done a little earlier would go on in a long run.
        """
        busy = self._pipes[: len(tasks)]
        for pipe, task in zip(busy, tasks, strict=True):
            pipe.send(task)
        for pipe in busy:
            _receive(pipe)  # it has read the task
        for pipe in busy:
            pipe.send("go")
        seconds: list[float] = [_receive(pipe) for pipe in busy]
        return sum(task.certificates / taken for task, taken in zip(tasks, seconds, strict=True))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.send(None)
        for process in self._processes:
            process.join()


def _receive(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        raise SystemExit("a worker process died of what it said above") from None


def _serve(benchmark_pkis: Mapping[str, BenchmarkPki], pipe: Connection) -> None:
    with ExitStack() as stack:
        pkis = {name: stack.enter_context(each.open()) for name, each in benchmark_pkis.items()}
        policy = load_policy(default_policy_text())
        pipe.send("ready")
        while (task := pipe.recv()) is not None:
            if isinstance(task, Make):
                pipe.send(make_packages(policy, task.numbers))
                continue
            pki = pkis[task.pki]
            work = _cryptography(pki, task.packages) if isinstance(task, Limit) else _pipeline(pki, task.batches)
            pipe.send("ready")
            pipe.recv()
            begin = time.perf_counter()
            work()
            pipe.send(time.perf_counter() - begin)


def _cryptography(pki: Pki, packages: Sequence[bytes]) -> Callable[[], None]:
    """What can't be left out: verify each proof of possession, sign once for each certificate."""
    issuer = pki.authorities.sub_ca(SUB_CA)
    algorithm = ec.ECDSA(HASHES[issuer.hash])
    to_be_signed = issuer.certificate.tbs_certificate_bytes  # as long as those of end users
    requests = [request for package in packages for request in read_package(package).requests]

    def work() -> None:
        for request in requests:
            request.public_key.verify(request.signature, request.signed, ec.ECDSA(request.hash))
            issuer.key.sign(to_be_signed, algorithm)

    return work


def _pipeline(pki: Pki, batches: Sequence[Sequence[bytes]]) -> Callable[[], None]:
    """All that ``smpki issue-batch`` does, but for the files that it writes."""
    desk = pki.desk(SUB_CA)
    orders = [[Order(str(index), package) for index, package in enumerate(batch)] for batch in batches]

    def work() -> None:
        for batch in orders:
            for outcome in desk.issue(batch):
                if outcome.state != "issued":
                    raise SystemExit(f"not issued: {outcome.error}")

    return work
