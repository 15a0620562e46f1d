"""Taking certificates back: what may be revoked, suspended and resumed, what is refused, and what it leaves behind."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import event

from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.triples import Order
from smpki.db.engine import reading
from smpki.errors import SmpkiError
from smpki.policy.reasons import read_reason, reason_of_number

SUB_CA = "Beispiel.CA"


@pytest.fixture
def emt(workshop: Any, packages: Any) -> list[Any]:
    """The triple of a market participant: TLS, SIG, ENC."""
    return list(workshop.issue(packages.make()).certificates)


@pytest.fixture
def gateway(workshop: Any, packages: Any) -> list[Any]:
    """The triple of a gateway's quality seal."""
    return list(workshop.issue(packages.gateway()).certificates)


def rows(workshop: Any) -> dict[str, dict[str, Any]]:
    return {row["serial"]: row for row in workshop.tables()["revocation"]}


def last_audit(workshop: Any, count: int = 1) -> list[dict[str, Any]]:
    return list(workshop.tables()["audit"][-count:])


def authority(workshop: Any, kind: str) -> Any:
    with workshop.open() as pki:
        (found,) = pki.store.page(kind=kind).certificates
        return pki.store.get(found.serial)


def refused(code: str, act: Callable[[], object]) -> SmpkiError:
    with pytest.raises(SmpkiError) as refusal:
        act()
    assert refusal.value.code == code
    assert refusal.value.hint
    return refusal.value


# Revoking


def test_a_triple_is_revoked_together_with_one_row_each_and_one_audit_entry(workshop: Any, emt: list[Any]) -> None:
    workshop.now += timedelta(days=3, microseconds=5)
    before = workshop.tables()
    with workshop.open() as pki:
        done = pki.revocations.revoke([emt[1].serial], "key_compromise")
    after = workshop.tables()
    assert {one.certificate.serial for one in done} == {one.serial for one in emt}
    assert {table for table in after if after[table] != before[table]} == {"revocation", "audit", "audit_head"}
    assert len(after["revocation"]) == 3
    assert len(after["audit"]) == len(before["audit"]) + 1
    for one in emt:
        row = rows(workshop)[one.serial]
        assert (row["reason"], row["suspended_until"]) == ("key_compromise", None)
        assert row["since"] == workshop.now.replace(microsecond=0)
        assert (row["issuer_serial"], row["kind"], row["not_after"]) == (one.issuer_serial, "emt", one.not_after)
    (entry,) = last_audit(workshop)
    assert (entry["action"], entry["outcome"], entry["subject"]) == ("revoke", "done", "Firma.EMT.MAK")
    assert all(one.serial in entry["detail"] for one in emt)
    assert '"reason":"key_compromise"' in entry["detail"]
    assert "requested_by" not in entry["detail"]
    workshop.assert_chain_holds()


@pytest.mark.parametrize(
    ("policy_says", "asked", "count"), [(True, None, 3), (True, False, 1), (False, None, 1), (False, True, 3)]
)
def test_whether_the_triple_goes_along(
    workshop: Any, emt: list[Any], changed_policy: Any, policy_says: bool, asked: bool | None, count: int
) -> None:
    policy = changed_policy({"revocation.triple_together": policy_says})
    with workshop.open(policy=policy) as pki:
        done = pki.revocations.revoke([emt[0].serial], "superseded", triple=asked)
    assert len(done) == count
    assert emt[0].serial in rows(workshop)


@pytest.mark.parametrize("form", ["serial", "first digits", "DER", "PEM"])
def test_ways_to_name_a_certificate(workshop: Any, emt: list[Any], form: str) -> None:
    certificate = x509.load_der_x509_certificate(emt[0].der)
    named: dict[str, str | bytes] = {
        "serial": emt[0].serial,
        "first digits": emt[0].serial[:12].upper(),
        "DER": emt[0].der,
        "PEM": b"as the holder sent it:\n" + certificate.public_bytes(Encoding.PEM),
    }
    with workshop.open() as pki:
        (done,) = pki.revocations.revoke([named[form]], "superseded", triple=False)
    assert done.certificate.serial == emt[0].serial


def test_on_behalf_of_another(workshop: Any, emt: list[Any]) -> None:
    with workshop.open() as pki:
        pki.revocations.revoke([emt[0].serial], "superseded", requested_by="Firma.EMT.MAK")
    assert '"requested_by":"Firma.EMT.MAK"' in last_audit(workshop)[0]["detail"]


def test_what_is_left_of_a_triple_goes_when_the_rest_is_revoked_already(workshop: Any, emt: list[Any]) -> None:
    tls, sig, enc = (one.serial for one in emt)
    with workshop.open() as pki:
        pki.revocations.revoke([enc], "key_compromise", triple=False)
        done = pki.revocations.revoke([sig], "superseded")
    assert {one.certificate.serial for one in done} == {tls, sig}
    assert {serial: row["reason"] for serial, row in rows(workshop).items()} == {
        tls: "superseded",
        sig: "superseded",
        enc: "key_compromise",
    }


def test_several_at_once_have_an_audit_entry_for_each_holder(
    workshop: Any, packages: Any, emt: list[Any], gateway: list[Any]
) -> None:
    with workshop.open() as pki:
        pki.revocations.revoke([emt[0].serial, gateway[0].serial, gateway[1].serial], "unspecified")
    assert len(rows(workshop)) == 6
    assert {row["subject"] for row in last_audit(workshop, 2)} == {"Firma.EMT.MAK", "EABC0000000001.SMGW"}
    workshop.assert_chain_holds()


def test_all_of_a_call_or_nothing(workshop: Any, emt: list[Any], gateway: list[Any]) -> None:
    with workshop.open() as pki:
        pki.revocations.revoke([gateway[0].serial], "superseded")
        with workshop.nothing_but_audit():
            act = lambda: pki.revocations.revoke([emt[0].serial, gateway[0].serial], "superseded")  # noqa: E731
            refused("revocation.revoked", act)


@pytest.mark.parametrize("kind", ["sub-ca", "crl-signer", "tls-signer", "root-tls", "sub-ca-tls", "sub-ca-tls-root"])
def test_what_is_no_end_users_is_revoked_alone(workshop: Any, kind: str) -> None:
    one = authority(workshop, kind)
    with workshop.open() as pki:
        (done,) = pki.revocations.revoke([one.serial], "cessation_of_operation")
    assert done.certificate == one
    assert rows(workshop)[one.serial]["issuer_serial"] == one.issuer_serial


# Reasons


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("key_compromise", "key_compromise"),
        ("keyCompromise", "key_compromise"),
        ("key-compromise", "key_compromise"),
        ("cACompromise", "ca_compromise"),
        ("0", "unspecified"),
        ("10", "aa_compromise"),
        ("removeFromCRL", "remove_from_crl"),
    ],
)
def test_a_reason_in_any_spelling(text: str, reason: str) -> None:
    assert read_reason(text) == reason


@pytest.mark.parametrize("text", ["7", "11", "-1", "", "stolen", "1 ", "１", "9" * 5000, "key compromise"])
def test_what_is_no_reason(workshop: Any, emt: list[Any], text: str) -> None:
    with workshop.open() as pki, workshop.nothing_but_audit() as added:
        refused("revocation.reason.unknown", lambda: pki.revocations.revoke([emt[0].serial], text))
    assert added[0]["outcome"] == "refused"
    assert added[0]["detail"]["code"] == "revocation.reason.unknown"


@pytest.mark.parametrize("number", [-1, 7, 11])
def test_numbers_that_are_no_reason(number: int) -> None:
    refused("revocation.reason.unknown", lambda: reason_of_number(number))


@pytest.mark.parametrize("reason", ["certificate_hold", "remove_from_crl"])
def test_reasons_that_revoke_nothing(workshop: Any, gateway: list[Any], reason: str) -> None:
    with workshop.open() as pki, workshop.nothing_but_audit():
        refused("revocation.reason.suspension", lambda: pki.revocations.revoke([gateway[0].serial], reason))


def test_reasons_that_the_policy_leaves_out(workshop: Any, emt: list[Any], changed_policy: Any) -> None:
    policy = changed_policy({"revocation.reasons": ["superseded", "certificate_hold"]})
    with workshop.open(policy=policy) as pki, workshop.nothing_but_audit():
        act = lambda: pki.revocations.revoke([emt[0].serial], "key_compromise")  # noqa: E731
        assert "superseded" in refused("revocation.reason.not_allowed", act).hint


def test_one_call_for_all_reasons(workshop: Any, gateway: list[Any]) -> None:
    serial = gateway[0].serial
    states = []
    with workshop.open() as pki:
        for reason in ("certificateHold", "removeFromCRL", "superseded"):
            done = pki.revocations.change([serial], reason)
            states.append(done[0].revocation.reason if done[0].revocation else "in force")
        with workshop.nothing_but_audit():
            refused("revocation.reason.unknown", lambda: pki.revocations.change([serial], "7"))
    assert states == ["certificate_hold", "in force", "superseded"]


# Refused, and nothing but an audit entry stays


@pytest.mark.parametrize(
    ("which", "code"),
    [
        ("ffff", "store.serial.unknown"),
        ("not hexadecimal", "store.serial.invalid"),
        (b"", "revocation.certificate.unreadable"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "revocation.certificate.unreadable"),
        (b"\x30\x80\x00\x00", "revocation.certificate.unreadable"),
    ],
)
@pytest.mark.parametrize("action", ["revoke", "suspend", "resume"])
def test_what_nobody_issued(workshop: Any, action: str, which: str | bytes, code: str) -> None:
    how = {"reason": "superseded"} if action == "revoke" else {}
    with workshop.open() as pki, workshop.nothing_but_audit() as added:
        refused(code, lambda: getattr(pki.revocations, action)([which], **how))
    assert (added[0]["action"], added[0]["outcome"]) == (action, "refused")
    assert added[0]["detail"]["code"] == code


def other_certificate(one: x509.Certificate, serial: int) -> bytes:
    """A stranger's certificate with the same names."""
    key = ec.generate_private_key(ec.BrainpoolP256R1())
    dates = one.not_valid_before_utc, one.not_valid_after_utc
    return (
        x509.CertificateBuilder(one.issuer, one.subject, key.public_key(), serial, *dates)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


@pytest.mark.parametrize("same_serial", [False, True])
def test_a_foreign_certificate(workshop: Any, emt: list[Any], same_serial: bool) -> None:
    ours = x509.load_der_x509_certificate(emt[0].der)
    foreign = other_certificate(ours, ours.serial_number if same_serial else 12345)
    with workshop.open() as pki, workshop.nothing_but_audit():
        refused("revocation.certificate.foreign", lambda: pki.revocations.revoke([foreign], "superseded"))


def test_a_root(workshop: Any) -> None:
    root = authority(workshop, "root")
    with workshop.open() as pki, workshop.nothing_but_audit():
        refused("revocation.certificate.root", lambda: pki.revocations.revoke([root.serial], "ca_compromise"))


@pytest.mark.parametrize("action", ["revoke", "suspend", "resume"])
def test_an_expired_certificate(workshop: Any, gateway: list[Any], action: str) -> None:
    serial = gateway[0].serial
    with workshop.open() as pki:
        pki.revocations.suspend([serial])
    workshop.now = gateway[0].not_after + timedelta(seconds=1)
    how = {"reason": "superseded"} if action == "revoke" else {}
    with workshop.open() as pki, workshop.nothing_but_audit():
        refused("revocation.certificate.expired", lambda: getattr(pki.revocations, action)([serial], **how))


def test_a_certificate_is_taken_back_until_its_last_second(workshop: Any, emt: list[Any]) -> None:
    workshop.now = emt[0].not_after
    with workshop.open() as pki:
        assert len(pki.revocations.revoke([emt[0].serial], "superseded")) == 3


def test_revoked_once_is_revoked_for_good(workshop: Any, gateway: list[Any]) -> None:
    serial = gateway[0].serial
    with workshop.open() as pki:
        pki.revocations.revoke([serial], "superseded")
        for act in (
            lambda: pki.revocations.revoke([serial], "key_compromise"),
            lambda: pki.revocations.suspend([serial]),
            lambda: pki.revocations.resume([serial]),
        ):
            with workshop.nothing_but_audit():
                refused("revocation.revoked", act)


# Suspending


def test_a_gateway_is_suspended_for_the_longest_time_and_resumed(workshop: Any, gateway: list[Any]) -> None:
    with workshop.open() as pki:
        done = pki.revocations.suspend([gateway[0].serial])
        assert {one.certificate.serial for one in done} == {one.serial for one in gateway}
        for one in done:
            assert one.revocation.reason == "certificate_hold"
            assert one.revocation.suspended_until == workshop.now + timedelta(days=30)
        assert last_audit(workshop)[0]["action"] == "suspend"
        done = pki.revocations.resume([gateway[1].serial], requested_by="Verwalter.GWA")
    assert {one.certificate.serial for one in done} == {one.serial for one in gateway}
    assert all(one.revocation is None for one in done)
    assert rows(workshop) == {}
    (entry,) = last_audit(workshop)
    assert (entry["action"], entry["outcome"], entry["subject"]) == ("resume", "done", "EABC0000000001.SMGW")
    workshop.assert_chain_holds()


@pytest.mark.parametrize("kind", ["emt", "sub-ca", "sub-ca-tls"])
def test_nothing_but_gateways_is_suspended(workshop: Any, emt: list[Any], kind: str) -> None:
    serial = emt[0].serial if kind == "emt" else authority(workshop, kind).serial
    with workshop.open() as pki, workshop.nothing_but_audit():
        error = refused("revocation.suspension.kind", lambda: pki.revocations.suspend([serial]))
    assert "smgw-g, smgw-w" in error.message


def test_what_is_suspended_is_not_suspended_again(workshop: Any, gateway: list[Any]) -> None:
    with workshop.open() as pki:
        pki.revocations.suspend([gateway[0].serial], triple=False)
        with workshop.nothing_but_audit():
            refused("revocation.suspended", lambda: pki.revocations.suspend([gateway[0].serial]))
        done = pki.revocations.suspend([gateway[1].serial])
    assert {one.certificate.serial for one in done} == {gateway[1].serial, gateway[2].serial}


def test_what_is_not_suspended_is_not_resumed(workshop: Any, gateway: list[Any]) -> None:
    with workshop.open() as pki:
        with workshop.nothing_but_audit():
            refused("revocation.not_suspended", lambda: pki.revocations.resume([gateway[0].serial]))
        pki.revocations.suspend([gateway[0].serial], triple=False)
        done = pki.revocations.resume([gateway[0].serial])
    assert [one.certificate.serial for one in done] == [gateway[0].serial]


def test_revoking_what_is_suspended_replaces_the_reason_and_keeps_the_date(workshop: Any, gateway: list[Any]) -> None:
    suspended = workshop.now
    with workshop.open() as pki:
        pki.revocations.suspend([gateway[0].serial])
        workshop.now += timedelta(days=2)
        done = pki.revocations.revoke([gateway[0].serial], "key_compromise")
    for one in done:
        assert one.revocation.reason == "key_compromise"
        assert one.revocation.suspended_until is None
        assert one.revocation.since == suspended


@pytest.mark.parametrize(("says", "reason"), [("revoke", "unspecified"), ("resume", None)])
def test_a_suspension_ends_by_itself(
    workshop: Any, gateway: list[Any], changed_policy: Any, says: str, reason: str | None
) -> None:
    policy = changed_policy({"revocation.suspension_ends_in": says, "revocation.suspension_longest": "5d"})
    with workshop.open(policy=policy) as pki:
        pki.revocations.suspend([gateway[0].serial])
        workshop.now += timedelta(days=5)
        with workshop.nothing_but_audit(entries=0):
            assert pki.revocations.settle() == ()
        workshop.now += timedelta(seconds=1)
        done = pki.revocations.settle()
        assert {one.revocation and one.revocation.reason for one in done} == {reason}
        assert len(done) == 3
        assert len(rows(workshop)) == (3 if reason else 0)
        with workshop.nothing_but_audit(entries=0):
            assert pki.revocations.settle() == ()
    (entry,) = last_audit(workshop)
    assert (entry["action"], entry["outcome"]) == (says, "done")
    assert "suspension over" in entry["detail"]
    workshop.assert_chain_holds()


def test_an_expired_suspension_is_left_as_it_is(workshop: Any, gateway: list[Any]) -> None:
    """Its entry has to stay on the CRL, though it is over."""
    workshop.now = gateway[0].not_after - timedelta(days=1)
    with workshop.open() as pki:
        pki.revocations.suspend([gateway[0].serial])
        workshop.now += timedelta(days=31)
        with workshop.nothing_but_audit(entries=0):
            assert pki.revocations.settle() == ()


# What a revocation means to the counter


def test_a_holder_whose_triple_is_revoked_gets_the_next(workshop: Any, packages: Any, emt: list[Any]) -> None:
    assert workshop.issue(packages.make()).error.code == "issuing.subject.has_triple"
    with workshop.open() as pki:
        pki.revocations.revoke([emt[0].serial], "key_compromise")
    outcome = workshop.issue(packages.make())
    assert outcome.error is None
    assert {one.dn_serial for one in outcome.certificates} == {2}


def test_while_a_part_of_the_triple_is_in_force_there_is_no_next(workshop: Any, packages: Any, emt: list[Any]) -> None:
    with workshop.open() as pki:
        pki.revocations.revoke([emt[2].serial], "key_compromise", triple=False)
    assert workshop.issue(packages.make()).error.code == "issuing.subject.has_triple"


def test_a_suspended_triple_may_come_back_so_there_is_no_next(workshop: Any, packages: Any, gateway: list[Any]) -> None:
    with workshop.open() as pki:
        pki.revocations.suspend([gateway[0].serial])
    assert workshop.issue(packages.gateway()).error.code == "issuing.subject.has_triple"


def test_a_revoked_sub_ca_issues_nothing_any_more(workshop: Any, packages: Any, emt: list[Any]) -> None:
    sub_ca = authority(workshop, "sub-ca")
    with workshop.open() as pki:
        desk = pki.desk(SUB_CA)  # opened before, and still in use
        pki.revocations.revoke([sub_ca.serial], "ca_compromise")
        with workshop.nothing_but_audit(entries=2):
            orders = [Order(name, packages.make(f"{name}.EMT")) for name in ("Neu", "Anders")]
            outcomes = desk.issue(orders)
    assert [outcome.error.code for outcome in outcomes if outcome.error] == ["issuing.issuer.revoked"] * 2


def test_a_sub_ca_that_is_revoked_while_it_signs_issues_nothing(
    workshop: Any, packages: Any, issuing_program: Any
) -> None:
    sub_ca = authority(workshop, "sub-ca")

    def sign(own: Callable[..., bytes], *what: object) -> bytes:
        with workshop.open() as meanwhile:
            if sub_ca.serial not in meanwhile.store.revocations.among([sub_ca.serial]):
                meanwhile.revocations.revoke([sub_ca.serial], "ca_compromise")
        return own(*what)

    keys = issuing_program.WatchedKeys(workshop.key_store, sign)
    outcome = workshop.issue(packages.make(), keys=keys)
    assert outcome.error.code == "issuing.issuer.revoked"
    assert workshop.tables()["certificate"][-1]["kind"] == "sub-ca-tls"


def test_a_revoked_tls_signer_certifies_no_sub_ca(workshop: Any) -> None:
    with workshop.open() as pki:
        pki.revocations.revoke([authority(workshop, "tls-signer").serial], "key_compromise")
        with workshop.nothing_but_audit():
            refused("issuing.issuer.revoked", lambda: pki.create_sub_ca(SubCaOrder("Andere")))


# What it costs


def many_certificates(workshop: Any, count: int) -> None:
    """Rows of certificates, all of them revoked, beside what the PKI has: made by the database itself."""
    sub_ca = authority(workshop, "sub-ca")
    number = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :count)"
    values = {"count": count, "issuer": sub_ca.serial, "at": "2026-01-01 00:00:00.000000"}
    with closing(sqlite3.connect(workshop.home.folder / "smpki.db")) as connection, connection:
        connection.execute(
            f"""INSERT INTO certificate (serial, issuer_serial, kind, purpose, subject_cn, subject_key, dn_serial,
            not_before, not_after, key_hash, der) {number}
            SELECT printf('4%07x', n) || lower(hex(randomblob(12))), :issuer, 'emt', 'tls', 'Firma ' || n || '.EMT',
            'CN=firma ' || n || '.emt', 1, :at, '2028-01-01 00:00:00.000000', 'none', x'00' FROM number""",
            values,
        )
        connection.execute(
            "INSERT INTO revocation (serial, issuer_serial, kind, not_after, since, reason) "
            "SELECT serial, issuer_serial, kind, not_after, :at, 'superseded' FROM certificate WHERE key_hash = 'none'",
            values,
        )


def statements_of(act: Callable[[Any], object], pki: Any) -> list[tuple[str, Any]]:
    """What is asked of the database."""
    asked: list[tuple[str, Any]] = []
    note = lambda _c, _k, statement, values, *_: asked.append((statement, values))  # noqa: E731
    event.listen(pki.store._engine, "before_cursor_execute", note)
    try:
        act(pki)
    finally:
        event.remove(pki.store._engine, "before_cursor_execute", note)
    return asked


@pytest.mark.parametrize("action", ["revoke", "suspend", "resume", "settle"])
def test_nothing_that_takes_back_reads_whole_tables(workshop: Any, gateway: list[Any], action: str) -> None:
    many_certificates(workshop, 2_000)
    acts: dict[str, Callable[[Any], object]] = {
        "revoke": lambda pki: pki.revocations.revoke([gateway[0].serial], "superseded"),
        "suspend": lambda pki: pki.revocations.suspend([gateway[0].serial]),
        "resume": lambda pki: pki.revocations.resume([gateway[0].serial]),
        "settle": lambda pki: pki.revocations.settle(),
    }
    with workshop.open() as pki:
        if action in ("resume", "settle"):
            pki.revocations.suspend([gateway[0].serial])
            workshop.now += timedelta(days=31)
        asked = statements_of(acts[action], pki)
        plans = []
        with reading(pki.store._engine) as connection:
            for statement, values in asked:
                if not statement.startswith("INSERT"):
                    some = values[0] if isinstance(values, list) else values
                    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", some).all()
                    plans += [(row[3], statement) for row in plan]
    assert len(plans) > 4
    assert any("revocation" in step for step, _ in plans)
    assert any("certificate" in step for step, _ in plans)
    # the audit's newest head is read from the table's end
    assert {step for step, _ in plans if step.startswith("SCAN")} == {"SCAN audit_head"}


def revoke_alone(serial: str, pki: Any) -> None:
    pki.revocations.revoke([serial], "superseded", triple=False)


@pytest.mark.parametrize("rows_before", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_revoking_one_costs_one_row_and_less_than_five_milliseconds(
    workshop: Any, packages: Any, rows_before: int
) -> None:
    orders = [Order(str(number), packages.make(f"Firma {number}.EMT.NEU")) for number in range(5)]
    with workshop.open() as pki:
        issued = [one for outcome in pki.issue(orders, SUB_CA) for one in outcome.certificates]
        many_certificates(workshop, rows_before)
        taken = []
        for one in issued:
            begin = time.thread_time()
            asked = statements_of(partial(revoke_alone, one.serial), pki)
            taken.append(time.thread_time() - begin)
            written = [statement for statement, _ in asked if not statement.startswith(("SELECT", "BEGIN"))]
            assert [statement.split(" (")[0] for statement in written] == [
                "INSERT INTO revocation",
                "INSERT INTO audit",
                "INSERT INTO audit_head",
            ]
    assert min(taken) < 0.005  # the work itself; the two fsyncs beside it take as long as the disk likes


def test_a_moment_in_any_zone_is_stored_as_utc(workshop: Any, emt: list[Any]) -> None:
    workshop.now = datetime.fromisoformat("2026-12-01T01:00:00+02:00")
    with workshop.open() as pki:
        pki.revocations.revoke([emt[0].serial], "superseded")
    assert rows(workshop)[emt[0].serial]["since"] == workshop.now
