"""What the operator of CAs has to do next, at each time of their lives."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.chain import bundle
from smpki.ca.duties import Duty, DutyState, duties
from smpki.ca.output import pem_file
from smpki.ca.sub_cas import SubCaOrder

ROOT, SUB_CA = "SM-Test-Root.CA", "Beispiel.CA"


def duty(workshop: Any, name: str, number: int | None = 1, *, kind: str | None = None, **settings: Any) -> Duty:
    with workshop.open(**settings) as pki:
        found = duties(pki.policy, pki.store, workshop.now)
    (one,) = (
        duty
        for duty in found
        if (duty.certificate.subject_cn, duty.certificate.dn_serial) == (name, number)
        and kind in (None, duty.certificate.kind)
    )
    return one


def at(year: int, month: int, day: int, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def test_every_certificate_of_a_ca_is_listed_once(workshop: Any, packages: Any) -> None:
    workshop.issue(packages.make())
    with workshop.open() as pki:
        found = duties(pki.policy, pki.store, workshop.now)
    assert [one.certificate.kind for one in found] == [
        *("root", "crl-signer", "tls-signer", "root-tls"),
        *("sub-ca", "sub-ca-tls-root", "sub-ca-tls"),
    ]


@pytest.mark.parametrize(
    ("now", "state", "says"),
    [
        (at(2026, 11, 22, 12), "nothing", "nothing to do until 2029-08-24, then by 2029-11-22: smpki root renew"),
        (at(2029, 8, 24, 11), "nothing", "nothing to do until 2029-08-24"),
        (at(2029, 8, 24, 12), "due", "by 2029-11-22: smpki root renew (its key signs until 2029-11-22"),
        (at(2029, 11, 22, 12), "due", "sub-ca certificates have their full 5y until 2029-11-22"),
        (at(2029, 11, 22, 13), "overdue", "too late for a link certificate"),
        (at(2029, 11, 22, 13), "overdue", "its key signs CRLs only, until 2034-11-22"),
        (at(2034, 11, 23), "overdue", "it was valid until 2034-11-22"),
    ],
)
def test_the_life_of_a_root(now: datetime, state: str, says: str, workshop: Any) -> None:
    workshop.now = now
    found = duty(workshop, ROOT)
    assert (found.state.value, found.by) == (state, at(2029, 11, 22, 12))
    assert says in found.todo


@pytest.mark.parametrize(
    ("now", "state", "says"),
    [
        (
            at(2026, 11, 22, 12),
            "nothing",
            "until 2028-08-24, then by 2028-11-22: smpki issue-sub-ca --name Beispiel --renew",
        ),
        (at(2028, 11, 22, 12), "due", "emt certificates have their full 2y until 2029-11-22"),
        (at(2028, 11, 22, 13), "overdue", "--renew (its key signs CRLs only, until 2031-11-22)"),
    ],
)
def test_the_life_of_a_sub_ca(now: datetime, state: str, says: str, workshop: Any) -> None:
    workshop.now = now
    found = duty(workshop, SUB_CA)
    assert (found.state.value, found.by) == (state, at(2028, 11, 22, 12))
    assert says in found.todo


def test_signers_and_tls_certificates_come_with_their_ca(workshop: Any) -> None:
    assert "by 2028-11-22: smpki root renew" in duty(workshop, f"{ROOT}.TLS").todo
    assert "by 2029-11-22: smpki root renew" in duty(workshop, f"{ROOT}.CRL-S", None).todo
    assert "smpki issue-sub-ca --name Beispiel --renew" in duty(workshop, f"{SUB_CA}.TLS", kind="sub-ca-tls").todo
    workshop.now = at(2029, 11, 23)
    found = duty(workshop, f"{ROOT}.TLS-S")
    assert found.state is DutyState.OVERDUE
    assert "its key signs no more" in found.todo


def test_a_ca_that_lives_too_short_is_renewed_before_its_key_use_ends(workshop: Any, changed_policy: Any) -> None:
    """The policy was changed when the Sub-CA was there already: its certificate is too short for longer children."""
    values = {f"certificates.{kind}.validity": "4y" for kind in ("emt", "gwa")}
    policy = changed_policy({**values, "certificates.sub-ca.validity": "6y", "certificates.root.validity": "9y"})
    found = duty(workshop, SUB_CA, policy=policy)
    assert found.by == at(2027, 11, 22).replace(hour=23, minute=59, second=59)
    workshop.now = at(2027, 11, 23)
    found = duty(workshop, SUB_CA, policy=policy)
    assert found.state is DutyState.OVERDUE
    assert "no longer has its full length" in found.todo


def test_what_was_replaced(workshop: Any) -> None:
    workshop.now = at(2027, 11, 22, 12)
    with workshop.open() as pki:
        pki.renew_root()
        pki.create_sub_ca(SubCaOrder("Beispiel", renew=True))
    assert duty(workshop, ROOT).todo == "replaced by number 2: it signs CRLs only, until 2034-11-22"
    assert duty(workshop, SUB_CA).todo == "replaced by number 2: it signs CRLs only, until 2031-11-22"
    assert duty(workshop, f"{ROOT}.TLS-S").todo == "replaced by number 2: nothing to do"
    link = duty(workshop, ROOT, 2, kind="link")
    assert (link.state, link.by) == (DutyState.NOTHING, None)
    assert duty(workshop, ROOT, 2, kind="root").by == at(2030, 11, 22, 12)
    workshop.now = at(2034, 11, 23)
    assert duty(workshop, ROOT).todo == "replaced by number 2: nothing to do"


def test_a_revoked_sub_ca(workshop: Any) -> None:
    with workshop.open() as pki:
        pki.revocations.revoke([pki.authorities.sub_ca(SUB_CA).certificate.public_bytes(Encoding.DER)], "ca_compromise")
    found = duty(workshop, SUB_CA)
    assert found.state is DutyState.OVERDUE
    assert found.todo == "revoked since 2026-11-22: smpki issue-sub-ca --name Beispiel --renew"


def test_who_runs_elsewhere_is_asked_for(workshop: Any, empty_workshop: Any) -> None:
    order = SubCaOrder("Ex & tern")
    with workshop.open() as root, empty_workshop.open() as sub_ca:
        made = root.certify_sub_ca(order, sub_ca.request_sub_ca(order))
        sub_ca.install_sub_ca(pem_file(bundle(root.store, made, workshop.now)))
    assert "smpki issue-sub-ca --name 'Ex & tern' --renew --request FILE" in duty(workshop, "Ex & tern.CA").todo
    assert "smpki sub-ca request --name 'Ex & tern' --renew" in duty(empty_workshop, "Ex & tern.CA").todo
    found = duty(empty_workshop, ROOT)
    assert (found.state, found.todo) == (
        DutyState.NOTHING,
        "the root's operator renews it by 2029-11-22; then: smpki sub-ca install",
    )
