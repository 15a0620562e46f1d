"""CRLs: what is in them, which of them come when, and that they are recorded before they are signed."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from smpki.ca.store.crls import CrlRecord, CrlScope
from smpki.ca.store.owner import OwnerLock
from smpki.ca.sub_cas import SubCaOrder
from smpki.errors import SmpkiError, TokenError

SUB_CA, ROOT = "Beispiel.CA", "SM-Test-Root.CA"


@contextmanager
def moved(workshop: Any, **by: int) -> Iterator[Any]:
    """The PKI some time later."""
    workshop.now += timedelta(**by)
    with workshop.open() as pki:
        yield pki


def issue(pki: Any, **which: Any) -> dict[str, x509.CertificateRevocationList]:
    """Issue CRLs; those that were issued, by kind."""
    outcomes = pki.crls.issue(**which)
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)
    return {outcome.series.kind.value: load(pki, outcome.record) for outcome in outcomes}


def load(pki: Any, record: CrlRecord) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(pki.store.crls.der(record))


def stored(pki: Any, kind: str, issuer_cn: str = "") -> Any:
    """The newest certificate of a kind."""
    return pki.store.get(pki.store.page(kind=kind).certificates[-1].serial)


def certificate(pki: Any, kind: str) -> x509.Certificate:
    return x509.load_der_x509_certificate(stored(pki, kind).der)


def values(extensions: x509.Extensions) -> dict[type, tuple[Any, bool]]:
    return {type(each.value): (each.value, each.critical) for each in extensions}


def reasons(crl: x509.CertificateRevocationList) -> dict[str, str | None]:
    """Serial number to reason, None where none is given."""
    found = {}
    for entry in crl:
        reason = values(entry.extensions).get(x509.CRLReason)
        found[f"{entry.serial_number:x}"] = reason[0].reason.name if reason else None
    return found


def number(crl: x509.CertificateRevocationList) -> int:
    return values(crl.extensions)[x509.CRLNumber][0].crl_number


# What is in a CRL


@pytest.mark.parametrize(
    ("kind", "days", "name"),
    [("sub-ca", 10, SUB_CA), ("root", 37, ROOT), ("crl-signer", 37, f"{ROOT}.CRL-S")],
)
def test_a_crl_of_each_series(workshop: Any, kind: str, days: int, name: str) -> None:
    with workshop.open() as pki:
        crl = issue(pki)[kind]
        signer = certificate(pki, kind)
    assert crl.issuer == signer.subject
    assert crl.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == name
    assert crl.is_signature_valid(signer.public_key())  # type: ignore[arg-type]
    assert crl.last_update_utc == workshop.now
    assert crl.next_update_utc == workshop.now + timedelta(days=days)
    identifier = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    found = values(crl.extensions)
    point = {x509.IssuingDistributionPoint} if kind == "crl-signer" else set()
    assert found.keys() == {x509.AuthorityKeyIdentifier, x509.CRLNumber} | point
    assert found[x509.AuthorityKeyIdentifier] == (x509.AuthorityKeyIdentifier(identifier, None, None), False)
    assert found[x509.CRLNumber] == (x509.CRLNumber(1), False)
    assert len(crl) == 0


def test_the_indirect_crl_names_the_addresses_that_certificates_do(workshop: Any) -> None:
    with workshop.open() as pki:
        crl = issue(pki)["crl-signer"]
        sub_ca = certificate(pki, "sub-ca")
    point, critical = values(crl.extensions)[x509.IssuingDistributionPoint]
    assert critical
    assert point.indirect_crl
    ((named,),) = (sub_ca.extensions.get_extension_for_class(x509.CRLDistributionPoints).value,)
    assert point.full_name == named.full_name
    assert [name.value for name in named.crl_issuer] == [crl.issuer]


def test_reasons_and_their_order(workshop: Any, packages: Any) -> None:
    wanted = ["unspecified", "key_compromise", "superseded"]
    issued = [workshop.issue(packages.make(f"{reason}.EMT")).certificates for reason in wanted]
    with workshop.open() as pki:
        for (tls, *_), reason in zip(issued, wanted, strict=True):
            pki.revocations.revoke([tls.serial], reason)
        crl = issue(pki)["sub-ca"]
    expected = {}
    for triple, reason in zip(issued, (None, "key_compromise", "superseded"), strict=True):
        expected |= {one.serial: reason for one in triple}
    assert reasons(crl) == expected
    assert list(reasons(crl)) == list(expected)
    assert {entry.revocation_date_utc for entry in crl} == {workshop.now}
    assert [len(entry.extensions) for entry in crl] == [0] * 3 + [1] * 6


def test_what_is_suspended_is_on_hold_and_what_is_resumed_goes(workshop: Any, packages: Any) -> None:
    triple = workshop.issue(packages.gateway()).certificates
    with workshop.open() as pki:
        pki.revocations.suspend([triple[0].serial])
        assert reasons(issue(pki)["sub-ca"]) == {one.serial: "certificate_hold" for one in triple}
        pki.revocations.resume([triple[0].serial])
        assert reasons(issue(pki)["sub-ca"]) == {}
        pki.revocations.suspend([triple[0].serial])
        suspended = workshop.now
    with moved(workshop, days=2) as pki:
        pki.revocations.revoke([triple[0].serial], "key_compromise")
        crl = issue(pki)["sub-ca"]
    assert reasons(crl) == {one.serial: "key_compromise" for one in triple}
    assert {entry.revocation_date_utc for entry in crl} == {suspended}


def issuers(crl: x509.CertificateRevocationList) -> list[tuple[str, x509.Name | None]]:
    """Serial numbers, and the issuer where an entry names one; it has to be critical."""
    found = []
    for entry in crl:
        value, critical = values(entry.extensions).get(x509.CertificateIssuer, (None, True))
        assert critical
        found.append((f"{entry.serial_number:x}", value.get_values_for_type(x509.DirectoryName)[0] if value else None))
    return found


def test_who_issued_what_is_on_the_indirect_crl(workshop: Any) -> None:
    with workshop.open() as pki:
        pki.create_sub_ca(SubCaOrder("Andere"))
        sub_cas = [one.serial for one in pki.store.page(kind="sub-ca").certificates]
        towards_root = [one.serial for one in pki.store.page(kind="sub-ca-tls-root").certificates]
        others = [stored(pki, kind).serial for kind in ("root-tls", "crl-signer")]
        for serial in (*towards_root, *sub_cas, *others[:1]):
            pki.revocations.revoke([serial], "unspecified")
        found = issue(pki)
        names = {kind: certificate(pki, kind).subject for kind in ("root", "tls-signer")}
    assert issuers(found["crl-signer"]) == [
        (sub_cas[0], names["root"]),
        (sub_cas[1], None),
        (towards_root[0], names["tls-signer"]),
        (towards_root[1], None),
        (others[0], None),
    ]
    assert issuers(found["root"]) == [(serial, None) for serial in sub_cas]


def test_the_crl_signer_is_on_the_roots_own_crl(workshop: Any) -> None:
    with workshop.open() as pki:
        signer = stored(pki, "crl-signer")
        pki.revocations.revoke([signer.serial], "key_compromise")
        outcomes = {outcome.series.kind.value: outcome for outcome in pki.crls.issue()}
        assert reasons(load(pki, outcomes["root"].record)) == {signer.serial: "key_compromise"}
    assert outcomes["crl-signer"].error.code == "crl.signer.none"


# Which CRLs there are


def test_numbers_count_in_each_series(workshop: Any) -> None:
    with workshop.open() as pki:
        pki.create_sub_ca(SubCaOrder("Andere"))
        issue(pki)
        found = issue(pki, names=["Andere.CA"])
        assert found.keys() == {"sub-ca"}
        again = [outcome.record.number for outcome in pki.crls.issue()]
        assert sorted(again) == [2, 2, 2, 3]
        assert issue(pki, names=[ROOT]).keys() == {"root", "crl-signer"}


def test_a_ca_that_is_not_there(workshop: Any) -> None:
    with workshop.open() as pki, workshop.nothing_but_audit() as added, pytest.raises(SmpkiError) as refusal:
        pki.crls.issue(names=[SUB_CA, "Fremde.CA"])
    assert refusal.value.code == "crl.authority.unknown"
    assert added[0]["action"] == "issue-crl"


def test_each_series_comes_when_it_is_due(workshop: Any) -> None:
    with workshop.open() as pki:
        assert issue(pki, due=True).keys() == {"sub-ca", "root", "crl-signer"}
        assert issue(pki, due=True) == {}
    with moved(workshop, days=7, seconds=-1) as pki:
        assert issue(pki, due=True) == {}
    with moved(workshop, seconds=1) as pki:
        assert issue(pki, due=True).keys() == {"sub-ca"}
    with moved(workshop, days=23) as pki:
        assert issue(pki, due=True).keys() == {"sub-ca", "root", "crl-signer"}


def test_one_that_comes_between_does_not_put_off_the_next(workshop: Any) -> None:
    with workshop.open() as pki:
        issue(pki)
    with moved(workshop, days=6) as pki:
        issue(pki)
    with moved(workshop, days=1) as pki:
        assert issue(pki, due=True).keys() == {"sub-ca"}
    assert [row["scheduled"] for row in workshop.tables()["crl"] if row["kind"] == "sub-ca"] == [True, False, True]


def test_an_entry_stays_until_it_was_on_a_scheduled_crl_behind_the_certificates_end(
    workshop: Any, packages: Any
) -> None:
    triple = workshop.issue(packages.make()).certificates
    end = triple[0].not_after
    workshop.now = end - timedelta(days=5)
    with workshop.open() as pki:
        issue(pki)  # scheduled; the next one in seven days, two days behind the end
        pki.revocations.revoke([triple[0].serial], "superseded")
    counts = []
    for moment in (end - timedelta(days=1), end + timedelta(days=1), end + timedelta(days=2)):
        workshop.now = moment
        with workshop.open() as pki:
            counts.append(len(issue(pki)["sub-ca"]))
    assert counts == [3, 3, 3]
    assert [row["scheduled"] for row in workshop.tables()["crl"] if row["kind"] == "sub-ca"] == [
        True,
        False,
        False,
        True,
    ]
    with workshop.open() as pki:
        assert len(issue(pki)["sub-ca"]) == 0
    assert len(workshop.tables()["revocation"]) == 3


def test_a_ca_signs_crls_until_its_certificate_ends(workshop: Any, packages: Any) -> None:
    with workshop.open() as pki:
        sub_ca = stored(pki, "sub-ca")
    workshop.now = sub_ca.not_after - timedelta(days=3)
    assert workshop.issue(packages.make()).error.code == "issuing.issuer.key_use_over"
    with workshop.open() as pki:
        crl = issue(pki, names=[SUB_CA])["sub-ca"]
        assert crl.next_update_utc == sub_ca.not_after  # no longer than anybody believes the signer
    with moved(workshop, days=3, seconds=1) as pki:
        assert "sub-ca" not in {outcome.series.kind.value for outcome in pki.crls.issue()}
        (outcome,) = pki.crls.issue(names=[SUB_CA])
        assert outcome.error.code == "crl.authority.over"


def test_a_revoked_ca_signs_no_more_crls(workshop: Any) -> None:
    with workshop.open() as pki:
        pki.revocations.revoke([stored(pki, "sub-ca").serial], "ca_compromise")
        assert issue(pki).keys() == {"root", "crl-signer"}
        with workshop.nothing_but_audit():
            (outcome,) = pki.crls.issue(names=[SUB_CA])
    assert outcome.error.code == "crl.authority.over"


def test_one_indirect_crl_for_each_root(workshop: Any) -> None:
    with moved(workshop, days=1) as pki:
        pki.renew_root()
        outcomes = pki.crls.issue()
        signed_by = {}
        for outcome in outcomes:
            crl = load(pki, outcome.record)
            signer = x509.load_der_x509_certificate(pki.store.get(outcome.record.signer).der)
            assert crl.is_signature_valid(signer.public_key())  # type: ignore[arg-type]
            signed_by[outcome.series.file_name] = outcome.record.signer
    assert signed_by.keys() == {
        "SM-Test-Root.CA.1.crl",
        "SM-Test-Root.CA.2.crl",
        "SM-Test-Root.CA.CRL-S.1.crl",
        "SM-Test-Root.CA.CRL-S.2.crl",
        "Beispiel.CA.1.crl",
    }
    assert len(set(signed_by.values())) == 5


@pytest.mark.parametrize("why", ["past its use", "revoked"])
def test_when_a_roots_crl_signer_is_gone_that_of_the_next_root_signs(workshop: Any, why: str) -> None:
    with workshop.open() as pki:
        first = stored(pki, "crl-signer")
    workshop.now = first.key_use_end - timedelta(days=1)
    with workshop.open() as pki:
        pki.renew_root()
        second = stored(pki, "crl-signer")
        if why == "revoked":
            pki.revocations.revoke([first.serial], "key_compromise")
    with moved(workshop, days=2 if why == "past its use" else 0) as pki:
        signers = {outcome.series.file_name: outcome.record.signer for outcome in pki.crls.issue()}
    assert signers["SM-Test-Root.CA.CRL-S.1.crl"] == second.serial
    assert signers["SM-Test-Root.CA.CRL-S.2.crl"] == second.serial


def test_without_a_crl_signer_the_others_come_all_the_same(workshop: Any) -> None:
    with workshop.open() as pki:
        workshop.now = stored(pki, "crl-signer").key_use_end + timedelta(seconds=1)
    with workshop.open() as pki:
        outcomes = {outcome.series.kind.value: outcome for outcome in pki.crls.issue()}
    assert outcomes["crl-signer"].error.code == "crl.signer.none"
    assert {kind for kind, outcome in outcomes.items() if outcome.record} == {"sub-ca", "root"}


# Lint, record, sign


def test_number_and_hash_are_recorded_before_the_key_signs(workshop: Any, issuing_program: Any) -> None:
    seen = []

    def sign(own: Callable[..., bytes], data: bytes, *how: object) -> bytes:
        (row,) = workshop.tables()["crl"]
        seen.append((row["state"], row["number"], row["tbs_hash"] == hashlib.sha256(data).hexdigest(), row["der"]))
        return own(data, *how)

    before = workshop.tables()["audit"]
    with workshop.open(keys=issuing_program.WatchedKeys(workshop.key_store, sign)) as pki:
        pki.crls.issue(names=[SUB_CA])
    assert seen == [("open", 1, True, None)]
    (row,) = workshop.tables()["crl"]
    assert (row["state"], row["entries"]) == ("issued", 0)
    (entry,) = workshop.tables()["audit"][len(before) :]
    assert (entry["action"], entry["outcome"], entry["subject"]) == ("issue-crl", "done", SUB_CA)
    assert row["tbs_hash"] in entry["detail"]
    assert workshop.tables()["audit_head"][-1]["signature"] is not None
    workshop.assert_chain_holds()


def test_a_key_that_does_not_sign_costs_a_number(workshop: Any, issuing_program: Any) -> None:
    def refuse(own: object, *what: object) -> bytes:
        raise TokenError("token.closed", "the token is gone", hint="find it")

    with workshop.open(keys=issuing_program.WatchedKeys(workshop.key_store, refuse)) as pki:
        (outcome,) = pki.crls.issue(names=[SUB_CA])
    assert outcome.error.code == "token.closed"
    assert [row["state"] for row in workshop.tables()["crl"]] == ["abandoned"]
    entry = workshop.tables()["audit"][-1]
    assert (entry["action"], entry["outcome"]) == ("issue-crl", "refused")
    with workshop.open() as pki:
        assert number(issue(pki, names=[SUB_CA])["sub-ca"]) == 2
    workshop.assert_chain_holds()


def record(authority: str, number: int = 1) -> CrlRecord:
    at = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    return CrlRecord(
        authority=authority,
        kind="sub-ca",
        number=number,
        signer=authority,
        this_update=at,
        next_update=at + timedelta(days=1),
        scheduled=True,
        entries=0,
        tbs_hash="00",
    )


def test_what_a_dead_process_left_open_is_closed(workshop: Any) -> None:
    with workshop.open() as pki:
        one = record(stored(pki, "sub-ca").serial)
        pki.store.crls.record(one)
        workshop.home.run_folder.joinpath("nobody").touch()
    alive = OwnerLock.take(workshop.home.run_folder, os.urandom)
    with closing(sqlite3.connect(workshop.home.folder / "smpki.db")) as connection, connection:
        connection.execute(
            "INSERT INTO crl (authority, kind, number, signer, this_update, next_update, scheduled, entries, tbs_hash,"
            " owner, state) SELECT authority, kind, 2, signer, this_update, next_update, 1, 0, '01', ?, state FROM crl",
            [alive.name],
        )
    with workshop.open():
        pass
    assert [row["state"] for row in workshop.tables()["crl"]] == ["abandoned", "open"]
    entry = workshop.tables()["audit"][-1]
    assert (entry["action"], entry["outcome"]) == ("recover", "done")
    assert '"number":1' in entry["detail"]
    alive.release()
    workshop.assert_chain_holds()


def test_two_processes_do_not_give_one_number_twice(workshop: Any) -> None:
    with workshop.open() as pki, workshop.open() as other:
        one = record(stored(pki, "sub-ca").serial)
        pki.store.crls.record(one)
        with pytest.raises(SmpkiError) as refusal:
            other.store.crls.record(one)
        assert refusal.value.code == "crl.number.taken"
        number, _ = other.store.crls.begin(CrlScope(one.authority, one.kind))
        assert number == 2
        pki.store.crls.abandon(one)
        with pytest.raises(SmpkiError) as refusal:
            pki.store.crls.der(one)
        assert refusal.value.code == "store.crl.missing"


def test_the_newer_of_two_that_were_issued_at_once_is_in_force(workshop: Any, issuing_program: Any) -> None:
    inner: list[Any] = []

    def sign(own: Callable[..., bytes], *what: object) -> bytes:
        if not inner:
            inner.append(None)
            with workshop.open() as other:
                inner[0] = other.crls.issue(names=[SUB_CA])[0].record
        return own(*what)

    with workshop.open(keys=issuing_program.WatchedKeys(workshop.key_store, sign)) as pki:
        (outcome,) = pki.crls.issue(names=[SUB_CA])
        assert (outcome.record.number, inner[0].number) == (1, 2)
        assert pki.store.crls.newest(outcome.series.scope) == inner[0]


def test_the_linter_sees_it_before_the_key_does(workshop: Any, issuing_program: Any) -> None:
    """What no desk would do: a Sub-CA on hold."""

    def never(own: object, *what: object) -> bytes:
        raise AssertionError("the key was asked")

    with workshop.open() as pki:
        sub_ca = stored(pki, "sub-ca")
    with closing(sqlite3.connect(workshop.home.folder / "smpki.db")) as connection, connection:
        connection.execute(
            "INSERT INTO revocation (serial, issuer_serial, kind, not_after, since, reason) "
            "SELECT serial, issuer_serial, kind, not_after, not_before, 'certificate_hold' FROM certificate "
            "WHERE serial = ?",
            [sub_ca.serial],
        )
    keys = issuing_program.WatchedKeys(workshop.key_store, never)
    with workshop.open(keys=keys) as pki, workshop.nothing_but_audit(entries=2):
        errors = [outcome.error for outcome in pki.crls.issue(names=[ROOT])]
    assert [error.code for error in errors] == ["crl.lint"] * 2
    assert all("certificate_hold" in error.message for error in errors)


def test_the_same_on_postgresql(postgres_workshop: Any, packages: Any) -> None:
    workshop = postgres_workshop
    triple = workshop.issue(packages.gateway()).certificates
    other = workshop.issue(packages.make()).certificates
    with workshop.open() as pki:
        pki.revocations.suspend([triple[0].serial])
        pki.revocations.revoke([other[0].serial], "key_compromise", triple=False)
        assert reasons(issue(pki, due=True)["sub-ca"]) == {
            **{one.serial: "certificate_hold" for one in triple},
            other[0].serial: "key_compromise",
        }
        workshop.now += timedelta(days=31)
        assert len(pki.revocations.settle()) == 3
        crl = issue(pki, due=True)["sub-ca"]
        assert number(crl) == 2
        assert set(reasons(crl).values()) == {None, "key_compromise"}
        pki.revocations.revoke([stored(pki, "sub-ca").serial], "ca_compromise")
    assert workshop.issue(packages.make("Neu.EMT")).error.code == "issuing.issuer.revoked"
    workshop.assert_chain_holds()
