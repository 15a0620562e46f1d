"""A CA process for the tests: ``store_program.py JOB URL HOME ARGUMENT``. Also the samples that the tests use."""

import hashlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Engine

from smpki.ca.store.audit import AuditChain, create_key, read_key
from smpki.ca.store.audit_head import HeadFile
from smpki.ca.store.owner import OwnerLock
from smpki.ca.store.records import (
    AuditEntry,
    GrantedRequest,
    Intent,
    Issued,
    Participant,
    StoredCertificate,
)
from smpki.ca.store.store import Store
from smpki.db.engine import open_engine
from smpki.errors import SmpkiError

NOW = datetime(2026, 5, 4, 3, 2, 1, 987654, tzinfo=UTC)
SIGNER = ec.derive_private_key(0x5EED, ec.BrainpoolP256R1())


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def certificate(cn: str, purpose: str = "", *, number: int | None = 1, **changes: object) -> StoredCertificate:
    """A certificate that differs in all that must, by CN, purpose and number."""
    seed = f"{cn} {purpose} {number}"
    fields: dict[str, object] = {
        "serial": digest(f"serial {seed}")[:32],
        "issuer_serial": None,
        "kind": "emt",
        "purpose": purpose,
        "subject_cn": cn,
        "subject_key": f"cn={cn.lower()}",
        "dn_serial": number,
        "not_before": NOW,
        "not_after": NOW + timedelta(days=730),
        "key_hash": digest(f"key {seed}"),
        "der": f"certificate {seed}".encode(),
    }
    return StoredCertificate(**(fields | changes))  # type: ignore[arg-type]


def triple(cn: str, *, number: int = 1, package: str = "", **changes: object) -> Issued:
    """TLS, SIG and ENC for one request package."""
    der = (package or f"package {cn} {number}").encode()
    name = hashlib.sha256(der).hexdigest()
    purposes = ("tls", "sig", "enc")
    return Issued(
        certificates=tuple(
            certificate(cn, purpose, number=number, **({"request_digest": name} | changes)) for purpose in purposes
        ),
        request=GrantedRequest(
            digest=name,
            received_at=NOW,
            kind="initial",
            subject_cn=cn,
            role="emt",
            sub_ca="Test.CA",
            dn_serial=number,
            der=der,
        ),
        participant=Participant(subject_cn=cn, subject_key=f"cn={cn.lower()}", role="emt", organisation="SM-Test"),
    )


def intents(*issued: Issued, **changes: object) -> list[Intent]:
    """What the CA records before it signs these."""
    names = Intent.__dataclass_fields__.keys() - {"tbs_hash", "key_scope"}
    return [
        Intent(
            **({name: getattr(one, name) for name in names} | {"tbs_hash": digest(one.serial)} | changes)  # type: ignore[arg-type]
        )
        for each in issued
        for one in each.certificates
    ]


def entry(subject: str = "somebody", action: str = "issue", **detail: object) -> AuditEntry:
    return AuditEntry(
        action=action, outcome="refused" if action == "refuse" else "done", subject=subject, detail=detail
    )


def open_store(
    url: str, home: Path, *, signer: object = SIGNER, owner: OwnerLock | None = None, engine: Engine | None = None
) -> Store:
    """A store as a process has it; the audit key is made with the first."""
    home.mkdir(exist_ok=True)
    file = home / "audit.key"
    key = read_key(file) if file.exists() else create_key(file, os.urandom)
    chain = AuditChain(key, home / "audit.head", clock=lambda: NOW, signer=signer)  # type: ignore[arg-type]
    return Store(engine or open_engine(url), chain, owner=owner or OwnerLock.take(home / "run", os.urandom))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlySigner:
    """A token during whose signature the process is killed."""

    public_key = SIGNER.public_key

    def sign(self, data: bytes, algorithm: object) -> bytes:
        die()
        return b""


def job_race(url: str, home: Path, names: str) -> None:
    """Issue for the same subjects as everybody else, when the file ``go`` is there; tell who won what."""
    store = open_store(url, home)
    print("ready", flush=True)
    while not (home / "go").exists():
        time.sleep(0.001)
    for cn in names.split(","):
        try:
            own = triple(cn, package=f"{cn} of process {os.getpid()}")
            store.record_intents(intents(own, key_scope=str(os.getpid())))
            store.complete([own], [entry(cn)])
            print("won", flush=True)
        except SmpkiError as error:
            print(error.code, flush=True)


def job_append(url: str, home: Path, count: str) -> None:
    """Add entries to the audit chain as fast as it goes."""
    store = open_store(url, home)
    for number in range(int(count)):
        store.record(entry(f"process {os.getpid()} entry {number}", "refuse"))


def job_crash(url: str, home: Path, step: str) -> None:
    """Issue for one subject, and be killed at one step of it."""
    store = open_store(url, home, signer=DeadlySigner() if step == "before-commit" else SIGNER)
    one = triple("Crash.EMT")
    if step == "intents-uncommitted":
        store.record_intents(intents(one), check=lambda view: die())
    store.record_intents(intents(one))
    if step == "intents-committed":
        die()
    if step == "committed":
        HeadFile.publish = lambda self: die()  # type: ignore[method-assign]
    store.complete([one], [entry("Crash.EMT")])
    die()


def main(arguments: Sequence[str]) -> None:
    job, url, home, argument = arguments
    {"race": job_race, "append": job_append, "crash": job_crash}[job](url, Path(home), argument)


if __name__ == "__main__":
    main(sys.argv[1:])
