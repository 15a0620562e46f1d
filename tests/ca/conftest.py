"""PKIs to issue with: software keys in files where the token is not the point, SoftHSM where it is."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from sqlmodel import SQLModel

from smpki.asn1.curves import CURVES
from smpki.ca.home import Home
from smpki.ca.opening import AUDIT_LABEL
from smpki.ca.pki import Pki
from smpki.ca.store.audit import AuditChain, create_key, read_key, verify
from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.triples import Order, Outcome
from smpki.db.engine import migrate, open_engine, reading
from smpki.hsm.key import KeyUse
from smpki.hsm.keystore import KeyStore
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import Policy
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.keys import KeyTriple

PROGRAM = Path(__file__).with_name("issuing_program.py")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def _load_program() -> Any:
    spec = importlib.util.spec_from_file_location("issuing_program", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


program = _load_program()
Job = program.Job


def tables(database: str) -> dict[str, list[dict[str, Any]]]:
    """The whole database, each table in the order of its primary key."""
    engine = open_engine(database)
    try:
        with reading(engine) as connection:
            return {
                name: [dict(row) for row in connection.execute(table.select().order_by(*table.primary_key)).mappings()]
                for name, table in SQLModel.metadata.tables.items()
            }
    finally:
        engine.dispose()


def make_keys(curve: ec.EllipticCurve | None = None) -> KeyTriple:
    """Three new keys."""
    return KeyTriple(*(ec.generate_private_key(curve or ec.BrainpoolP256R1()) for _ in range(3)))


class Packages:
    """Makes request packages with new keys, as participants do."""

    def make(
        self,
        cn: str = "Firma.EMT.MAK",
        *,
        keys: KeyTriple | None = None,
        curve: ec.EllipticCurve | None = None,
        names: RequestedNames | None = None,
        **attributes: str | None,
    ) -> bytes:
        keys = keys or make_keys(curve)
        subject = DistinguishedName.of(
            **{"CN": cn, "O": "SM-Test-PKI-DE", "OU": "9900000000001", "C": "DE", "serialNumber": "1", **attributes}
        )
        names = names or RequestedNames("post@firma.example", "https://firma.example/", ("ws.firma.example",))
        return build_initial_package(subject.to_x509(), keys, names)

    def gateway(self, number: int = 1, *, ou: str = "Hersteller GmbH", serial_number: str = "0") -> bytes:
        """A Guetesiegel package; with an administrator's CN as ``ou`` and number 1 a Wirk package."""
        return self.make(f"EABC00{number:08}.SMGW", OU=ou, serialNumber=serial_number, names=RequestedNames())


@dataclass
class Workshop:
    """A PKI with a root and the Sub-CA ``Beispiel.CA``, and a clock to set.

    :param database: the URL of its database
    """

    home: Home
    database: str
    now: datetime = NOW

    @property
    def key_store(self) -> KeyStore:
        """The keys, read from their files."""
        return program.FileKeys(self.home.folder / "keys")

    @property
    def key_labels(self) -> list[str]:
        """All keys there are."""
        return sorted(file.name for file in (self.home.folder / "keys").iterdir())

    def open(self, *, keys: KeyStore | None = None, **settings: Any) -> AbstractContextManager[Pki]:
        """Open the PKI; ``settings`` are ``policy``, ``environment`` and ``warn``."""
        settings = {"database": self.database, **settings}
        return program.compose(self.home, keys or self.key_store, lambda: self.now, **settings)

    def issue(self, data: bytes, *, role: Any = None, again: bool = False, **settings: Any) -> Outcome:
        """Bring one package to the counter."""
        with self.open(**settings) as pki:
            (outcome,) = pki.issue([Order("package", data, role, again)], program.SUB_CA)
            return outcome

    def job(self, *packages: bytes, **fields: Any) -> Any:
        """The same as a job for another process."""
        data = tuple(package.hex() for package in packages)
        return Job(
            folder=str(self.home.folder),
            database=self.database,
            now=self.now.isoformat(),
            packages=data,
            witness=str(self.home.folder / "witness"),
            **fields,
        )

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        return tables(self.database)

    def assert_chain_holds(self, *, behind: int = 0) -> None:
        engine = open_engine(self.database)
        try:
            public_key = self.key_store.key(label=AUDIT_LABEL).public_key()
            report = verify(engine, read_key(self.home.audit_key_file), self.home.audit_head_file, public_key)
        finally:
            engine.dispose()
        assert report.findings == ()
        assert report.behind == behind

    @contextmanager
    def nothing_but_audit(self, entries: int = 1) -> Iterator[list[dict[str, Any]]]:
        """Neither table nor key changes within the block, but so many audit entries are added; it gets them."""
        before, keys = self.tables(), self.key_labels
        added: list[dict[str, Any]] = []
        yield added
        after = self.tables()
        assert after["audit"][: len(before["audit"])] == before["audit"]
        added += after["audit"][len(before["audit"]) :]
        assert len(added) == entries
        for row in added:
            row["detail"] = json.loads(row["detail"])
        for changed in ("audit", "audit_head"):
            del before[changed], after[changed]
        assert after == before
        assert self.key_labels == keys
        self.assert_chain_holds()


def new_workshop(folder: Path, database: str | None = None) -> Workshop:
    """A PKI without certificates."""
    home = Home(folder)
    folder.mkdir()
    create_key(home.audit_key_file, lambda octets: bytes(octets))
    workshop = Workshop(home, database or f"sqlite:///{folder / 'smpki.db'}")
    workshop.key_store.generate(AUDIT_LABEL, CURVES["brainpoolP256r1"], KeyUse.SIGN)
    engine = open_engine(workshop.database)
    migrate(engine)
    AuditChain(read_key(home.audit_key_file), home.audit_head_file, clock=lambda: workshop.now).catch_up(engine)
    engine.dispose()
    return workshop


def with_hierarchy(workshop: Workshop) -> Workshop:
    with workshop.open() as pki:
        pki.create_root()
        pki.create_sub_ca(SubCaOrder("Beispiel"))
    return workshop


@pytest.fixture(scope="session")
def _workshop_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_hierarchy(new_workshop(tmp_path_factory.mktemp("pki") / "home")).home.folder


@pytest.fixture
def workshops(_workshop_template: Path, tmp_path: Path) -> Callable[[], Workshop]:
    """Call it for a workshop of your own; and for another."""

    numbers = count()

    def make() -> Workshop:
        folder = tmp_path / f"home-{next(numbers)}"
        shutil.copytree(_workshop_template, folder)
        return Workshop(Home(folder), f"sqlite:///{folder / 'smpki.db'}")

    return make


@pytest.fixture
def workshop(workshops: Callable[[], Workshop]) -> Workshop:
    """A PKI with software keys on SQLite."""
    return workshops()


@pytest.fixture
def empty_workshops(tmp_path: Path) -> Callable[..., Workshop]:
    """Call it for a PKI without certificates (software keys, SQLite or a database's URL); and for another."""
    numbers = count()
    return lambda database=None: new_workshop(tmp_path / f"empty-{next(numbers)}", database)


@pytest.fixture
def empty_workshop(empty_workshops: Callable[..., Workshop]) -> Workshop:
    """A PKI without certificates: software keys, SQLite."""
    return empty_workshops()


@pytest.fixture
def postgres_workshop(postgres_url: str, tmp_path: Path) -> Workshop:
    """A PKI with software keys on PostgreSQL."""
    return with_hierarchy(new_workshop(tmp_path / "home", postgres_url))


@pytest.fixture(scope="session")
def issuing_program() -> Any:
    """The module ``issuing_program.py``."""
    return program


@pytest.fixture(scope="session")
def new_keys() -> Callable[[], KeyTriple]:
    """Call it for three new keys."""
    return make_keys


@pytest.fixture(scope="session")
def packages() -> Packages:
    return Packages()


@pytest.fixture(scope="session")
def changed_policy() -> Callable[..., Policy]:
    """``changed_policy({"certificates.emt.validity": "4y"})``: the policy with other values."""
    original = yaml.safe_load(default_policy_text())

    def change(values: Mapping[str, object]) -> Policy:
        document = json.loads(json.dumps(original, default=str))
        for path, value in values.items():
            *steps, last = path.split(".")
            place = document
            for step in steps:
                place = place[step]
            place[last]["value"] = value
        return load_policy(yaml.safe_dump(document))

    return change


class CrewClient:
    """Lets jobs run in processes of their own; see ``issuing_program.py``."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, PROGRAM], stdin=pipe, stdout=pipe, text=True)

    def run(self, *jobs: Any) -> list[dict[str, Any]]:
        """All jobs at the same time; their answers. ``status`` is 0, -9 for a job that killed itself."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps([asdict(job) for job in jobs])}\n")
        self._process.stdin.flush()
        answers = json.loads(self._process.stdout.readline())
        for job, answer in zip(jobs, answers, strict=True):
            assert answer["status"] == (-9 if job.die else 0), answer["err"]
        return answers

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="session")
def crew() -> Iterator[CrewClient]:
    client = CrewClient()
    yield client
    client.close()


@dataclass
class Office:
    """A PKI with its keys in SoftHSM, at the command line.

    :param folder: its home
    """

    folder: Path
    crew: CrewClient

    def job(self, *arguments: object, environ: Mapping[str, str] | None = None, **fields: Any) -> Any:
        argv = ("--home", str(self.folder), *(str(argument) for argument in arguments))
        return Job(
            folder=str(self.folder),
            argv=argv,
            environ={"SMPKI_CLOCK": NOW.isoformat(), **(environ or {})},
            witness=str(self.witness),
            **fields,
        )

    @property
    def witness(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.witness")

    def run(self, *arguments: object, **fields: Any) -> dict[str, Any]:
        (answer,) = self.crew.run(self.job(*arguments, **fields))
        return answer

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        return tables(f"sqlite:///{self.folder / 'smpki.db'}")

    def key_labels(self) -> list[str]:
        answer = self.run("hsm", "info", "--json")
        return sorted(key["label"] for key in json.loads(answer["out"])["keys"])


@pytest.fixture
def new_offices(tmp_path: Path, crew: CrewClient) -> Callable[[], Office]:
    """Call it for a home that is not there yet; and for another."""
    numbers = count()
    return lambda: Office(tmp_path / f"new-office-{next(numbers)}", crew)


@pytest.fixture(scope="session")
def _office_template(tmp_path_factory: pytest.TempPathFactory, crew: CrewClient) -> Path:
    office = Office(tmp_path_factory.mktemp("token-pki") / "office", crew)
    for command in (["init"], ["issue-sub-ca", "--name", "Beispiel"]):
        answer = office.run(*command)
        assert answer["exit"] == 0, answer["err"]
    return office.folder


@pytest.fixture
def offices(_office_template: Path, tmp_path: Path, crew: CrewClient) -> Callable[[], Office]:
    """Call it for an office of your own; and for another."""

    numbers = count()

    def make() -> Office:
        folder = tmp_path / f"office-{next(numbers)}"
        shutil.copytree(_office_template, folder)
        return Office(folder, crew)

    return make


@pytest.fixture
def office(offices: Callable[[], Office]) -> Office:
    """A PKI with its keys in SoftHSM and the Sub-CA ``Beispiel.CA``."""
    return offices()
