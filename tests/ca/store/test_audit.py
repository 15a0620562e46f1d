"""The audit chain: what is written, what an intruder changes, and what the verification finds."""

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Engine, text

from smpki.ca.store.audit import AuditChain, AuditReport, create_key, key_id, read_key, verify
from smpki.ca.store.audit_head import GENESIS, Head, HeadFile, canonical_json, row_mac
from smpki.ca.store.store import Store
from smpki.ca.store.tables import audit, audit_head
from smpki.db.engine import open_engine, writing
from smpki.errors import AuditError, TokenError

CASES = yaml.safe_load(Path(__file__).with_name("tampering.yaml").read_text())


@dataclass
class Ledger:
    """A chain of six entries under five heads, the file as it was before the last, and a way to meddle."""

    samples: ModuleType
    url: str
    home: Path
    file_before: bytes = b""

    @cached_property
    def engine(self) -> Engine:
        return open_engine(self.url)

    @property
    def file(self) -> Path:
        return self.home / "audit.head"

    def store(self, signer: object = "usual") -> Store:
        signer = self.samples.SIGNER if signer == "usual" else signer
        opened: Store = self.samples.open_store(self.url, self.home, signer=signer, engine=self.engine)
        return opened

    def fill(self) -> "Ledger":
        entry = self.samples.entry
        signing, unsigning = self.store(), self.store(signer=None)
        signing.complete([], [entry("Test.CA", "init")])
        signing.complete([], [entry("A.EMT", serials=["0a"]), entry("B.EMT", serials=["0b"])])
        unsigning.record(entry("C.EMT", "refuse", code="request.bad"))
        signing.complete([], [entry("D.EMT")])
        self.file_before = self.file.read_bytes()
        unsigning.record(entry("E.EMT", "refuse"))
        return self

    def meddle(self, *statements: str) -> None:
        with writing(self.engine) as connection:
            for statement in statements:
                connection.execute(text(statement))

    def meddle_with_file(self, how: str) -> None:
        content = self.file.read_bytes()
        other = Head(counter=5, seq=6, mac=json.loads(content)["mac"], at=self.samples.NOW)
        if how == "missing":
            self.file.unlink()
        elif how == "other key":
            alien = HeadFile(self.file, b"0" * 32)
            alien.stage(other)
            alien.publish()
        else:
            self.file.write_bytes(
                {
                    "garbage": b"\xff\x00{",
                    "truncated": content[: len(content) // 2],
                    "edited": content.replace(b'"counter":5', b'"counter":4'),
                    "nested": b"[" * 100_000,
                    "behind": self.file_before,
                }[how]
            )

    def verify(self) -> AuditReport:
        key = read_key(self.home / "audit.key")
        return verify(self.engine, key, self.file, self.samples.SIGNER.public_key())

    def found(self) -> list[list[str]]:
        return [[one.code, one.where.replace(str(self.file), "file")] for one in self.verify().findings]


@pytest.fixture
def ledger(samples: ModuleType, url: str, home: Path) -> Iterator[Ledger]:
    ledger = Ledger(samples, url, home).fill()
    yield ledger
    ledger.engine.dispose()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_tampering_is_found(ledger: Ledger, case: dict[str, Any]) -> None:
    ledger.meddle(*case.get("sql", []))
    if "file" in case:
        ledger.meddle_with_file(case["file"])
    report = ledger.verify()
    assert [[one.code, one.where.replace(str(ledger.file), "file")] for one in report.findings] == case["found"]
    assert report.holds is not bool(case["found"])
    assert all(one.message for one in report.findings)


def test_an_intruder_with_the_audit_key_but_without_the_token_is_found(ledger: Ledger) -> None:
    """Entry 2 is rewritten, and every MAC after it, and the file outside; the signatures are what is left."""
    key = read_key(ledger.home / "audit.key")
    with writing(ledger.engine) as connection:
        connection.execute(text("UPDATE audit SET subject = 'Mallory.EMT' WHERE seq = 2"))
        previous = GENESIS
        for row in connection.execute(audit.select().order_by(audit.c.seq)).mappings().all():
            mac = row_mac(key, {**row, "previous": previous})
            connection.execute(audit.update().where(audit.c.seq == row["seq"]).values(previous=previous, mac=mac))
            connection.execute(audit_head.update().where(audit_head.c.seq == row["seq"]).values(mac=mac))
            previous = mac
        head = connection.execute(audit_head.select().order_by(audit_head.c.counter.desc())).mappings().first()
    assert head is not None
    file = HeadFile(ledger.file, key)
    file.stage(Head(**head))
    file.publish()
    assert ledger.found() == [["audit.head.signature", "head 2"], ["audit.head.signature", "head 4"]]


def test_what_a_sound_chain_reports(ledger: Ledger) -> None:
    report = ledger.verify()
    assert (report.entries, report.heads, report.signed, report.behind, report.holds) == (6, 5, 3, 0, True)
    unsigned = verify(ledger.engine, read_key(ledger.home / "audit.key"), ledger.file, None)
    assert (unsigned.signed, unsigned.holds) == (0, True)
    ledger.file.write_bytes(ledger.file_before)
    assert ledger.verify().behind == 1


def test_the_wrong_audit_key_fits_nothing(ledger: Ledger) -> None:
    report = verify(ledger.engine, b"0" * 32, ledger.file, None)
    assert {one.code for one in report.findings} == {"audit.entry.changed", "audit.head_file.invalid"}
    assert len(report.findings) == 7


def test_a_ruined_chain_does_not_fill_the_memory(samples: ModuleType, store: Store, url: str, home: Path) -> None:
    store.complete([], [samples.entry(str(number)) for number in range(2500)])
    ledger = Ledger(samples, url, home)
    ledger.meddle("UPDATE audit SET subject = 'x'")
    report = ledger.verify()
    assert (report.entries, len(report.findings)) == (2500, 100)


@pytest.mark.parametrize(
    ("statements", "file", "code"),
    [
        (["DELETE FROM audit WHERE seq = 6", "DELETE FROM audit_head WHERE counter = 5"], None, "audit.tail.cut"),
        (["DELETE FROM audit", "DELETE FROM audit_head WHERE counter > 0"], None, "audit.tail.cut"),
        (["UPDATE audit_head SET mac = '00' WHERE counter = 5"], None, "audit.head.replaced"),
        (["DELETE FROM audit_head WHERE counter = 4"], "behind", "audit.head.replaced"),
        (["DELETE FROM audit_head WHERE counter = 0"], None, "audit.head.missing"),
        (["DELETE FROM audit_head"], None, "audit.head.missing"),
        ([], "missing", "audit.head_file.missing"),
        ([], "garbage", "audit.head_file.invalid"),
    ],
)
def test_nothing_is_added_where_it_would_hide_a_cut(
    ledger: Ledger, statements: list[str], file: str | None, code: str
) -> None:
    ledger.meddle(*statements)
    if file:
        ledger.meddle_with_file(file)
    before = ledger.found()
    with pytest.raises(AuditError) as refusal:
        ledger.store().record(ledger.samples.entry("after", "refuse"))
    assert refusal.value.code == code
    assert refusal.value.hint
    assert ledger.found() == before


def test_a_file_left_behind_by_a_crash_catches_up(ledger: Ledger) -> None:
    ledger.file.write_bytes(ledger.file_before)
    ledger.store().record(ledger.samples.entry("after", "refuse"))
    report = ledger.verify()
    assert (report.holds, report.behind, report.entries) == (True, 0, 7)


def test_entries_say_what_when_and_by_which_clock(samples: ModuleType, url: str, home: Path) -> None:
    home.mkdir()
    key = create_key(home / "audit.key", lambda count: b"k" * count)
    chain = AuditChain(key, home / "audit.head", clock=lambda: samples.NOW, test_clock=True)
    with chain.transaction(open_engine(url)) as transaction:
        transaction.append([samples.entry("Ä.EMT", "refuse", why="naïve", n=1, a=[True, None])])
    with open_engine(url).connect() as connection:
        row = connection.execute(text("SELECT * FROM audit")).mappings().one()
    detail = r'{"a":[true,null],"n":1,"why":"na\u00efve"}'
    told = [row[name] for name in ("seq", "action", "outcome", "subject", "detail", "test_clock", "previous")]
    assert told == [1, "refuse", "refused", "Ä.EMT", detail, True, GENESIS]
    assert verify(open_engine(url), key, home / "audit.head", None).holds


@pytest.mark.parametrize(
    "hostile", ["nul \x00", "lone \ud800", "line\nbreak", "\x1b[31mred", "right‮left", "x" * 100_000]
)
def test_hostile_text_is_recorded_all_the_same(
    samples: ModuleType, store: Store, url: str, home: Path, hostile: str
) -> None:
    store.record(samples.entry(hostile, "refuse", message=hostile))
    with open_engine(url).connect() as connection:
        subject = connection.execute(text("SELECT subject FROM audit")).scalar()
    assert subject and subject.isprintable()
    assert Ledger(samples, url, home).verify().holds


def test_a_signed_head_can_be_verified_by_anybody(samples: ModuleType, ledger: Ledger) -> None:
    content = json.loads(ledger.file_before)
    assert content["key_id"] == key_id(samples.SIGNER.public_key())
    signed = canonical_json(["smpki audit head", 4, 5, content["mac"], "2026-05-04T03:02:01.987654+00:00"]).encode()
    samples.SIGNER.public_key().verify(bytes.fromhex(content["signature"]), signed, ec.ECDSA(hashes.SHA256()))


def test_a_refusal_is_recorded_unsigned_when_the_token_fails(samples: ModuleType, url: str, home: Path) -> None:
    class Broken:
        public_key = samples.SIGNER.public_key

        def sign(self, data: bytes, algorithm: object) -> bytes:
            raise TokenError("token.missing", "the token is gone")

    store = samples.open_store(url, home, signer=Broken())
    store.record(samples.entry("A.EMT", "refuse"))
    with pytest.raises(TokenError):
        store.complete([], [samples.entry("A.EMT", "issue")])
    report = Ledger(samples, url, home).verify()
    assert (report.holds, report.entries, report.signed) == (True, 1, 0)


def test_the_audit_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "audit.key"
    key = create_key(file, lambda count: bytes(range(count)))
    assert (len(key), read_key(file), stat.S_IMODE(file.stat().st_mode)) == (32, key, 0o600)
    with pytest.raises(AuditError, match=r"audit\.key\.exists"):
        create_key(file, lambda count: b"x" * count)
    assert read_key(file) == key


@pytest.mark.parametrize(
    ("content", "mode", "code"),
    [
        (None, 0, "audit.key.missing"),
        (b"00" * 32, 0o640, "audit.key.mode"),
        (b"00" * 32, 0o604, "audit.key.mode"),
        (b"", 0o600, "audit.key.invalid"),
        (b"00" * 31, 0o600, "audit.key.invalid"),
        (b"\xff" * 32, 0o600, "audit.key.invalid"),
    ],
)
def test_a_bad_audit_key_is_refused(tmp_path: Path, content: bytes | None, mode: int, code: str) -> None:
    file = tmp_path / "audit.key"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    with pytest.raises(AuditError) as refusal:
        read_key(file)
    assert refusal.value.code == code
    assert refusal.value.hint
    assert "ff" not in str(refusal.value)
