"""Stores on both kinds of database. Each is migrated once, then copied or emptied, which is much faster."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Engine, text

import smpki
from smpki.ca.store.audit_head import GENESIS
from smpki.ca.store.store import Store
from smpki.db.engine import migrate, open_engine, writing

PROGRAM = Path(__file__).with_name("store_program.py")


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    """Sample certificates, requests and intents, and ``open_store``: see ``store_program.py``."""
    spec = importlib.util.spec_from_file_location("store_program", PROGRAM)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "smpki.db"
    engine = open_engine(f"sqlite:///{file}")
    migrate(engine)
    engine.dispose()
    return file


@pytest.fixture(scope="session")
def _postgres_store(_postgres_server: Any) -> Engine:
    import psycopg

    host = str(_postgres_server.folder)
    with psycopg.connect(host=host, user="smpki", dbname="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE store")
    engine = open_engine(f"postgresql+psycopg://smpki@/store?host={host}")
    migrate(engine)
    return engine


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store's database."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("_sqlite_template"), tmp_path / "smpki.db")
        return f"sqlite:///{tmp_path / 'smpki.db'}"
    engine = request.getfixturevalue("_postgres_store")
    with writing(engine) as connection:
        for table in ("revocation", "crl", "certificate", "request", "intent", "participant", "audit", "audit_head"):
            connection.execute(text(f"DELETE FROM {table}"))  # faster than TRUNCATE for a few rows
        connection.execute(text(f"INSERT INTO audit_head (counter, seq, mac) VALUES (0, 0, '{GENESIS}')"))
    return str(engine.url)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of the audit key, the audit head and the owners' locks."""
    return tmp_path / "home"


@pytest.fixture
def store(samples: ModuleType, url: str, home: Path) -> Iterator[Store]:
    """An empty store that signs its audit heads."""
    engine = open_engine(url)
    yield samples.open_store(url, home, engine=engine)
    engine.dispose()


@pytest.fixture
def start(url: str, home: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """``start(job, argument)`` starts a process that works on the same store: see ``store_program.py``."""
    started: list[subprocess.Popen[str]] = []

    def run(job: str, argument: object) -> "subprocess.Popen[str]":
        command = [sys.executable, str(PROGRAM), job, url, str(home), str(argument)]
        environment = {"PYTHONPATH": str(Path(smpki.__file__).parents[1])}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
