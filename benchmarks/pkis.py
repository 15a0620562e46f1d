"""A PKI for a benchmark: an ordinary one, in a folder on disk, with its keys in SoftHSM or in memory."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from smpki.ca.home import Home, Settings
from smpki.ca.opening import create_pki, verify_audit
from smpki.ca.pki import Pki
from smpki.ca.store.audit import AuditChain, AuditReport, create_key, read_key, verify
from smpki.ca.store.owner import OwnerLock
from smpki.ca.store.store import Store
from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.surroundings import process_surroundings
from smpki.ca.worker import open_in_worker
from smpki.db.engine import migrate, open_engine
from smpki.hsm.keystore import SoftwareKeys
from smpki.policy.load import default_policy_text, load_policy

SUB_CA = "Benchmark.CA"


class BenchmarkPki(ABC):
    """A PKI with a root and a Sub-CA; it can be sent to another process and opened there."""

    @abstractmethod
    def open(self) -> AbstractContextManager[Pki]:
        """Open it in this process."""

    @abstractmethod
    def verify_audit(self) -> AuditReport:
        """Verify its audit chain."""


def in_softhsm(folder: Path, generation: str | None) -> BenchmarkPki:
    """A PKI made as ``smpki init`` and ``smpki issue-sub-ca`` do, with a SoftHSM token.

    :param generation: of the Sub-CA's key; ``None``: what the policy says today
    """
    made = _InSoftHsm(Home(folder))
    create_pki(made.home, Settings(environment="test"), default_policy_text(), process_surroundings(None, print))
    with made.open() as pki:
        _make_authorities(pki, generation)
    return made


def in_memory(folder: Path, generation: str | None) -> BenchmarkPki:
    """The same without a token: the keys are pyca's."""
    folder.mkdir()
    create_key(folder / "audit.key", secrets.token_bytes)
    engine = open_engine(_url(folder))
    migrate(engine)
    engine.dispose()
    signer = ec.generate_private_key(ec.BrainpoolP256R1())
    keys = SoftwareKeys()
    with _software_pki(folder, signer, keys) as pki:
        _make_authorities(pki, generation)
        return _InMemory(folder, _packed(signer), _packed(pki.authorities.sub_ca(SUB_CA).key))


def _make_authorities(pki: Pki, generation: str | None) -> None:
    pki.create_root()
    pki.create_sub_ca(SubCaOrder(SUB_CA.removesuffix(".CA"), generation=generation))


@dataclass(frozen=True)
class _InSoftHsm(BenchmarkPki):
    home: Home

    def open(self) -> AbstractContextManager[Pki]:
        return open_in_worker(self.home, "benchmark")

    def verify_audit(self) -> AuditReport:
        return verify_audit(self.home, process_surroundings(None, print))


@dataclass(frozen=True)
class _InMemory(BenchmarkPki):
    """:param audit_signer: and ``sub_ca_key``: DER PKCS#8, keys that live as long as the benchmark."""

    folder: Path
    audit_signer: bytes = field(repr=False)
    sub_ca_key: bytes = field(repr=False)

    def open(self) -> AbstractContextManager[Pki]:
        keys = SoftwareKeys()
        keys.add(SUB_CA, _unpacked(self.sub_ca_key))
        return _software_pki(self.folder, _unpacked(self.audit_signer), keys)

    def verify_audit(self) -> AuditReport:
        engine = open_engine(_url(self.folder))
        try:
            key, signer = read_key(self.folder / "audit.key"), _unpacked(self.audit_signer)
            return verify(engine, key, self.folder / "audit.head", signer.public_key())
        finally:
            engine.dispose()


@contextmanager
def _software_pki(folder: Path, signer: ec.EllipticCurvePrivateKey, keys: SoftwareKeys) -> Iterator[Pki]:
    engine = open_engine(_url(folder))
    owner = OwnerLock.take(folder / "run", secrets.token_bytes)
    try:
        chain = AuditChain(read_key(folder / "audit.key"), folder / "audit.head", clock=_now, signer=signer)
        store = Store(engine, chain, owner=owner)
        yield Pki(load_policy(default_policy_text()), "test", store, keys, _now)
    finally:
        owner.release()
        engine.dispose()


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'smpki.db'}"


def _now() -> datetime:
    return datetime.now(UTC)


def _packed(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _unpacked(data: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_der_private_key(data, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
