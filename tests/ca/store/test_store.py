"""Intents, results and what can be read of them."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from smpki.ca.store.records import Intent, Issued, Standing
from smpki.ca.store.store import Store, StoreView
from smpki.db.engine import open_engine, reading
from smpki.errors import IssuingError, SmpkiError, StoreError, TokenError


def issue(samples: ModuleType, store: Store, *issued: Any) -> None:
    store.record_intents(samples.intents(*issued))
    store.complete(issued, [samples.entry("somebody")])


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with reading(open_engine(url)) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def counts(url: str) -> dict[str, int]:
    tables = ("certificate", "request", "participant", "audit", "audit_head")
    return {table: rows(url, f"SELECT count(*) FROM {table}")[0][0] for table in tables}


EMPTY = {"certificate": 0, "request": 0, "participant": 0, "audit": 0, "audit_head": 1}


def test_what_was_issued_comes_back_whole(samples: ModuleType, store: Store) -> None:
    root = samples.certificate(
        "Test.CA",
        kind="root",
        key_use_end=samples.NOW + timedelta(days=1, microseconds=3),
        token_key_id="0a0b",
        generation="2026",
    )
    own = samples.triple("Ganz-Groß.EMT", issuer_serial=root.serial)
    issue(samples, store, Issued(certificates=(root,)), own)
    assert store.get(root.serial) == root
    assert store.issued_for(own.request.digest) == own.certificates
    assert store.issued_for("00" * 32) == ()


def test_many_packages_at_once(samples: ModuleType, store: Store, url: str) -> None:
    all_of_them = [samples.triple(f"Many-{number}.EMT") for number in range(40)]
    issue(samples, store, *all_of_them)
    digests = [one.request.digest for one in all_of_them]
    assert store.issued_for_each([*digests, "00" * 32]) == {one.request.digest: one.certificates for one in all_of_them}
    assert counts(url) == {"certificate": 120, "request": 40, "participant": 40, "audit": 1, "audit_head": 2}
    assert rows(url, "SELECT DISTINCT state FROM intent") == [("issued",)]


def test_a_participant_is_kept_once_for_each_role(samples: ModuleType, store: Store, url: str) -> None:
    issue(samples, store, samples.triple("Twice.EMT"))
    issue(samples, store, samples.triple("Twice.EMT", number=2), samples.triple("Twice.EMT", number=3))
    assert rows(url, "SELECT subject_cn, role FROM participant") == [("Twice.EMT", "emt")]


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (lambda s: s.triple("A.EMT"), "issuing.package.in_progress"),
        (lambda s: s.triple("A.EMT", package="other"), "issuing.subject.taken"),
        (lambda s: s.triple("B.EMT", key_hash=s.triple("A.EMT").certificates[1].key_hash), "issuing.key.reused"),
        (lambda s: s.triple("B.EMT", serial=s.triple("A.EMT").certificates[1].serial), "issuing.serial.taken"),
    ],
    ids=["package", "subject", "key", "serial"],
)
@pytest.mark.parametrize("state", ["open", "issued", "same call"])
def test_what_is_held_is_not_held_twice(
    samples: ModuleType, store: Store, url: str, second: Callable[[ModuleType], Any], code: str, state: str
) -> None:
    first, harmless = samples.triple("A.EMT"), samples.triple("Harmless.EMT")
    together = samples.intents(harmless, second(samples))
    if state == "same call":
        together = samples.intents(harmless, first, second(samples))
    elif state == "open":
        store.record_intents(samples.intents(first))
    else:
        issue(samples, store, first)
    before = rows(url, "SELECT serial FROM intent")
    with pytest.raises(IssuingError) as refusal:
        store.record_intents(together)
    assert refusal.value.code == code
    assert refusal.value.where in {one.serial for one in samples.intents(second(samples))}
    assert rows(url, "SELECT serial FROM intent") == before


def test_an_abandoned_intent_frees_all_but_its_serial_number(samples: ModuleType, store: Store) -> None:
    one = samples.triple("A.EMT")
    store.record_intents(samples.intents(one))
    store.abandon([each.serial for each in one.certificates], [samples.entry("A.EMT", "refuse")])
    with pytest.raises(IssuingError) as refusal:
        store.record_intents(samples.intents(one))
    assert refusal.value.code == "issuing.serial.taken"
    others = Issued(
        certificates=tuple(
            samples.certificate("A.EMT", each.purpose, serial=f"0{number}", request_digest=each.request_digest)
            for number, each in enumerate(one.certificates)
        ),
        request=one.request,
    )
    issue(samples, store, others)
    assert store.issued_for(one.request.digest) == others.certificates


def test_the_guetesiegel_number_0_may_repeat(samples: ModuleType, store: Store) -> None:
    issue(samples, store, samples.triple("Meter.SMGW", number=0, kind="smgw-g"))
    again = samples.triple("Meter.SMGW", number=0, kind="smgw-g", package="another")
    store.record_intents(
        [
            Intent(
                serial=f"0{number}",
                tbs_hash="",
                issuer_serial=None,
                kind="smgw-g",
                purpose=one.purpose,
                subject_key=one.subject_key,
                dn_serial=0,
                key_hash=f"key {number}",
                request_digest=one.request_digest,
            )
            for number, one in enumerate(again.certificates)
        ]
    )
    standing = store.standings(["cn=meter.smgw"], samples.NOW)["cn=meter.smgw", "smgw-g"]
    assert (standing.highest, standing.pending) == (0, True)


def test_a_key_gets_a_second_certificate_only_by_design(samples: ModuleType, store: Store) -> None:
    root = samples.certificate("New.CA", kind="root", number=2)
    link = samples.certificate("New.CA", kind="link", number=2, serial="0c", key_hash=root.key_hash)
    issue(samples, store, Issued(certificates=(root,)))
    with pytest.raises(IssuingError, match=r"issuing\.key\.reused"):
        store.record_intents(samples.intents(Issued(certificates=(link,))))
    store.record_intents(samples.intents(Issued(certificates=(link,)), key_scope="link"))
    with pytest.raises(IssuingError, match=r"issuing\.(key\.reused|subject\.taken)"):
        second = Issued(certificates=(samples.certificate("X", kind="link", serial="0d", key_hash=root.key_hash),))
        store.record_intents(samples.intents(second, key_scope="link"))


def test_a_check_sees_the_store_and_can_refuse(samples: ModuleType, store: Store, url: str) -> None:
    issue(samples, store, samples.triple("A.EMT"))
    seen = []

    def check(view: StoreView) -> None:
        seen.append(view.standings(["cn=a.emt"], samples.NOW)["cn=a.emt", "emt"])
        raise IssuingError("issuing.triple.valid", "it has a valid triple")

    with pytest.raises(IssuingError, match=r"issuing\.triple\.valid"):
        store.record_intents(samples.intents(samples.triple("A.EMT", number=2)), check)
    assert [(one.highest, one.pending) for one in seen] == [(1, False)]
    assert seen[0].valid_until == samples.NOW + timedelta(days=730)
    assert rows(url, "SELECT count(*) FROM intent") == [(3,)]


def test_nothing_is_stored_without_an_intent(samples: ModuleType, store: Store, url: str) -> None:
    with pytest.raises(StoreError, match=r"store\.intent\.missing"):
        store.complete([samples.triple("A.EMT")], [samples.entry()])
    assert counts(url) == EMPTY


def test_nothing_is_stored_for_an_abandoned_intent(samples: ModuleType, store: Store, url: str) -> None:
    one = samples.triple("A.EMT")
    store.record_intents(samples.intents(one))
    store.abandon([one.certificates[1].serial], [samples.entry("A.EMT", "refuse")])
    before = counts(url)
    with pytest.raises(StoreError, match=r"store\.intent\.missing"):
        store.complete([one], [samples.entry()])
    assert counts(url) == before


def test_an_intent_of_another_process_is_not_completed(samples: ModuleType, store: Store, url: str, home: Path) -> None:
    one = samples.triple("A.EMT")
    samples.open_store(url, home).record_intents(samples.intents(one))
    with pytest.raises(StoreError, match=r"store\.intent\.missing"):
        store.complete([one], [samples.entry()])
    assert counts(url) == EMPTY


def test_nothing_is_issued_without_an_audit_entry(samples: ModuleType, store: Store, url: str) -> None:
    one = samples.triple("A.EMT")
    store.record_intents(samples.intents(one))
    with pytest.raises(ValueError, match="audit"):
        store.complete([one], [])
    assert counts(url) == EMPTY


class BrokenSigner:
    """A token that is gone."""

    def __init__(self, public_key: Callable[[], object]) -> None:
        self.public_key = public_key

    def sign(self, data: bytes, algorithm: object) -> bytes:
        raise TokenError("token.missing", "the token is gone")


def test_nothing_is_issued_when_the_audit_head_cannot_be_signed(samples: ModuleType, url: str, home: Path) -> None:
    store = samples.open_store(url, home, signer=BrokenSigner(samples.SIGNER.public_key))
    one = samples.triple("A.EMT")
    store.record_intents(samples.intents(one))
    with pytest.raises(TokenError):
        store.complete([one], [samples.entry()])
    assert counts(url) == EMPTY
    store.abandon([each.serial for each in one.certificates], [samples.entry("A.EMT", "refuse")])
    assert counts(url) == EMPTY | {"audit": 1, "audit_head": 2}


def test_nothing_is_issued_when_the_audit_row_cannot_be_written(samples: ModuleType, store: Store, url: str) -> None:
    one = samples.triple("A.EMT")
    store.record_intents(samples.intents(one))
    with open_engine(url).begin() as connection:
        connection.execute(text("ALTER TABLE audit RENAME TO audit_gone"))
    with pytest.raises(StoreError, match=r"store\.version"):
        store.complete([one], [samples.entry()])
    with open_engine(url).begin() as connection:
        connection.execute(text("ALTER TABLE audit_gone RENAME TO audit"))
    assert counts(url) == EMPTY
    store.complete([one], [samples.entry()])


def test_nothing_is_issued_when_the_head_outside_cannot_be_written(
    samples: ModuleType, store: Store, url: str, home: Path
) -> None:
    one = samples.triple("A.EMT")
    store.record_intents(samples.intents(one))
    obstacle = home / "audit.head.new"
    obstacle.mkdir()
    with pytest.raises(StoreError, match=r"store\.io"):
        store.complete([one], [samples.entry()])
    assert counts(url) == EMPTY
    obstacle.rmdir()
    store.complete([one], [samples.entry()])


def test_a_full_disk_leaves_no_half_triple(
    samples: ModuleType, tmp_path: Path, home: Path, _sqlite_template: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'smpki.db'}"
    (tmp_path / "smpki.db").write_bytes(_sqlite_template.read_bytes())
    store = samples.open_store(url, home)
    one = samples.triple("A.EMT", der=b"0" * 100_000)
    store.record_intents(samples.intents(one))
    engine: Engine = store._engine
    engine.dispose()
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1").close())
    with pytest.raises(StoreError, match=r"store\.full"):
        store.complete([one], [samples.entry()])
    assert counts(url) == EMPTY
    assert len(store.open_intents()) == 3


@pytest.mark.parametrize(
    ("prefix", "answer"),
    [
        ("0123456789abcdef", "0123456789abcdef"),
        ("01:23:45:67:89:AB:CD:EF", "0123456789abcdef"),
        ("01234567F", "01234567f0"),
        ("0123", "store.serial.ambiguous"),
        ("01234567", "store.serial.ambiguous"),
        ("f0", "f0"),
        ("f", "store.serial.ambiguous"),
        ("aa", "store.serial.unknown"),
        ("", "store.serial.invalid"),
        ("01 OR 1=1", "store.serial.invalid"),
        ("%", "store.serial.invalid"),
    ],
)
def test_find_by_prefix(samples: ModuleType, store: Store, prefix: str, answer: str) -> None:
    serials = ("0123456789abcdef", "01234567f0", "f0", "f00d", "0123000000")
    those = [samples.certificate(f"{serial}.EMT", serial=serial) for serial in serials]
    issue(samples, store, Issued(certificates=tuple(those)))
    try:
        found = store.find(prefix).serial
    except SmpkiError as refusal:
        found = refusal.code
        assert refusal.hint
    assert found == answer


def test_pages_show_all_once_in_the_order_of_issue_without_the_bytes(samples: ModuleType, store: Store) -> None:
    all_of_them = [samples.triple(f"Page-{number}.EMT") for number in range(7)]
    issue(samples, store, *all_of_them)
    statements: list[str] = []
    event.listen(store._engine, "before_cursor_execute", lambda _c, _k, statement, *_: statements.append(statement))
    pages, after = [], None
    while True:
        page = store.page(after=after, limit=6)
        pages.append(page.certificates)
        after = page.next
        if after is None:
            break
    assert [len(page) for page in pages] == [6, 6, 6, 3]
    expected = [one.serial for each in all_of_them for one in each.certificates]
    assert [one.serial for page in pages for one in page] == expected
    assert not any(hasattr(one, "der") for page in pages for one in page)
    assert not any(
        "der" in statement.replace("ORDER", "").replace("order", "").split("FROM")[0] for statement in statements
    )


def test_pages_by_kind_name_issuer_and_end(samples: ModuleType, store: Store) -> None:
    ca = samples.certificate("Test.CA", kind="sub-ca", not_after=samples.NOW + timedelta(days=9000))
    issue(
        samples,
        store,
        Issued(certificates=(ca,)),
        samples.triple("A.EMT", issuer_serial=ca.serial),
        samples.triple("B.GWA", kind="gwa", not_after=samples.NOW + timedelta(days=1)),
    )

    def names(**filters: object) -> list[tuple[str, str]]:
        return [(one.subject_cn, one.purpose) for one in store.page(**filters).certificates]  # type: ignore[arg-type]

    assert names(kind="sub-ca") == [("Test.CA", "")]
    assert names(cn="A.EMT", purpose="enc") == [("A.EMT", "enc")]
    assert names(issuer_serial=ca.serial) == [("A.EMT", "tls"), ("A.EMT", "sig"), ("A.EMT", "enc")]
    assert names(expires_before=samples.NOW + timedelta(days=2), purpose="sig") == [("B.GWA", "sig")]
    assert names(cn="A.EMT' OR '1'='1") == []


def test_an_empty_store_has_one_empty_page(store: Store) -> None:
    assert store.page() == store.page(limit=1)
    assert (store.page().certificates, store.page().next) == ((), None)


def test_the_latest_certificate_and_the_own_authorities(samples: ModuleType, store: Store) -> None:
    first = samples.certificate("Test.CA", kind="sub-ca", token_key_id="01")
    second = samples.certificate("Test.CA", kind="sub-ca", token_key_id="02", number=2)
    other = samples.certificate("Other.CA", kind="sub-ca", token_key_id="03")
    foreign = samples.certificate("Test.CA", kind="sub-ca", number=3)
    issue(samples, store, Issued(certificates=(second, first, other)))
    assert store.latest("sub-ca", "cn=test.ca") == second
    assert store.latest("root", "cn=test.ca") is None
    issue(samples, store, Issued(certificates=(foreign,)))
    assert store.latest("sub-ca", "cn=test.ca") == foreign
    assert store.authorities(cn="Test.CA") == (second, first)
    assert set(store.authorities(kind="sub-ca")) == {first, second, other}
    assert store.authorities(kind="root") == ()


@pytest.mark.parametrize(
    ("days", "valid"), [(-1, False), (0, True), (730, True), (731, False)], ids=["before", "begin", "end", "after"]
)
def test_how_a_subject_stands(samples: ModuleType, store: Store, days: int, valid: bool) -> None:
    issue(samples, store, samples.triple("A.EMT"))
    store.record_intents(samples.intents(samples.triple("A.EMT", number=2), samples.triple("B.EMT")))
    found = store.standings(["cn=a.emt", "cn=b.emt", "cn=c.emt"], samples.NOW + timedelta(days=days))
    until = samples.NOW + timedelta(days=730) if valid else None
    assert found == {
        ("cn=a.emt", "emt"): Standing(highest=2, valid_until=until, pending=True),
        ("cn=b.emt", "emt"): Standing(highest=1, valid_until=None, pending=True),
    }


def test_nothing_on_the_hot_path_reads_whole_tables(
    samples: ModuleType, _sqlite_template: Path, tmp_path: Path
) -> None:
    (tmp_path / "smpki.db").write_bytes(_sqlite_template.read_bytes())
    store = samples.open_store(f"sqlite:///{tmp_path / 'smpki.db'}", tmp_path / "home")
    asked: list[tuple[str, Any]] = []
    event.listen(
        store._engine, "before_cursor_execute", lambda _c, _k, statement, values, *_: asked.append((statement, values))
    )
    one = samples.triple("A.EMT")
    store.issued_for_each([one.request.digest])
    store.record_intents(samples.intents(one), lambda view: view.standings(["cn=a.emt"], samples.NOW) and None)
    store.complete([one], [samples.entry()])
    store.latest("emt", "cn=a.emt", "tls")
    store.authorities(cn="Test.CA")
    store.find(one.certificates[0].serial[:6])
    store.page(kind="emt", after=one.certificates[0].serial)
    store.page(cn="A.EMT", after=one.certificates[0].serial)
    store.page(issuer_serial="00", after=one.certificates[0].serial)
    store.open_intents()
    plans = []
    with reading(store._engine) as connection:
        for statement, values in [each for each in asked if each[0].startswith(("SELECT", "UPDATE"))]:
            some = values[0] if isinstance(values, list) else values
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", some).all()
            plans += [(row[3], statement) for row in plan]
    assert len(plans) > 12
    whole = [(step, statement) for step, statement in plans if step.startswith("SCAN") and "USING INDEX" not in step]
    assert [step for step, _ in whole] == ["SCAN audit_head"], whole  # from its end, for one row
