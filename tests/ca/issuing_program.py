"""Processes that work on a PKI, for the tests; each can be told the step at which it kills itself.

Every line of standard input is a JSON list of jobs (:class:`Job`). They run at the same time, each in a child forked
from this process, which has all modules loaded; when all have ended their answers are a line of standard output.
"""

import gc
import hashlib
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Engine, event

from smpki.ca.home import Home
from smpki.ca.opening import AUDIT_LABEL
from smpki.ca.pki import Pki
from smpki.ca.store.audit import AuditChain, read_key
from smpki.ca.store.owner import OwnerLock
from smpki.ca.store.store import Store
from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.triples import Order
from smpki.db.engine import open_engine
from smpki.hsm.key import KeyUse, TokenKey
from smpki.hsm.keystore import KeyStore, SoftwareKeys
from smpki.hsm.token import Token
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import EnvironmentName, Policy
from smpki_cli import main as cli

SUB_CA = "Beispiel.CA"

STEPS = (
    "intents",  # written, but not committed
    "recorded",  # the intents are durable, nothing is signed
    *("signature 1", "signature 2", "signature 3"),  # made, but the program does not have it yet
    "signed",  # all signatures, nothing stored
    "results",  # written, but not committed
    "committed",  # the audit head outside the database is not in place yet
    "published",  # all is done, but nobody has the answer
)
"""The steps of one unit of work with three certificates."""


class FileKeys:
    """Keys in files of a folder: a token for tests that have no need of one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._keys = SoftwareKeys()
        for file in folder.iterdir():
            key = serialization.load_der_private_key(file.read_bytes(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            self._keys.add(file.name, key)

    def generate(self, label: str, curve: ec.EllipticCurve, use: KeyUse) -> ec.EllipticCurvePrivateKey:
        key = self._keys.generate(label, curve, use)
        form = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        partial = self._folder.with_name(label)
        partial.write_bytes(key.private_bytes(*form))
        partial.rename(self._folder / label)
        return key

    def key(self, *, label: str | None = None, key_id: bytes | None = None) -> ec.EllipticCurvePrivateKey:
        return self._keys.key(label=label, key_id=key_id)

    def key_id(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        return self._keys.key_id(key)

    def destroy(self, key: ec.EllipticCurvePrivateKey) -> None:
        for file in self._folder.iterdir():
            if self._keys.key(label=file.name) is key:
                file.unlink()
        self._keys.destroy(key)


class WatchedKey(ec.EllipticCurvePrivateKey):
    """A key whose signatures can be watched, or refused."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, sign: Callable[..., bytes]) -> None:
        self.key = key
        self._sign = sign

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        return self._sign(self.key.sign, data, signature_algorithm)

    @property
    def curve(self) -> ec.EllipticCurve:
        return self.key.curve

    @property
    def key_size(self) -> int:
        return self.key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self.key.public_key()

    def _never(self, *arguments: object) -> NoReturn:
        raise AssertionError("a CA's key signs, and nothing else")

    exchange = private_numbers = private_bytes = _never

    def __copy__(self) -> "WatchedKey":
        return self

    def __deepcopy__(self, memo: object) -> "WatchedKey":
        return self


class WatchedKeys:
    """A key store whose keys but the audit's are watched.

    :param sign: called with the key's own ``sign``, the data and the algorithm
    """

    def __init__(self, keys: KeyStore, sign: Callable[..., bytes]) -> None:
        self._keys = keys
        self._sign = sign

    def generate(self, label: str, curve: ec.EllipticCurve, use: KeyUse) -> WatchedKey:
        return WatchedKey(self._keys.generate(label, curve, use), self._sign)

    def key(self, *, label: str | None = None, key_id: bytes | None = None) -> ec.EllipticCurvePrivateKey:
        key = self._keys.key(label=label, key_id=key_id)
        return key if label == AUDIT_LABEL else WatchedKey(key, self._sign)

    def key_id(self, key: WatchedKey) -> bytes:
        return self._keys.key_id(key.key)

    def destroy(self, key: WatchedKey) -> None:
        self._keys.destroy(key.key)


@cache
def default_policy() -> Policy:
    return load_policy(default_policy_text())


@contextmanager
def compose(
    home: Home,
    keys: KeyStore,
    clock: Callable[[], datetime],
    *,
    policy: Policy | None = None,
    environment: EnvironmentName = "test",
    database: str | None = None,
    warn: Callable[[str], None] = lambda message: None,
) -> Iterator[Pki]:
    """A PKI in operation, as :func:`smpki.ca.opening.open_pki` makes it, but with these keys."""
    engine = open_engine(database or f"sqlite:///{home.folder / 'smpki.db'}")
    owner = OwnerLock.take(home.run_folder, os.urandom)
    signer = keys.key(label=AUDIT_LABEL)
    chain = AuditChain(read_key(home.audit_key_file), home.audit_head_file, clock=clock, signer=signer)
    store = Store(engine, chain, owner=owner)
    try:
        for intent in store.recover():
            warn(intent.serial)
        yield Pki(policy or default_policy(), environment, store, keys, clock)
    finally:
        owner.release()
        engine.dispose()


@dataclass(frozen=True)
class Job:
    """What one process does.

    :param folder: the PKI's home; keys that are not in a token are in its folder ``keys``
    :param now: the time
    :param packages: hexadecimal, to be issued by :data:`SUB_CA`
    :param hierarchy: make the root instead, or the Sub-CA
    :param argv: run the command with these arguments instead, on the real token
    :param environ: added to the environment
    :param witness: a file that gets the SHA-256 of all that CA keys sign, before anybody has the signature
    :param die: the step at which the process kills itself: one of :data:`STEPS`; ``key N``: the N-th key was made;
        ``file N``: before the N-th time that a file of the home is changed, or an open one written to; ``set-up N``:
        N milliseconds into the set-up of the token, together with the program that does it
    :param count: signatures of the unit of work
    :param largest_file: no file grows beyond so many octets, as on a full disk
    """

    folder: str = ""
    now: str = ""
    packages: tuple[str, ...] = ()
    again: bool = False
    hierarchy: str = ""
    database: str | None = None
    argv: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    witness: str = ""
    die: str = ""
    count: int = 3
    largest_file: int | None = None


class Fate:
    """Sees a job pass its steps, and kills it at one of them."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._intents = False
        self._signatures = self._keys = self.files = 0
        event.listen(Engine, "before_cursor_execute", self._statement)
        event.listen(Engine, "begin", self._begin)
        event.listen(Engine, "commit", self._commit)
        sys.addaudithook(self._system)

    def reached(self, step: str) -> None:
        if step == self._job.die:
            os.kill(os.getpid(), signal.SIGKILL)

    def sign(self, sign: Callable[..., bytes], data: bytes, algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        self.reached("recorded")
        signature = sign(data, algorithm)
        with Path(self._job.witness or os.devnull).open("a") as witness:
            witness.write(f"{hashlib.sha256(data).hexdigest()}\n")
            witness.flush()
            os.fsync(witness.fileno())
        self._signatures += 1
        self.reached(f"signature {self._signatures}")
        return signature

    def key_made(self) -> None:
        self._keys += 1
        self.reached(f"key {self._keys}")

    @property
    def _signed(self) -> bool:
        return self._signatures == self._job.count

    def _statement(self, connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        self._intents = self._intents or statement.startswith("INSERT INTO intent")

    def _begin(self, connection: Any) -> None:
        if self._signed:
            self.reached("signed")

    def _commit(self, connection: Any) -> None:
        if self._intents:
            self.reached("results" if self._signed else "intents")

    def _system(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "os.rename" and self._signed and str(arguments[1]).endswith("audit.head"):
            self.reached("committed")
        writes = name in ("os.rename", "os.link", "os.mkdir", "os.remove", "sqlite3.connect")
        if name == "open":
            writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if writes and (isinstance(arguments[0], int) or str(arguments[0]).startswith(self._job.folder)):
            self.files += 1
            self.reached(f"file {self.files}")
        if name == "subprocess.Popen" and self._job.die.startswith("set-up"):
            os.setpgrp()
            after = int(self._job.die.removeprefix("set-up")) / 1000
            threading.Timer(after, os.killpg, (os.getpid(), signal.SIGKILL)).start()


def run(job: Job) -> dict[str, Any]:
    """Do a job in this process."""
    fate = Fate(job)
    os.environ.update(job.environ)
    if job.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.largest_file, job.largest_file))
    answer = _command(job, fate) if job.argv else _issue(job, fate)
    fate.reached("published")
    return answer


def _issue(job: Job, fate: Fate) -> dict[str, Any]:
    home = Home(Path(job.folder))
    now = datetime.fromisoformat(job.now)
    keys = WatchedKeys(FileKeys(home.folder / "keys"), fate.sign)
    warned: list[str] = []
    with compose(home, keys, lambda: now, database=job.database, warn=warned.append) as pki:
        if job.hierarchy:
            made = pki.create_root() if job.hierarchy == "root" else pki.create_sub_ca(SubCaOrder(job.hierarchy))
            return {"certificates": [one.serial for one in made], "warned": warned}
        desk = pki.desk(SUB_CA)
        _wait_for_the_others()
        orders = [Order(str(number), bytes.fromhex(data), again=job.again) for number, data in enumerate(job.packages)]
        outcomes = [
            {
                "state": outcome.state,
                "code": outcome.error.code if outcome.error else "",
                "serials": [one.serial for one in outcome.certificates],
                "numbers": [one.dn_serial for one in outcome.certificates],
            }
            for outcome in desk.issue(orders)
        ]
        return {"outcomes": outcomes, "warned": warned}


def _command(job: Job, fate: Fate) -> dict[str, Any]:
    own_sign, own_generate = TokenKey.sign, Token.generate

    def sign(key: TokenKey, data: Any, algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        if key.info.label == AUDIT_LABEL:
            return own_sign(key, data, algorithm)
        return fate.sign(lambda *what: own_sign(key, *what), data, algorithm)

    def generate(token: Token, label: str, curve: ec.EllipticCurve, use: KeyUse) -> TokenKey:
        key = own_generate(token, label, curve, use)
        fate.key_made()
        return key

    TokenKey.sign, Token.generate = sign, generate  # type: ignore[method-assign]
    try:
        cli.main.main(args=list(job.argv), prog_name="smpki")
    except SystemExit as end:
        return {"exit": end.code, "files": fate.files}
    raise AssertionError("a command ends with an exit code")


class Crew:
    """Children that run jobs at the same time; those with packages to issue wait for each other before they do."""

    def __init__(self) -> None:
        self._ready, self._go = os.pipe(), os.pipe()

    def run(self, jobs: list[Job]) -> list[dict[str, Any]]:
        global _wait_for_the_others
        _wait_for_the_others = self._wait
        with tempfile.TemporaryDirectory() as name:
            folders = [Path(name, str(number)) for number in range(len(jobs))]
            children = [self._start(job, folder) for job, folder in zip(jobs, folders, strict=True)]
            os.close(self._ready[1])
            os.read(self._ready[0], 1)  # nothing comes: the end is when each child waits or is dead
            os.close(self._go[1])
            status = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            os.close(self._ready[0])
            os.close(self._go[0])
            return [_answer(one, folder) for one, folder in zip(status, folders, strict=True)]

    def _start(self, job: Job, folder: Path) -> int:
        folder.mkdir()
        child = os.fork()
        if child == 0:
            os.close(self._go[1])
            for number, file in ((1, "out"), (2, "err")):
                os.dup2(os.open(folder / file, os.O_WRONLY | os.O_CREAT), number)
            try:
                (folder / "answer").write_text(json.dumps(run(job)))
            except BaseException:
                traceback.print_exc()
                os._exit(3)
            sys.stdout.flush()
            os._exit(0)
        return child

    def _wait(self) -> None:
        os.close(self._ready[1])
        os.read(self._go[0], 1)


def _answer(status: int, folder: Path) -> dict[str, Any]:
    answer = {"status": status, "out": (folder / "out").read_text(), "err": (folder / "err").read_text()}
    if status == 0:
        answer |= json.loads((folder / "answer").read_text())
    return answer


def _wait_for_the_others() -> None:
    """A child's way to its crew."""


if __name__ == "__main__":
    default_policy()
    gc.freeze()  # so that the children share it
    for line in sys.stdin:
        print(json.dumps(Crew().run([Job(**job) for job in json.loads(line)])), flush=True)
