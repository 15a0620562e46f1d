"""Several decide at once, on both databases: the database says whose word counts."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from smpki.ca.pki import Pki
from smpki.errors import ServiceError, SmpkiError
from smpki.policy.model import CertificateType
from smpki.service.accounts.actor import Role
from smpki.service.accounts.store.passkeys import PasskeyStore
from smpki.service.desk.registrations import Form
from smpki.service.desk.store.decisions import Decisions
from smpki.service.desk.store.idempotency import Idempotency


@pytest.fixture(params=["sqlite", "postgresql"])
def either_office(request: pytest.FixtureRequest, office_of: Callable[[Any, Any], Any]) -> Iterator[Any]:
    name = "workshop" if request.param == "sqlite" else "postgres_workshop"
    workshop = request.getfixturevalue(name)
    with workshop.open() as pki:
        yield office_of(workshop, pki)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What comes of each: its result, or the code of its refusal."""
    barrier, found = threading.Barrier(len(acts)), [None] * len(acts)

    def run(place: int) -> None:
        barrier.wait()
        try:
            found[place] = acts[place]()
        except ServiceError as error:
            found[place] = error.code  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def applied(office: Any, role: CertificateType = CertificateType.EMT) -> int:
    number: int = office.desk.registrations.apply(Form("Firma", role, "post@firma.example"))[0].id
    return number


def test_one_approves_and_the_others_come_too_late(either_office: Any) -> None:
    office, number = either_office, applied(either_office)
    operators = [office.staff(name=f"operator-{n}") for n in range(3)]
    found = at_once(*(lambda one=one: office.desk.registrations.approve(one, number).state for one in operators))
    assert sorted(found) == ["approved", "service.desk.decided", "service.desk.decided"]
    tables = office.workshop.tables()
    assert len(tables["registration"]) == 1
    assert [row["name"] for row in tables["account"]] == ["operator-0", "operator-1", "operator-2", "Firma.EMT"]


def test_of_two_who_have_to_agree_one_is_second(either_office: Any) -> None:
    office, number = either_office, applied(either_office, CertificateType.GWH)
    operators = [office.staff(name=f"operator-{n}") for n in range(2)]
    found = at_once(*(lambda one=one: office.desk.registrations.approve(one, number).state for one in operators))
    assert sorted(found) == ["applied", "approved"]
    assert len(office.workshop.tables()["registration"]) == 1
    office.workshop.assert_chain_holds()


def test_nobody_is_two_operators_however_often_he_asks(either_office: Any) -> None:
    office, number = either_office, applied(either_office, CertificateType.GWA)
    operator = office.staff()
    found = at_once(*[lambda: office.desk.registrations.approve(operator, number).state] * 3)
    assert sorted(found) == ["applied", "service.desk.second_operator", "service.desk.second_operator"]


def test_the_second_word_is_said_to_one_of_three(either_office: Any) -> None:
    office = either_office
    decisions = office.pki.store.beside(Decisions)
    operators = [office.staff(name=f"operator-{n}") for n in range(3)]
    found = at_once(*(lambda one=one: decisions.agree("revoke", "00ff superseded", one) for one in operators))
    assert sorted(found) == [False, False, True]  # the third one begins anew


def test_the_word_of_who_was_blocked_since_does_not_count(office: Any) -> None:
    decisions = office.pki.store.beside(Decisions)
    operators = [office.staff(name=f"operator-{n}") for n in range(3)]
    assert not decisions.agree("revoke", "00ff superseded", operators[0])
    office.desk.accounts.store.block(operators[0].account, True)
    assert not decisions.agree("revoke", "00ff superseded", operators[1])
    assert decisions.agree("revoke", "00ff superseded", operators[2])


def test_what_holds_once_is_taken_by_one(either_office: Any) -> None:
    office = either_office
    accounts, challenges = office.desk.accounts, office.pki.store.beside(PasskeyStore)
    invitation = accounts.invite("chef", Role.OPERATOR, by="the test")
    found = at_once(*[lambda: office.desk.join(invitation).name] * 3)
    assert sorted(found) == ["chef", *["service.account.invitation"] * 2]
    challenges.put_challenge("00ff", b"challenge", office.pki.clock() + timedelta(minutes=5), None)
    found = at_once(*[lambda: challenges.take_challenge("00ff", None)] * 3)
    assert sorted(found, key=str) == [None, None, b"challenge"]
    keys = office.pki.store.beside(Idempotency)
    found = at_once(*[lambda: keys.begin("somebody", "key", "the same")] * 3)
    assert sorted(found, key=str) == [None, *["service.rest.idempotency.in_progress"] * 2]


def test_a_package_is_issued_once_however_often_it_comes(either_office: Any) -> None:
    office = either_office
    actor, package = office.participant(), office.packages.make()
    found = at_once(*[lambda: office.desk.packages.submit(actor, package)] * 3)
    assert len({one.submitted.id for one in found}) == 1
    assert len({one.certificates for one in found}) == 1
    assert len([row for row in office.workshop.tables()["certificate"] if row["kind"] == "emt"]) == 3


@pytest.fixture
def held(workshop: Any, changed_policy: Any, office_of: Any) -> Iterator[tuple[Any, int, Any]]:
    """An office, a package that is held there, and the desk of another server."""
    with workshop.open(policy=changed_policy({"issuing.manual_approval": ["emt"]})) as pki:
        office = office_of(workshop, pki)
        number = office.desk.packages.submit(office.participant(), office.packages.make()).submitted.id
        yield office, number, office_of(workshop, pki).desk


def test_one_approves_of_a_package_and_another_refuses_it(held: Any) -> None:
    office, number, _ = held
    one, two = (office.staff(name=name) for name in ("one", "two"))
    desk = office.desk.packages
    found = at_once(
        lambda: desk.approve(one, number).submitted.state, lambda: desk.refuse(two, number, "no").submitted.state
    )
    assert "service.desk.decided" in found
    result = desk.get(one, number)
    assert result.submitted.state in found
    issued = [row for row in office.workshop.tables()["certificate"] if row["kind"] == "emt"]
    assert len(issued) == len(result.certificates) == (3 if result.submitted.state == "issued" else 0)


def test_what_another_server_issued_meanwhile_is_issued(held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    office, number, elsewhere = held
    one, two = (office.staff(name=name) for name in ("one", "two"))
    issue = Pki.issue

    def refused_first(*order: Any) -> Any:
        elsewhere.packages.refuse(two, number, "no")
        return issue(*order)

    monkeypatch.setattr(Pki, "issue", refused_first)
    result = office.desk.packages.approve(one, number)
    assert (result.submitted.state, len(result.certificates)) == ("issued", 3)
    with pytest.raises(ServiceError, match="it is issued"):
        elsewhere.packages.refuse(two, number, "no")


def test_roles(office: Any) -> None:
    number, auditor = applied(office), office.staff(Role.AUDITOR)
    for act in (lambda: office.desk.registrations.approve(auditor, number), lambda: office.desk.crls.issue(auditor)):
        with pytest.raises(ServiceError) as refusal:
            act()
        assert refusal.value.code == "service.desk.forbidden"
    assert office.desk.trail.verify(auditor).holds


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"organisation": " Firma"}, "name.common_name"),
        ({"organisation": "Firma.EMT"}, "name.common_name"),
        ({"organisation": "x" * 61}, "service.desk.form.organisation"),
        ({"organisation": "Firma\u202e"}, "service.desk.form.organisation"),
        ({"extension": "A.B"}, "name.common_name"),
        ({"role": CertificateType.SMGW_W}, "service.desk.form.role"),
        ({"role": CertificateType.SUB_CA}, "service.desk.form.role"),
        ({"partner_id": "12345"}, "service.desk.form.partner_id"),
        ({"partner_id": "１" * 13}, "service.desk.form.partner_id"),
        ({"contact": "nobody"}, "service.desk.form.contact"),
        ({"contact": "a@b\r\nBcc: c@d"}, "service.desk.form.contact"),
        ({"callback_url": "http://plain.example"}, "web_service.url"),
        ({"callback_url": "https://" + "x" * 500}, "service.desk.form.callback_url"),
    ],
)
def test_what_no_form_may_say(changes: dict[str, Any], code: str, office: Any) -> None:
    form = {"organisation": "Firma", "role": CertificateType.EMT, "contact": "post@firma.example"} | changes
    with pytest.raises(SmpkiError) as refusal:
        office.desk.registrations.apply(Form(**form))
    assert refusal.value.code == code
    assert refusal.value.hint
    assert office.workshop.tables()["application"] == []
